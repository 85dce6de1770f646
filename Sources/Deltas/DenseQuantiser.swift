import Adapters

/// Tiers int4 and int3: per block one of the two powers of two around max/7 or max/3, and every
/// coordinate rounded to it, half to even.
///
/// The coarser power is taken while its squared error is below ``coarseness`` times the finer
/// one's: on a real change that lengthens the error by a hundredth and saves a tenth of a bit.
///
/// Float decides here, and may: the choice is the author's own, and what it chose is integers.
struct DenseQuantiser {
  private typealias Lane = SIMD8<Float>
  /// 1.5 × 2²³: adding and subtracting it rounds a small float to an integer, half to even.
  private static let roundingTrick = Lane(repeating: 12_582_912)

  /// How much more squared error the coarser exponent may make.
  private static let coarseness: Float = 2

  private let layout: AdapterLayout
  private let tier: DeltaTier
  private let limit: Lane

  init(layout: AdapterLayout, tier: DeltaTier) {
    self.layout = layout
    self.tier = tier
    limit = Lane(repeating: Float(tier.maximumSymbol))
  }

  /// The delta, and what it leaves unsaid.
  func quantise(_ wanted: [Float]) -> (delta: Delta, unsaid: [Float]) {
    var exponents = [Int8](repeating: 0, count: tier.blockCount(of: layout))
    var symbols = [Int8](repeating: 0, count: layout.count)
    var unsaid = wanted
    var block = [Lane](repeating: .zero, count: tier.blockLength / Lane.scalarCount)
    var chosen = block
    wanted.withUnsafeBytes { wanted in
      tier.forEachBlock(of: layout) { index, _, range in
        let bytes = range.lowerBound * 4..<range.upperBound * 4
        block.withUnsafeMutableBytes { lanes in
          lanes.copyMemory(from: UnsafeRawBufferPointer(rebasing: wanted[bytes]))
          for byte in bytes.count..<lanes.count { lanes[byte] = 0 }
        }
        exponents[index] = choose(block, &chosen)
        let scale = Delta.scale(exponents[index])
        chosen.withUnsafeBytes { lanes in
          for (position, coordinate) in range.enumerated() {
            let symbol = lanes.load(fromByteOffset: 4 * position, as: Float.self)
            symbols[coordinate] = Int8(symbol)
            unsaid[coordinate] -= symbol * scale
          }
        }
      }
    }
    return (Delta(layout: layout, tier: tier, unchecked: exponents, symbols), unsaid)
  }

  /// The block's exponent; leaves its symbols, as floats, in `chosen`.
  private func choose(_ block: [Lane], _ chosen: inout [Lane]) -> Int8 {
    let magnitude = largest(block)
    guard magnitude > 0 else {
      for index in chosen.indices { chosen[index] = .zero }
      return 0
    }
    let highest = Int(tier.maximumExponent)
    let floor =
      Int((magnitude / Float(tier.maximumSymbol)).exponent) + CanonicalAdapter.fractionBits
    let lower = Int8(min(max(floor, 0), highest))
    let upper = Int8(min(max(floor + 1, 0), highest))
    // Errors are in units of their own scales, of which the upper one is twice as long.
    let isUpper =
      lower != upper
      && squaredError(block, upper) * 4 < squaredError(block, lower) * Self.coarseness
    let exponent = isUpper ? upper : lower
    let inverse = 1 / Delta.scale(exponent)
    for index in block.indices { chosen[index] = rounded(block[index] * inverse) }
    return largest(chosen) == 0 ? 0 : exponent
  }

  private func largest(_ block: [Lane]) -> Float {
    var largest = Lane.zero
    for lane in block { largest = pointwiseMax(largest, pointwiseMax(lane, -lane)) }
    return largest.max()
  }

  /// The squared error of rounding at an exponent, in units of its own scale.
  private func squaredError(_ block: [Lane], _ exponent: Int8) -> Float {
    let inverse = 1 / Delta.scale(exponent)
    var sum = Lane.zero
    for lane in block {
      let scaled = lane * inverse
      let error = scaled - rounded(scaled)
      sum += error * error
    }
    return sum.sum()
  }

  @inline(__always)
  private func rounded(_ scaled: Lane) -> Lane {
    let held = pointwiseMin(pointwiseMax(scaled, -limit), limit)
    return (held + Self.roundingTrick) - Self.roundingTrick
  }
}
