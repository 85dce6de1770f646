import Identities

/// The numbers that a federation goes by and may change: the charter's at first, later as proposals
/// that were enacted made them. Protocol/Ledger.md, "Rules".
public struct Rules: Sendable, Hashable {
  /// How rounds go.
  public let round: Hanse_V1_RoundRules
  /// How contributions are folded.
  public let merge: Hanse_V1_MergeRules
  /// How contributions are judged.
  public let judging: Hanse_V1_JudgingRules

  /// The names of the ways in which a round's deltas become one; `Merging` knows what they do.
  public static let mergeRules = ["clipped-mean", "median", "nnm-trimmed-mean"]

  /// The charter's.
  public init(_ charter: Charter) {
    round = charter.message.round
    merge = charter.message.merge
    judging = charter.message.judging
  }

  private init(
    _ round: Hanse_V1_RoundRules, _ merge: Hanse_V1_MergeRules, _ judging: Hanse_V1_JudgingRules
  ) {
    self.round = round
    self.merge = merge
    self.judging = judging
  }

  /// These rules with a change.
  ///
  /// - Throws: ``RecordError`` for a number beyond its limits, and for a change that changes
  ///   nothing.
  public func applying(_ change: Hanse_V1_RuleChange) throws(RecordError) -> Rules {
    var (round, merge, judging) = (round, merge, judging)
    if change.hasLocalSteps { round.localSteps = change.localSteps }
    if change.hasBatch { round.batch = change.batch }
    if change.hasLearningRate { round.learningRate = change.learningRate }
    if change.hasLabsToBegin { round.labsToBegin = change.labsToBegin }
    if change.hasGraceSeconds { round.graceSeconds = change.graceSeconds }
    if change.hasRule { merge.rule = change.rule }
    if change.hasOuterRateQ16 { merge.outerRateQ16 = change.outerRateQ16 }
    if change.hasMomentumQ16 { merge.momentumQ16 = change.momentumQ16 }
    if change.hasLatenessLimit { merge.latenessLimit = change.latenessLimit }
    if change.hasToleranceMicronats { judging.toleranceMicronats = change.toleranceMicronats }
    if change.hasCommittee { judging.committee = change.committee }
    try Self.check(change)
    let result = Rules(round, merge, judging)
    guard result != self else { throw .field("the change", "changes nothing") }
    return result
  }

  /// Throws for a number beyond its limits; what is absent stays, and is not looked at.
  private static func check(_ change: Hanse_V1_RuleChange) throws(RecordError) {
    try within(change.hasLocalSteps, change.localSteps, 1...1 << 20, "local_steps")
    try within(change.hasBatch, change.batch, 1...1 << 16, "batch")
    try within(
      change.hasLabsToBegin, change.labsToBegin, 1...UInt32(Limits.labsMax), "labs_to_begin")
    try within(
      change.hasGraceSeconds, change.graceSeconds, 0...UInt32(Limits.graceSecondsMax),
      "grace_seconds")
    try within(change.hasOuterRateQ16, change.outerRateQ16, 1...1 << 20, "outer_rate_q16")
    try within(change.hasMomentumQ16, change.momentumQ16, 0...65_535, "momentum_q16")
    try within(
      change.hasLatenessLimit, change.latenessLimit, 0...UInt32(Limits.latenessMax),
      "lateness_limit")
    try within(
      change.hasToleranceMicronats, change.toleranceMicronats,
      0...UInt64(Limits.toleranceMicronatsMax), "tolerance_micronats")
    try within(change.hasCommittee, change.committee, 1...UInt32(Limits.judgesMax), "committee")
    if change.hasLearningRate {
      guard change.learningRate.isFinite, change.learningRate > 0, change.learningRate <= 1 else {
        throw .field("learning_rate", "is \(change.learningRate), not above 0 and at most 1")
      }
    }
    guard !change.hasRule || mergeRules.contains(change.rule) else {
      throw .field("rule", "is none of " + mergeRules.joined(separator: ", "))
    }
  }

  private static func within<Number: FixedWidthInteger>(
    _ isSet: Bool, _ value: Number, _ range: ClosedRange<Number>, _ name: String
  ) throws(RecordError) {
    guard !isSet || range.contains(value) else {
      throw .field(name, "is \(value), not \(range.lowerBound) to \(range.upperBound)")
    }
  }

  /// Everything in it, for the roster's name.
  public var canonicalBytes: [UInt8] {
    var bytes: [UInt8] = []
    for number in [
      round.localSteps, round.batch, round.labsToBegin, round.graceSeconds, merge.outerRateQ16,
      merge.momentumQ16, merge.latenessLimit, judging.committee,
    ] { bytes += number.littleEndianBytes }
    bytes += round.learningRate.bitPattern.littleEndianBytes
    bytes += judging.toleranceMicronats.littleEndianBytes
    return bytes + Array(merge.rule.utf8)
  }
}
