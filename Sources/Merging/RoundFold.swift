import Adapters
import Deltas
import Identities
import Ledger

/// One round about to be folded: who weighs in it is known, their deltas are not yet.
///
/// The whole of the arithmetic behind ``fold(_:group:deltas:rules:)``. Its errors have one type, so
/// that it also compiles as Embedded Swift, for machines without Foundation or a runtime.
package struct RoundFold {
  /// Whose deltas are needed, by id, each once.
  package let weighing: [AdmittedContribution]
  private var state: FoldState
  private let round: UInt32
  private let rules: FoldRules

  /// Looks the group over. Throws ``FoldError``.
  package init(onto state: consuming FoldState, group: LandingGroup, rules: FoldRules)
    throws(FoldError)
  {
    guard group.round > state.round else {
      throw FoldError.round(state: state.round, group: group.round)
    }
    weighing = try Landed.live(group, rules: rules)
    self.state = state
    round = group.round
    self.rules = rules
  }

  /// The state after the round. Throws ``FoldError/layout(_:)``.
  ///
  /// Made in the place of the one before where nobody else holds that: states can be large.
  ///
  /// Precondition: one delta for each of ``weighing``, in that order.
  package consuming func folded(_ deltas: [Delta]) throws(FoldError) -> FoldState {
    precondition(deltas.count == weighing.count, "a fold needs the deltas of all that weigh")
    state.round = round
    guard !weighing.isEmpty else { return state }
    var landed: [Landed] = []
    for (facts, delta) in zip(weighing, deltas) {
      guard delta.layout == state.layout else { throw FoldError.layout(facts.id) }
      landed.append(Landed(facts, delta: delta))
    }
    state.medianNorms = Clip.apply(to: &landed, remembered: state.medianNorms)
    OuterStep(rules).walk(Reduction(landed, rules: rules), &state)
    return state
  }
}

/// Nesterov's step in fixed point: v ← μ·v + D, then θ ← θ + η·(D + μ·v).
private struct OuterStep {
  let outerRate: Int64
  let momentum: Int64

  init(_ rules: FoldRules) {
    outerRate = Int64(rules.outerRate)
    momentum = Int64(rules.momentum)
  }

  /// Takes the round's mean delta piece by piece, so that it never exists as a whole.
  func walk(_ reduction: Reduction, _ state: inout FoldState) {
    var reduction = reduction
    var change = [Int64](repeating: 0, count: Reduction.chunkLength)
    for (index, factor) in state.layout.factors.enumerated() {
      for start in stride(from: 0, to: factor.count, by: Reduction.chunkLength) {
        let range = start..<min(start + Reduction.chunkLength, factor.count)
        reduction.reduce(factor: index, range, into: &change)
        advance(
          &state.theta, &state.velocity, at: factor.offset + start, by: change[..<range.count])
      }
    }
  }

  // |μ·v| ≤ 2⁵⁸ and |D| ≤ 2³⁹, so the sums stay in a word; η·(D + μ·v) does not, hence Int128.
  private func advance(
    _ theta: inout [Int64], _ velocity: inout [Int64], at offset: Int,
    by change: ArraySlice<Int64>
  ) {
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
