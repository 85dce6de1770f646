import Adapters
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
///   - state: the state after the landing rounds before.
///   - group: what lands in this round; only the ledger can say that.
///   - deltas: gives the delta of an id that is neither recalled nor too late. What it throws ends
///     the fold.
///   - rules: the charter's.
/// - Throws: ``FoldError``, or what `deltas` throws; the state is untouched.
public func fold(
  _ state: FoldState, group: LandingGroup, deltas: (ContentID) throws -> Delta, rules: FoldRules
) throws -> FoldState {
  guard group.round > state.round else {
    throw FoldError.round(state: state.round, group: group.round)
  }
  let live = try Landed.live(group, rules: rules)
  guard !live.isEmpty else {
    return FoldState(
      layout: state.layout, round: group.round, theta: state.theta, velocity: state.velocity,
      medianNorms: state.medianNorms)
  }
  var landed: [Landed] = []
  for facts in live {
    let delta = try deltas(facts.id)
    guard delta.layout == state.layout else { throw FoldError.layout(facts.id) }
    landed.append(Landed(facts, delta: delta))
  }
  let medians = Clip.apply(to: &landed, remembered: state.medianNorms)
  var step = OuterStep(state, rules: rules)
  step.walk(Reduction(landed, rules: rules))
  return FoldState(
    layout: state.layout, round: group.round, theta: step.theta, velocity: step.velocity,
    medianNorms: medians)
}

/// Nesterov's step in fixed point: v ← μ·v + D, then θ ← θ + η·(D + μ·v).
private struct OuterStep {
  let layout: AdapterLayout
  let outerRate: Int64
  let momentum: Int64
  var theta: [Int64]
  var velocity: [Int64]

  init(_ state: FoldState, rules: FoldRules) {
    layout = state.layout
    outerRate = Int64(rules.outerRate)
    momentum = Int64(rules.momentum)
    theta = state.theta
    velocity = state.velocity
  }

  /// Takes the round's mean delta piece by piece, so that it never exists as a whole.
  mutating func walk(_ reduction: Reduction) {
    var reduction = reduction
    var change = [Int64](repeating: 0, count: Reduction.chunkLength)
    for (index, factor) in layout.factors.enumerated() {
      for start in stride(from: 0, to: factor.count, by: Reduction.chunkLength) {
        let range = start..<min(start + Reduction.chunkLength, factor.count)
        reduction.reduce(factor: index, range, into: &change)
        advance(at: factor.offset + start, by: change[..<range.count])
      }
    }
  }

  // |μ·v| ≤ 2⁵⁸ and |D| ≤ 2³⁹, so the sums stay in a word; η·(D + μ·v) does not, hence Int128.
  private mutating func advance(at offset: Int, by change: ArraySlice<Int64>) {
    for (index, delta) in change.enumerated() {
      let coordinate = offset + index
      let carried = scaled(velocity[coordinate], momentum) + Int128(delta)
      velocity[coordinate] = FixedPoint.saturated(carried)
      let ahead = scaled(velocity[coordinate], momentum) + Int128(delta)
      let moved = Int128(theta[coordinate]) + scaled(Int64(ahead), outerRate)
      theta[coordinate] = FixedPoint.saturated(moved)
    }
  }

  @inline(__always)
  private func scaled(_ value: Int64, _ factor: Int64) -> Int128 {
    FixedPoint.shiftedRight(FixedPoint.product(value, factor), by: FoldRules.fractionBits)
  }
}
