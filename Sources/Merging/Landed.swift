import Adapters
import Deltas
import Identities
import Ledger

/// A contribution about to be folded, with what the round's rules made of it.
struct Landed {
  /// Common denominator of all lateness scales: (1 + s)⁻² is 36/36, 9/36 or 4/36.
  static let latenessDenominator: Int64 = 36
  /// Bits after the point of a clip.
  static let clipBits = 32
  /// Bits after the point of a weight.
  static let weightBits = 16

  let facts: AdmittedContribution
  let delta: Delta
  /// ⌊√Σ units²⌋ of each factor.
  let norms: [UInt64]
  /// Numerator of the lateness scale over ``latenessDenominator``.
  let lateness: Int64
  /// What each factor is multiplied by, in units of 2⁻³²; 2³² where nothing is clipped.
  var clips: [Int64] = []
  /// Share of the round in units of 2⁻¹⁶, before lateness.
  var weight: Int64 = 0

  init(_ facts: AdmittedContribution, delta: Delta) {
    self.facts = facts
    self.delta = delta
    norms = delta.factorNorms()
    switch facts.landingRound - facts.round {
    case 0: lateness = 36
    case 1: lateness = 9
    default: lateness = 4
    }
  }

  /// Those of a group that weigh anything, by id, each once, with the group's faults refused.
  static func live(_ group: LandingGroup, rules: FoldRules) throws(FoldError)
    -> [AdmittedContribution]
  {
    let sorted = group.contributions.sorted { $0.id < $1.id }
    var live: [AdmittedContribution] = []
    for (index, facts) in sorted.enumerated() {
      guard facts.landingRound == group.round, facts.round <= group.round else {
        throw FoldError.landing(facts.id)
      }
      if index > 0, sorted[index - 1].id == facts.id {
        guard sorted[index - 1] == facts else { throw FoldError.conflict(facts.id) }
        continue
      }
      let lateness = facts.landingRound - facts.round
      if !facts.isRecalled, lateness <= rules.latenessLimit { live.append(facts) }
    }
    let byAuthor = live.sorted { ($0.author, $0.round) < ($1.author, $1.round) }
    for (one, next) in zip(byAuthor, byAuthor.dropFirst())
    where one.author == next.author && one.round == next.round {
      throw FoldError.twice(author: one.author, round: one.round)
    }
    return live
  }
}

/// The element at position ⌊(n − 1) / 2⌋ of the sorted values. At least one value.
package func lowerMedian(_ values: [UInt64]) -> UInt64 {
  values.sorted()[(values.count - 1) / 2]
}

/// Per-tensor clipping to the round's median norm.
package enum Clip {
  /// Contributions from which on a round's own median is trusted.
  package static let quorum = 3

  /// The clip of each contribution and factor, and the medians to remember.
  ///
  /// With three or more the limit is the round's lower median. With fewer it is the remembered one,
  /// and none where nothing is remembered, which zero stands for.
  static func apply(to landed: inout [Landed], remembered: [UInt64]) -> [UInt64] {
    for index in landed.indices {
      landed[index].clips = [Int64](repeating: 1 << Landed.clipBits, count: remembered.count)
    }
    var medians = remembered
    let isQuorum = landed.count >= quorum
    for factor in remembered.indices {
      let median = lowerMedian(landed.map { $0.norms[factor] })
      if isQuorum || remembered[factor] != 0 {
        let limit = isQuorum ? median : remembered[factor]
        for index in landed.indices {
          landed[index].clips[factor] = scale(norm: landed[index].norms[factor], limit: limit)
        }
      }
      medians[factor] = next(median, after: remembered[factor], isQuorum: isQuorum)
    }
    return medians
  }

  /// ⌊limit × 2³² / norm⌋ where the norm is above the limit, else 2³².
  static func scale(norm: UInt64, limit: UInt64) -> Int64 {
    guard norm > limit else { return 1 << Landed.clipBits }
    return Int64((UInt128(limit) << UInt128(Landed.clipBits)) / UInt128(norm))
  }

  /// What is remembered for rounds of fewer than three: the median, but a round of fewer than three
  /// at most doubles it, and a median of zero changes nothing.
  package static func next(_ median: UInt64, after remembered: UInt64, isQuorum: Bool) -> UInt64 {
    if median == 0 { return remembered }
    if isQuorum || remembered == 0 { return median }
    let doubled = remembered.addingReportingOverflow(remembered)
    return doubled.overflow ? median : min(median, doubled.partialValue)
  }
}

/// Shares of a round.
package enum Weights {
  /// Each one's share in units of 2⁻¹⁶, together exactly 2¹⁶: tokens, capped at their lower median,
  /// by the method of largest remainders, ties to the lower id. All equal when the cap is zero.
  ///
  /// `tokens` stands in the order of ids and is not empty.
  package static func shares(tokens: [UInt64]) -> [Int64] {
    let cap = lowerMedian(tokens)
    let capped = tokens.map { cap == 0 ? 1 : UInt128(min($0, cap)) }
    let total = capped.reduce(0, +)
    let whole: UInt128 = 1 << UInt128(Landed.weightBits)
    var shares = capped.map { Int64($0 * whole / total) }
    let rests = capped.map { $0 * whole % total }
    let missing = Int(whole) - Int(shares.reduce(0, +))
    let byRest = rests.indices.sorted { (rests[$1], $0) < (rests[$0], $1) }
    for index in byRest.prefix(missing) { shares[index] += 1 }
    return shares
  }
}
