import Tensors

/// All frozen tensors of a decoder, packed.
final class FrozenModel {
  let shape: DecoderConfiguration
  let storage: Storage
  /// How the matrices are kept.
  let form: WeightForm
  let embedding: FrozenMatrix
  /// The embedding itself if tied.
  let head: FrozenMatrix
  let layers: [FrozenLayer]
  let finalNorm: FloatBuffer

  init(
    shape: DecoderConfiguration, weights: any DecoderWeights, storage: Storage,
    form: WeightForm
  ) throws {
    self.shape = shape
    self.storage = storage
    self.form = form
    let reader = TensorReader(
      weights: weights, storage: storage, form: form, largest: Self.largestTensor(shape))
    embedding = try reader.matrix(
      "model.embed_tokens.weight", rows: shape.vocabulary, columns: shape.hidden,
      form: form.ofVocabulary)
    head =
      shape.tiedEmbeddings
      ? embedding
      : try reader.matrix(
        "lm_head.weight", rows: shape.vocabulary, columns: shape.hidden, form: form.ofVocabulary)
    layers = try (0..<shape.layers).map {
      try FrozenLayer(index: $0, configuration: shape, reader: reader)
    }
    finalNorm = try reader.vector("model.norm.weight", shape.hidden)
  }

  /// As many numbers as the largest tensor may have.
  static func largestTensor(_ shape: DecoderConfiguration) -> Int {
    max(shape.vocabulary, shape.intermediate, shape.queryWidth, shape.keyValueWidth)
      * max(shape.hidden, shape.queryWidth)
  }
}
