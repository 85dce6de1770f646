import Adapters
import Tensors

/// How much memory a decoder and its training take: known before anything is read.
public struct MemoryNeeds: Sendable, Equatable {
  /// Bytes of the packed frozen weights.
  public let weights: Int
  /// Bytes of one tensor while it is read and packed.
  public let reading: Int
  /// Bytes of a training pass's activations, kept or partly computed again.
  public let activations: Int
  /// Bytes of the adapter: its values, gradient, two moments, and the forms products read.
  public let adapter: Int

  /// The most that is held at a time, without the program itself.
  public var peak: Int { weights + max(reading, activations + adapter) }

  /// What training windows of `length` tokens, `batch` at a time, takes; with `dropsOut` inputs
  /// are dropped on the way, with `judges` other windows of that length are judged, that many at a
  /// time, between the steps.
  ///
  /// - Throws: `TransformersError` for a shape that makes no sense or a layout that does not fit.
  public init(
    configuration: DecoderConfiguration, computeType: ComputeType, layout: AdapterLayout,
    batch: Int, length: Int, recomputes: Bool, dropsOut: Bool = false, judges: Int = 0,
    form: WeightForm = .full
  ) throws {
    let shape = try configuration.checked()
    let storage = computeType.storage
    func bytes(_ rows: Int, _ columns: Int) -> Int {
      FrozenMatrix.bytes(rows: rows, columns: columns, storage: storage, form: form)
    }
    let block = shape.linears.reduce(0) { sum, layer in
      let (inputs, outputs) = shape.shape(of: layer)
      return sum + bytes(outputs, inputs)
    }
    let embedding = FrozenMatrix.bytes(
      rows: shape.vocabulary, columns: shape.hidden, storage: storage, form: form.ofVocabulary)
    weights = shape.layers * block + embedding * (shape.tiedEmbeddings ? 1 : 2)
    reading = 4 * FrozenModel.largestTensor(shape)
    let factors = try ModelAdapter(
      layout: layout, configuration: shape, storage: storage, form: form)
    // Two copies of the values, gradient, two moments, and both orientations of each factor.
    adapter = 28 * layout.count + factors.packedBytes
    func pass(_ purpose: Purpose, batch: Int) -> Int {
      PassPlan(
        shape: shape, capacity: Decoder.windowsTogether(batch: batch, length: length),
        length: length, purpose: purpose, storage: storage, adapter: factors,
        recomputes: recomputes, dropsOut: dropsOut && purpose == .gradient
      ).layout.size
    }
    // The decoder keeps both.
    activations = pass(.gradient, batch: batch) + (judges > 0 ? pass(.loss, batch: judges) : 0)
  }
}
