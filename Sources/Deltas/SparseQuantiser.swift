import Adapters

/// Tiers top64 to top512: of each block the largest coordinates, each as one of two levels with a
/// sign.
///
/// The levels are the means of the larger and the smaller half as two-means clustering finds them
/// (Lloyd, 1957), rounded to what a byte can say.
struct SparseQuantiser {
  /// Rounds of clustering: further ones move the levels by less than a byte can tell.
  private static let clusteringRounds = 6

  private let layout: AdapterLayout
  private let tier: DeltaTier

  init(layout: AdapterLayout, tier: DeltaTier) {
    self.layout = layout
    self.tier = tier
  }

  /// The delta, and what it leaves unsaid.
  func quantise(_ wanted: [Float]) -> (delta: Delta, unsaid: [Float]) {
    var exponents = [Int8](repeating: 0, count: tier.blockCount(of: layout))
    var symbols = [Int8](repeating: 0, count: layout.count)
    var unsaid = wanted
    tier.forEachBlock(of: layout) { block, _, range in
      let chosen = largest(wanted, in: range)
      guard let last = chosen.last, wanted[last] != 0 else { return }
      let (exponent, levels) = fit(chosen.map { abs(wanted[$0]) })
      let scale = Delta.scale(exponent)
      let (least, middle) = (Float(levels.low) / 2, Float(levels.low + levels.high) / 2)
      var isEmpty = true
      for coordinate in chosen {
        let magnitude = abs(wanted[coordinate]) / scale
        // What is nearer to nothing than to the lower level waits.
        guard magnitude >= least else { continue }
        isEmpty = false
        let level = Int8(magnitude > middle ? levels.high : levels.low)
        symbols[coordinate] = wanted[coordinate] < 0 ? -level : level
        unsaid[coordinate] -= Float(symbols[coordinate]) * scale
      }
      exponents[block] = isEmpty ? 0 : exponent
    }
    return (Delta(layout: layout, tier: tier, unchecked: exponents, symbols), unsaid)
  }

  /// The coordinates of the largest magnitudes, none of them zero; ties go to the lower coordinate.
  private func largest(_ wanted: [Float], in range: Range<Int>) -> [Int] {
    // Magnitude above, place below: positive floats compare like their bits.
    var keys: [UInt64] = []
    keys.reserveCapacity(range.count)
    for coordinate in range where wanted[coordinate] != 0 {
      let place = UInt32(range.upperBound - coordinate)
      keys.append(UInt64(wanted[coordinate].magnitude.bitPattern) << 32 | UInt64(place))
    }
    keys.sort(by: >)
    return keys.prefix(tier.entryLimit(length: range.count)).map {
      range.upperBound - Int(UInt32(truncatingIfNeeded: $0))
    }
  }

  /// Exponent and levels for magnitudes in descending order, at least one, none zero.
  private func fit(_ magnitudes: [Float]) -> (Int8, SparseLevels) {
    // Scaled to the largest first, so that no sum can overflow.
    let largest = magnitudes[0]
    let scaled = magnitudes.map { Double($0 / largest) }
    var low = scaled[scaled.count - 1]
    var high = scaled[0]
    for _ in 0..<Self.clusteringRounds {
      let middle = (low + high) / 2
      let split = scaled.firstIndex { $0 <= middle } ?? scaled.count
      if split > 0 { high = scaled[..<split].reduce(0, +) / Double(split) }
      if split < scaled.count {
        low = scaled[split...].reduce(0, +) / Double(scaled.count - split)
      }
    }
    let unit = Double(largest) * 0x1p40
    let bits = SparseLevels.lowRange.lowerBound.trailingZeroBitCount
    let exponent = min(
      max(Int((low * unit).exponent) - bits, 0), Int(tier.maximumExponent))
    let scale = unit / Double(sign: .plus, exponent: exponent, significand: 1)
    let lowest = hold((low * scale).rounded(), SparseLevels.lowRange)
    let highest = hold(
      (high * scale).rounded(), lowest + 1...lowest + SparseLevels.maximumDistance)
    return (Int8(exponent), SparseLevels(low: lowest, high: highest))
  }

  private func hold(_ value: Double, _ range: ClosedRange<Int>) -> Int {
    Int(min(max(value, Double(range.lowerBound)), Double(range.upperBound)))
  }
}
