import Adapters
import Tensors

/// The LoRA factors of one decoder block, grouped by the input they share.
final class LayerAdapter {
  /// q, k, v read the first norm's output.
  let attention: LowRank?
  let output: LowRank?
  /// gate and up read the second norm's output.
  let feedForward: LowRank?
  let down: LowRank?
  /// Floats of a block's partial gradients.
  let partialFloats: Int

  /// Takes the ranges of each layer's factors, where it has any.
  init(
    ranges: [LinearLayer: (a: Range<Int>, b: Range<Int>)], configuration: DecoderConfiguration,
    rank: Int, storage: Storage,
    form: WeightForm
  ) {
    var floats = 0
    func group(_ layers: [LinearLayer]) -> LowRank? {
      let places = layers.compactMap { layer in
        ranges[layer].map { (layer: layer, a: $0.a, b: $0.b) }
      }
      return LowRank(
        places: places, configuration: configuration, rank: rank, storage: storage,
        form: form, partials: &floats)
    }
    attention = group([.query, .key, .value])
    // The way back works on q, k, v of one block and on the rest of the block below at a time, so
    // the rest begins at the same place in every block, whatever q, k, v need.
    let columns = (rank + 15) / 16 * 16
    floats =
      columns
      * (3 * padded(configuration.hidden) + padded(configuration.queryWidth)
        + 2 * padded(configuration.keyValueWidth))
    output = group([.output])
    feedForward = group([.gate, .up])
    down = group([.down])
    partialFloats = floats
  }

  var groups: [LowRank] { [attention, output, feedForward, down].compactMap(\.self) }

  /// All but q, k, v.
  var others: [LowRank] { [output, feedForward, down].compactMap(\.self) }
}

/// An adapter as the decoder uses it: its factors laid out block by block.
final class ModelAdapter {
  let layout: AdapterLayout
  /// One for each decoder block; `nil` where the block carries no factors.
  let layers: [LayerAdapter?]
  /// The largest of the blocks' partial gradients.
  let partialFloats: Int

  /// - Throws: `TransformersError.adapter` that names the first module that does not fit.
  init(
    layout: AdapterLayout, configuration: DecoderConfiguration, storage: Storage,
    form: WeightForm
  ) throws {
    self.layout = layout
    var places: [String: (layer: Int, linear: LinearLayer)] = [:]
    for index in 0..<configuration.layers {
      for linear in configuration.linears {
        places[linear.path(layer: index)] = (index, linear)
      }
    }
    typealias Ranges = (a: Range<Int>, b: Range<Int>)
    var ranges = [[LinearLayer: Ranges]](repeating: [:], count: configuration.layers)
    for (index, module) in layout.modules.enumerated() {
      guard let place = places[module.path] else {
        throw TransformersError.adapter(
          "\(module.path) is no linear layer of a model with \(configuration.layers) blocks")
      }
      let shape = configuration.shape(of: place.linear)
      guard module.inputs == shape.inputs, module.outputs == shape.outputs else {
        throw TransformersError.adapter(
          "\(module.path) maps \(module.inputs) to \(module.outputs); "
            + "the model maps \(shape.inputs) to \(shape.outputs)")
      }
      ranges[place.layer][place.linear] = (
        layout.factors[2 * index].range, layout.factors[2 * index + 1].range
      )
    }
    layers = ranges.map { ranges in
      ranges.isEmpty
        ? nil
        : LayerAdapter(
          ranges: ranges, configuration: configuration, rank: layout.rank, storage: storage,
          form: form)
    }
    partialFloats = layers.map { $0?.partialFloats ?? 0 }.max() ?? 0
  }

  /// Bytes of the forms that lie beside frozen weights.
  var packedBytes: Int {
    layers.compactMap { $0 }.flatMap(\.groups).reduce(0) { $0 + $1.packedBytes }
  }

  /// Copies the values in, spread over the threads.
  func fill(_ values: [Float]) {
    values.withUnsafeBufferPointer { values in
      guard let start = values.baseAddress else { return }
      Workers.run(tasks: layers.count) { index, _ in
        Meter.count(.factors) {
          for group in layers[index]?.groups ?? [] {
            group.fill(from: start, scale: layout.scale)
          }
        }
      }
    }
  }
}
