import Tensors

/// The frozen tensors of one decoder block.
final class FrozenLayer {
  /// By `LinearLayer.index`; nil for the gate of a model that has none.
  private let matrices: [FrozenMatrix?]
  /// By `LinearLayer.index`; nil where there is none.
  private let biases: [FloatBuffer?]
  /// Before or after the attention, as the configuration says.
  let attentionNorm: FloatBuffer
  /// Before or after the feed-forward block.
  let feedForwardNorm: FloatBuffer
  private let queryNorm, keyNorm: FloatBuffer?
  /// The activation's curve, where it has one.
  let curve: XIELUCurve?

  init(
    index: Int, configuration: DecoderConfiguration, reader: TensorReader
  ) throws {
    let prefix = "model.layers.\(index)."
    let own = Set(configuration.linears)
    matrices = try LinearLayer.allCases.map { layer in
      guard own.contains(layer) else { return nil }
      let shape = configuration.shape(of: layer)
      return try reader.matrix(
        layer.path(layer: index) + ".weight", rows: shape.outputs, columns: shape.inputs)
    }
    biases = try LinearLayer.allCases.map { layer in
      guard configuration.biases.contains(layer) else { return nil }
      return try reader.vector(
        layer.path(layer: index) + ".bias", configuration.shape(of: layer).outputs)
    }
    let norms = configuration.normNames
    attentionNorm = try reader.vector(prefix + norms.attention, configuration.hidden)
    feedForwardNorm = try reader.vector(prefix + norms.feedForward, configuration.hidden)
    func headNorm(_ layer: LinearLayer, _ name: String) throws -> FloatBuffer? {
      try configuration.normedHeads(of: layer).map {
        try reader.vector(prefix + "self_attn.\(name).weight", $0.width)
      }
    }
    queryNorm = try headNorm(.query, "q_norm")
    keyNorm = try headNorm(.key, "k_norm")
    curve = configuration.activation == .xielu ? try reader.curve(layer: index) : nil
  }

  subscript(layer: LinearLayer) -> FrozenMatrix { matrices[layer.index]! }

  func bias(_ layer: LinearLayer) -> FloatBuffer? { biases[layer.index] }

  func headNorm(_ layer: LinearLayer) -> FloatBuffer? {
    layer == .query ? queryNorm : layer == .key ? keyNorm : nil
  }
}

extension LinearLayer {
  /// Place in `allCases`.
  var index: Int {
    switch self {
    case .query: 0
    case .key: 1
    case .value: 2
    case .output: 3
    case .gate: 4
    case .up: 5
    case .down: 6
    }
  }
}

/// Reads tensors by name and packs them, through one buffer as large as the largest.
final class TensorReader {
  private let weights: any DecoderWeights
  private let storage: Storage
  private let form: WeightForm
  private let buffer: FloatBuffer

  init(weights: any DecoderWeights, storage: Storage, form: WeightForm, largest: Int) {
    self.weights = weights
    self.storage = storage
    self.form = form
    buffer = FloatBuffer(count: largest)
  }

  /// - Parameter form: how it is kept, if not as the others.
  func matrix(
    _ name: String, rows: Int, columns: Int, form: WeightForm? = nil
  ) throws -> FrozenMatrix {
    let values = UnsafeMutableBufferPointer(rebasing: buffer.values[..<(rows * columns)])
    try weights.readTensor(name, into: values)
    return FrozenMatrix(
      UnsafeBufferPointer(values), rows: rows, columns: columns, storage: storage,
      form: form ?? self.form)
  }

  /// One number.
  func number(_ name: String) throws -> Float {
    let values = UnsafeMutableBufferPointer(rebasing: buffer.values[..<1])
    try weights.readTensor(name, into: values)
    return values[0]
  }

  /// A norm's weight, or a bias, with its padding.
  func vector(_ name: String, _ count: Int) throws -> FloatBuffer {
    let vector = FloatBuffer(count: padded(count))
    try weights.readTensor(
      name, into: UnsafeMutableBufferPointer(rebasing: vector.values[..<count]))
    return vector
  }
}
