import Identities
import Ledger
import Merging
import Records

/// How far each contribution pushed the shared model, from what the logs say alone: the length of
/// what it put into its round's fold, after its share, its clip and its lateness.
///
/// For people to read. Nothing that labs must agree on follows from it, so it may use floats, and
/// the two robust rules, which have no shares, count here as if all weighed the same.
struct Pushes {
  /// The median norm of each factor that the fold remembers.
  private var remembered: [UInt64] = []

  /// Lands a group; groups come in their order.
  mutating func land(
    _ group: LandingGroup, under rules: Hanse_V1_MergeRules, norms: (ContentID) -> [UInt64]
  ) -> [ContentID: Double] {
    let weighing = group.contributions.filter {
      !$0.isRecalled && $0.landingRound - $0.round <= rules.latenessLimit
    }
    let lengths = weighing.map { norms($0.id) }
    guard let factors = lengths.first?.count, lengths.allSatisfy({ $0.count == factors }) else {
      return [:]
    }
    if remembered.count != factors { remembered = [UInt64](repeating: 0, count: factors) }
    var squares = [Double](repeating: 0, count: weighing.count)
    let isQuorum = weighing.count >= Clip.quorum
    for factor in 0..<factors {
      let median = lowerMedian(lengths.map { $0[factor] })
      let limit = isQuorum ? median : remembered[factor] == 0 ? .max : remembered[factor]
      for index in weighing.indices {
        let norm = Double(min(lengths[index][factor], limit))
        squares[index] += norm * norm
      }
      remembered[factor] = Clip.next(median, after: remembered[factor], isQuorum: isQuorum)
    }
    let isByTokens = FoldRules.Rule(rawValue: rules.rule) == .clippedMean
    let shares = Weights.shares(tokens: weighing.map { isByTokens ? $0.tokens : 1 })
    var pushes: [ContentID: Double] = [:]
    for (index, contribution) in weighing.enumerated() {
      let late = Double(1 + contribution.landingRound - contribution.round)
      pushes[contribution.id] =
        Double(shares[index]) * 0x1p-16 * squares[index].squareRoot() * 0x1p-40 / (late * late)
    }
    return pushes
  }
}
