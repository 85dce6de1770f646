import Adapters
import Deltas
import Ledger

/// The round's deltas made into one, a few coordinates at a time, each rounded exactly once.
struct Reduction {
  /// Coordinates taken at a time. Divides the block length of every tier.
  static let chunkLength = 128

  private let landed: [Landed]
  private let firstBlocks: [[Int]]
  private let method: Method
  private var sums: [Int128]

  private enum Method {
    case weightedMean
    case median
    /// Which contributions each one is mixed with, and how many are trimmed at either end.
    case mixedTrimmedMean(neighbours: [[Int]], trim: Int)
  }

  /// Prepares the rule for contributions that have been clipped and stand in the order of ids.
  init(_ landed: [Landed], rules: FoldRules) {
    var landed = landed
    let isByTokens = rules.rule == .clippedMean
    let shares = Weights.shares(tokens: landed.map { isByTokens ? $0.facts.tokens : 1 })
    for index in landed.indices { landed[index].weight = shares[index] }
    self.landed = landed
    firstBlocks = landed.map { Self.firstBlocks(of: $0.delta) }
    switch rules.rule {
    case .median: method = .median
    case .nnmTrimmedMean where landed.count >= 4:
      let trim = (landed.count - 1) / 3
      method = .mixedTrimmedMean(
        neighbours: Neighbours(landed, keeping: landed.count - trim).lists, trim: trim)
    case .clippedMean, .nnmTrimmedMean: method = .weightedMean
    }
    sums = [Int128](repeating: 0, count: Self.chunkLength)
  }

  /// The round's D for coordinates `range` of a factor, counted from the factor's first.
  mutating func reduce(factor: Int, _ range: Range<Int>, into change: inout [Int64]) {
    switch method {
    case .weightedMean: weightedMean(factor, range, &change)
    case .median: median(factor, range, &change)
    case .mixedTrimmedMean(let neighbours, let trim):
      mixedTrimmedMean(factor, range, neighbours, trim, &change)
    }
  }

  // Shares add up to 2¹⁶, clips are at most 2³², lateness at most 36: a multiplier is below 2⁵⁴,
  // times a symbol below 2⁶¹, and a sum of coordinates of at most 2³⁹ units below 2⁹³.
  private mutating func weightedMean(_ factor: Int, _ range: Range<Int>, _ change: inout [Int64]) {
    for index in 0..<range.count { sums[index] = 0 }
    for (index, one) in landed.enumerated() {
      let multiplier = one.weight * one.clips[factor] * one.lateness
      add(index, factor, range, times: multiplier, to: &sums)
    }
    for index in 0..<range.count {
      change[index] = FixedPoint.divided(
        sums[index], by: Landed.latenessDenominator,
        shift: Landed.clipBits + Landed.weightBits)
    }
  }

  private func median(_ factor: Int, _ range: Range<Int>, _ change: inout [Int64]) {
    let rows = scaledRows(factor, range)
    var column = [Int128](repeating: 0, count: landed.count)
    let lower = (landed.count - 1) / 2
    let upper = landed.count / 2
    for index in 0..<range.count {
      for row in rows.indices { column[row] = rows[row][index] }
      column.sort()
      change[index] = FixedPoint.divided(
        column[lower] + column[upper], by: 2 * Landed.latenessDenominator,
        shift: Landed.clipBits)
    }
  }

  // A row is below 2⁷⁷; mixed and summed over at most 256 labs it stays below 2⁹³.
  private func mixedTrimmedMean(
    _ factor: Int, _ range: Range<Int>, _ neighbours: [[Int]], _ trim: Int,
    _ change: inout [Int64]
  ) {
    let rows = scaledRows(factor, range)
    var column = [Int128](repeating: 0, count: landed.count)
    let kept = trim..<landed.count - trim
    let divisor = Int64(neighbours[0].count * kept.count) * Landed.latenessDenominator
    for index in 0..<range.count {
      for row in rows.indices {
        column[row] = neighbours[row].reduce(0) { $0 + rows[$1][index] }
      }
      column.sort()
      change[index] = FixedPoint.divided(
        column[kept].reduce(0, +), by: divisor, shift: Landed.clipBits)
    }
  }

  /// Each contribution's coordinates, clipped and scaled by lateness, over 36 × 2³².
  private func scaledRows(_ factor: Int, _ range: Range<Int>) -> [[Int128]] {
    landed.indices.map { index in
      var row = [Int128](repeating: 0, count: range.count)
      let multiplier = landed[index].clips[factor] * landed[index].lateness
      add(index, factor, range, times: multiplier, to: &row)
      return row
    }
  }

  /// Adds `multiplier × symbol × 2^exponent` of one contribution to sums.
  @inline(__always)
  private func add(
    _ index: Int, _ factor: Int, _ range: Range<Int>, times multiplier: Int64,
    to sums: inout [Int128]
  ) {
    let delta = landed[index].delta
    let block = firstBlocks[index][factor] + range.lowerBound / delta.tier.blockLength
    let exponent = Int128(delta.exponents[block])
    let start = delta.layout.factors[factor].offset + range.lowerBound
    delta.symbols.withUnsafeBufferPointer { symbols in
      sums.withUnsafeMutableBufferPointer { sums in
        for position in 0..<range.count {
          let symbol = symbols[start + position]
          if symbol != 0 { sums[position] += Int128(multiplier * Int64(symbol)) << exponent }
        }
      }
    }
  }

  /// The index of each factor's first block.
  static func firstBlocks(of delta: Delta) -> [Int] {
    var next = 0
    return delta.layout.factors.map { factor in
      defer { next += (factor.count + delta.tier.blockLength - 1) / delta.tier.blockLength }
      return next
    }
  }
}

/// Which contributions lie nearest to which, by exact squared distance.
struct Neighbours {
  /// For each contribution, those it is mixed with, itself among them.
  let lists: [[Int]]

  /// Keeps the nearest `count` of each; ties go to the lower id.
  init(_ landed: [Landed], keeping count: Int) {
    let distances = Self.squaredDistances(landed)
    lists = landed.indices.map { one in
      let byDistance = landed.indices.sorted {
        (distances[one][$0], $0) < (distances[one][$1], $1)
      }
      return byDistance.prefix(count).sorted()
    }
  }

  // A clipped coordinate, rounded to a unit, is at most 2³⁹; a squared difference at most 2⁸⁰, and
  // the sum over 2²⁸ coordinates at most 2¹⁰⁸.
  private static func squaredDistances(_ landed: [Landed]) -> [[UInt128]] {
    let count = landed.count
    var distances = [[UInt128]](repeating: [UInt128](repeating: 0, count: count), count: count)
    let layout = landed[0].delta.layout
    let firstBlocks = landed.map { Reduction.firstBlocks(of: $0.delta) }
    var column = [Int64](repeating: 0, count: count)
    for (index, factor) in layout.factors.enumerated() {
      for position in 0..<factor.count {
        for (row, one) in landed.enumerated() {
          let block = firstBlocks[row][index] + position / one.delta.tier.blockLength
          let symbol = Int64(one.delta.symbols[factor.offset + position])
          column[row] = clipped(symbol << Int64(one.delta.exponents[block]), one.clips[index])
        }
        for row in 0..<count {
          for other in 0..<row {
            let difference = (column[row] - column[other]).magnitude
            let square = difference.multipliedFullWidth(by: difference)
            distances[row][other] += UInt128(square.high) << 64 | UInt128(square.low)
          }
        }
      }
    }
    for row in 0..<count {
      for other in 0..<row { distances[other][row] = distances[row][other] }
    }
    return distances
  }

  private static func clipped(_ units: Int64, _ clip: Int64) -> Int64 {
    Int64(
      FixedPoint.shiftedRight(FixedPoint.product(units, clip), by: Landed.clipBits))
  }
}
