import Deltas
import Identities
import Ledger

/// The state after the contributions that land in one round: the protocol's merge, a step at a
/// time.
///
/// Integers only, and the group is a set: any order, any duplicates, any machine give the same
/// bytes. A round in which nothing weighs makes no step. See Protocol/Merge.md, "Round".
///
/// - Parameters:
///   - state: the state after the landing rounds before. Who hands over the only copy of a large
///     one saves its size in memory.
///   - group: what lands in this round; only the ledger can say that.
///   - deltas: gives the delta of an id that is neither recalled nor too late. What it throws ends
///     the fold.
///   - rules: the charter's.
/// - Throws: ``FoldError``, or what `deltas` throws; the caller's copies are untouched.
public func fold(
  _ state: consuming FoldState, group: LandingGroup, deltas: (ContentID) throws -> Delta,
  rules: FoldRules
) throws -> FoldState {
  let round = try RoundFold(onto: state, group: group, rules: rules)
  let landed = try round.weighing.map { try deltas($0.id) }
  return try round.folded(landed)
}
