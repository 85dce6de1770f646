import Records

/// The charter's numbers that the fold needs. All of them are integers.
public struct FoldRules: Sendable, Equatable {
  /// How the deltas of one round become one.
  public enum Rule: String, Sendable, CaseIterable {
    /// Clip to the median norm, then mean weighted by capped tokens.
    case clippedMean = "clipped-mean"
    /// Clip, then the median of each coordinate. Tokens are ignored.
    case median = "median"
    /// Clip, nearest-neighbour mixing, then trimmed mean. Tokens are ignored; fewer than four
    /// contributions are folded by their clipped mean.
    case nnmTrimmedMean = "nnm-trimmed-mean"
  }

  /// Bits after the point of ``outerRate`` and ``momentum``.
  public static let fractionBits = 16

  /// How the deltas of one round become one.
  public let rule: Rule
  /// η in units of 2⁻¹⁶: 45,875 for 0.7.
  public let outerRate: UInt32
  /// μ in units of 2⁻¹⁶: 58,982 for 0.9.
  public let momentum: UInt32
  /// Rounds after which a contribution no longer weighs.
  public let latenessLimit: UInt32

  /// Rules in range. Throws ``FoldError`` naming the number that is not.
  public init(
    rule: Rule = .clippedMean, outerRate: UInt32 = 45_875, momentum: UInt32 = 58_982,
    latenessLimit: UInt32 = 2
  ) throws(FoldError) {
    guard (1...1 << 20).contains(outerRate) else { throw FoldError.outerRate(outerRate) }
    guard momentum < 1 << 16 else { throw FoldError.momentum(momentum) }
    guard latenessLimit <= UInt32(Limits.latenessMax) else {
      throw FoldError.latenessLimit(latenessLimit)
    }
    self.rule = rule
    self.outerRate = outerRate
    self.momentum = momentum
    self.latenessLimit = latenessLimit
  }
}
