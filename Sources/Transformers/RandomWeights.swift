/// Weights as a fresh model has them: norms one, everything else small and random. For measuring
/// speed and memory of a shape whose weights are not at hand.
public struct RandomWeights: DecoderWeights {
  /// All weights follow from the tensors' names.
  public init() {}

  /// Fills any tensor that is asked for.
  public func readTensor(_ name: String, into values: UnsafeMutableBufferPointer<Float>) throws {
    if name.hasSuffix("norm.weight") {
      values.update(repeating: 1)
      return
    }
    // A linear congruence: even enough to measure with, and quick for billions of numbers.
    var state = name.utf8.reduce(UInt32(3)) { ($0 ^ UInt32($1)) &* 16_777_619 }
    for index in values.indices {
      state = state &* 1_664_525 &+ 1_013_904_223
      values[index] = 0.05 * (Float(state >> 8) * 0x1p-23 - 1)
    }
  }
}

extension DecoderConfiguration {
  /// Shapes that are measured by name; weights are random.
  public static let measuredShapes: [(name: String, shape: DecoderConfiguration)] = [
    ("tiny", llama(96, hidden: 64, layers: 2, heads: 4, keyValue: 2, intermediate: 96)),
    ("135m", .smolLM2Small),
    ("360m", llama(49_152, hidden: 960, layers: 32, heads: 15, keyValue: 5, intermediate: 2560)),
    ("1.7b", llama(49_152, hidden: 2048, layers: 24, heads: 32, keyValue: 32, intermediate: 8192)),
    (
      "8b",
      llama(
        128_256, hidden: 4096, layers: 32, heads: 32, keyValue: 8, intermediate: 14_336,
        tied: false)
    ),
  ]

  private static func llama(
    _ vocabulary: Int, hidden: Int, layers: Int, heads: Int, keyValue: Int, intermediate: Int,
    tied: Bool = true
  ) -> DecoderConfiguration {
    DecoderConfiguration(
      vocabulary: vocabulary, hidden: hidden, layers: layers, heads: heads,
      keyValueHeads: keyValue, headDimension: hidden / heads, intermediate: intermediate,
      ropeTheta: 100_000, normEpsilon: 1e-5, tiedEmbeddings: tied, maximumPositions: 8192)
  }
}
