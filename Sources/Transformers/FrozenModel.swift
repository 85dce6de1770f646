import Tensors

/// All frozen tensors of a decoder, packed.
final class FrozenModel {
  let shape: DecoderConfiguration
  let storage: Storage
  let embedding: FrozenMatrix
  /// The embedding itself if tied.
  let head: FrozenMatrix
  let layers: [FrozenLayer]
  let finalNorm: FloatBuffer

  init(
    shape: DecoderConfiguration, weights: any DecoderWeights, storage: Storage
  ) throws {
    self.shape = shape
    self.storage = storage
    let reader = TensorReader(
      weights: weights, storage: storage, largest: Self.largestTensor(shape))
    embedding = try reader.matrix(
      "model.embed_tokens.weight", rows: shape.vocabulary, columns: shape.hidden)
    head =
      shape.tiedEmbeddings
      ? embedding
      : try reader.matrix("lm_head.weight", rows: shape.vocabulary, columns: shape.hidden)
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
