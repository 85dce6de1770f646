import Adapters
import Deltas
import Identities
import Ledger
import Merging

/// The fold once more, slowly: one coordinate at a time, exact fractions, no shared code with the
/// real one but the types. Written from Protocol/Merge.md.
struct Referee {
  var layout: AdapterLayout
  var theta: [Int64]
  var velocity: [Int64]
  var medians: [UInt64]

  init(_ state: FoldState) {
    layout = state.layout
    theta = state.theta
    velocity = state.velocity
    medians = state.medianNorms
  }

  /// numerator / denominator, half to even.
  static func rounded(_ numerator: Int128, _ denominator: Int128) -> Int128 {
    var quotient = numerator / denominator
    var rest = numerator % denominator
    if rest < 0 {
      rest += denominator
      quotient -= 1
    }
    if rest * 2 > denominator || (rest * 2 == denominator && quotient % 2 != 0) { quotient += 1 }
    return quotient
  }

  static func root(_ value: UInt128) -> UInt64 {
    var low: UInt128 = 0
    var high: UInt128 = 1 << 63
    while low < high {
      let middle = (low + high + 1) / 2
      if middle * middle <= value { low = middle } else { high = middle - 1 }
    }
    return UInt64(low)
  }

  static func lowerMedian(_ values: [UInt64]) -> UInt64 {
    values.sorted()[(values.count + 1) / 2 - 1]
  }

  mutating func fold(_ samples: [Sample], rules: FoldRules) {
    let live = samples.filter { !$0.isRecalled && $0.landing - $0.round <= rules.latenessLimit }
      .sorted { $0.id < $1.id }
    if live.isEmpty { return }
    let units = live.map { $0.delta.units() }
    let clips = clip(units)
    let weights = weigh(
      rules.rule == .clippedMean ? live.map(\.tokens) : live.map { _ in 1 })
    let lateness = live.map { Int128([36, 9, 4][Int($0.landing - $0.round)]) }
    for (index, factor) in layout.factors.enumerated() {
      for coordinate in factor.range {
        let scaled = live.indices.map {
          Int128(units[$0][coordinate]) * clips[$0][index] * lateness[$0]
        }
        advance(coordinate, change(scaled, weights, rules, units, clips), rules)
      }
    }
  }

  private func change(
    _ scaled: [Int128], _ weights: [Int128], _ rules: FoldRules, _ units: [[Int64]],
    _ clips: [[Int128]]
  ) -> Int128 {
    let count = scaled.count
    switch rules.rule {
    case .nnmTrimmedMean where count >= 4:
      let trim = (count - 1) / 3
      let mixed = (0..<count).map { one in
        nearest(to: one, keeping: count - trim, units, clips).reduce(Int128(0)) { $0 + scaled[$1] }
      }.sorted()[trim..<count - trim]
      return Self.rounded(
        mixed.reduce(0, +), Int128(count - trim) * Int128(mixed.count) * 36 << 32)
    case .median:
      let sorted = scaled.sorted()
      return Self.rounded(sorted[(count - 1) / 2] + sorted[count / 2], 2 * 36 << 32)
    default:
      let sum = zip(scaled, weights).reduce(Int128(0)) { $0 + $1.0 * $1.1 }
      return Self.rounded(sum, 36 << 48)
    }
  }

  private func nearest(
    to one: Int, keeping: Int, _ units: [[Int64]], _ clips: [[Int128]]
  ) -> [Int] {
    let distances = units.indices.map { other in
      var sum: UInt128 = 0
      for (index, factor) in layout.factors.enumerated() {
        for coordinate in factor.range {
          let left = Self.rounded(Int128(units[one][coordinate]) * clips[one][index], 1 << 32)
          let right = Self.rounded(Int128(units[other][coordinate]) * clips[other][index], 1 << 32)
          sum += UInt128((left - right) * (left - right))
        }
      }
      return (sum, other)
    }
    return distances.sorted { $0 < $1 }.prefix(keeping).map(\.1)
  }

  private mutating func clip(_ units: [[Int64]]) -> [[Int128]] {
    var clips = units.map { _ in layout.factors.map { _ in Int128(1) << 32 } }
    for (index, factor) in layout.factors.enumerated() {
      let norms = units.map { units in
        Self.root(
          units[factor.range].reduce(UInt128(0)) {
            $0 + UInt128($1.magnitude) * UInt128($1.magnitude)
          })
      }
      let median = Self.lowerMedian(norms)
      let limit = norms.count >= 3 ? median : (medians[index] == 0 ? nil : medians[index])
      if let limit {
        for row in norms.indices where norms[row] > limit {
          clips[row][index] = Int128(limit) << 32 / Int128(norms[row])
        }
      }
      if median != 0 {
        medians[index] =
          norms.count >= 3 || medians[index] == 0 ? median : min(median, 2 * medians[index])
      }
    }
    return clips
  }

  private func weigh(_ tokens: [UInt64]) -> [Int128] {
    let cap = Self.lowerMedian(tokens)
    let capped = tokens.map { cap == 0 ? 1 : Int128(min($0, cap)) }
    let total = capped.reduce(0, +)
    var shares = capped.map { $0 * 65_536 / total }
    // The largest remainder, again and again.
    var rests = capped.map { $0 * 65_536 % total }
    while shares.reduce(0, +) < 65_536 {
      let best = rests.indices.max { (rests[$0], $1) < (rests[$1], $0) }!
      shares[best] += 1
      rests[best] = -1
    }
    return shares
  }

  private mutating func advance(_ coordinate: Int, _ change: Int128, _ rules: FoldRules) {
    let limit = Int128(1) << 58
    let momentum = Int128(rules.momentum)
    let carried = Self.rounded(momentum * Int128(velocity[coordinate]), 65_536) + change
    velocity[coordinate] = Int64(max(-limit, min(limit, carried)))
    let ahead = Self.rounded(momentum * Int128(velocity[coordinate]), 65_536) + change
    let moved =
      Int128(theta[coordinate]) + Self.rounded(Int128(rules.outerRate) * ahead, 65_536)
    theta[coordinate] = Int64(max(-limit, min(limit, moved)))
  }
}
