import Adapters
import Identities

/// What one lab's round changed in the adapter: a small integer per coordinate, and per block of
/// coordinates the power of two it is multiplied by.
///
/// A coordinate's change is `symbol × 2^exponent` units of 2⁻⁴⁰: an exact integer, so that
/// everybody folds the same numbers. A value of this type has passed every check of
/// Protocol/Delta.md; its coordinates are at most 2³⁹ units.
public struct Delta: Sendable, Equatable {
  /// Largest magnitude of a coordinate in units: half of one.
  public static let maximumUnits: Int64 = 1 << 39

  /// Where each coordinate sits.
  public let layout: AdapterLayout
  /// How finely the delta is cut.
  public let tier: DeltaTier
  /// One power of two for each block; 0 where a block is all zero.
  public let exponents: [Int8]
  /// One small integer for each coordinate.
  public let symbols: [Int8]

  /// A delta from its parts. Throws ``DeltaError`` for counts, ranges and all-zero blocks that are
  /// not in canonical form.
  public init(
    layout: AdapterLayout, tier: DeltaTier = .int4, exponents: [Int8], symbols: [Int8]
  ) throws(DeltaError) {
    guard symbols.count == layout.count else {
      throw DeltaError.coordinateCount(expected: layout.count, found: symbols.count)
    }
    let blocks = tier.blockCount(of: layout)
    guard exponents.count == blocks else {
      throw DeltaError.blockCount(expected: blocks, found: exponents.count)
    }
    self.init(layout: layout, tier: tier, unchecked: exponents, symbols)
    try check()
  }

  /// For the quantiser and the decoder, which check or construct the values themselves.
  init(layout: AdapterLayout, tier: DeltaTier, unchecked exponents: [Int8], _ symbols: [Int8]) {
    self.layout = layout
    self.tier = tier
    self.exponents = exponents
    self.symbols = symbols
  }

  /// The duties of readers that concern decoded values, in the specification's order: exponents,
  /// symbols, all-zero blocks; then, where the tier is sparse, entries and levels.
  func check() throws(DeltaError) {
    let exponentRange = 0...tier.maximumExponent
    for (block, exponent) in exponents.enumerated() where !exponentRange.contains(exponent) {
      throw DeltaError.exponent(block: block, value: Int(exponent))
    }
    let limit = tier.maximumSymbol
    try symbols.withUnsafeBufferPointer { symbols throws(DeltaError) in
      // Found first and named afterwards: the loop without an exit runs many at a time.
      var outside: UInt8 = 0
      for symbol in symbols { outside |= (symbol > limit || symbol < -limit) ? 1 : 0 }
      if outside != 0, let index = symbols.firstIndex(where: { $0 > limit || $0 < -limit }) {
        throw DeltaError.symbol(coordinate: index, value: Int(symbols[index]))
      }
      try tier.forEachBlock(of: layout) { block, _, range throws(DeltaError) in
        guard exponents[block] != 0 else { return }
        var union: Int8 = 0
        for index in range { union |= symbols[index] }
        if union == 0 { throw DeltaError.zeroBlock(block: block) }
      }
    }
    if tier.entriesPerBlock != nil { try checkEntries() }
  }

  /// Whether each block of a sparse delta has few enough entries, on two levels.
  private func checkEntries() throws(DeltaError) {
    try tier.forEachBlock(of: layout) { block, _, range throws(DeltaError) in
      let magnitudes = symbols[range].lazy.filter { $0 != 0 }.map { abs(Int($0)) }
      let count = magnitudes.reduce(0) { count, _ in count + 1 }
      guard count <= tier.entryLimit(length: range.count) else {
        throw DeltaError.entryCount(block: block, value: count)
      }
      guard count == 0 || SparseLevels(holding: magnitudes) != nil else {
        throw DeltaError.levels(block: block)
      }
    }
  }

  /// Whether nothing changed at all; such a delta is not worth an entry and is refused as one.
  public var isZero: Bool { symbols.allSatisfy { $0 == 0 } }

  /// The change of every coordinate in units of 2⁻⁴⁰.
  public func units() -> [Int64] {
    [Int64](unsafeUninitializedCapacity: layout.count) { units, count in
      symbols.withUnsafeBufferPointer { symbols in
        tier.forEachBlock(of: layout) { block, _, range in
          let exponent = Int64(exponents[block])
          for index in range { units[index] = Int64(symbols[index]) << exponent }
        }
      }
      count = layout.count
    }
  }

  /// The Euclidean norm of each factor in units of 2⁻⁴⁰, rounded down: ⌊√Σ units²⌋, exact.
  ///
  /// In the layout's order of factors. Takes time in proportion to the coordinates.
  public func factorNorms() -> [UInt64] {
    var squares = [UInt128](repeating: 0, count: layout.factors.count)
    symbols.withUnsafeBufferPointer { symbols in
      tier.forEachBlock(of: layout) { block, factor, range in
        var sum: Int32 = 0  // at most 4096 × 31² < 2²²
        for index in range { sum &+= Int32(symbols[index]) &* Int32(symbols[index]) }
        squares[factor] += UInt128(sum) << UInt128(2 * Int(exponents[block]))
      }
    }
    return squares.map(integerSquareRoot)
  }

  /// The content id of what the delta says, however it was compressed: what the author signs.
  ///
  /// Over the layout's id, the tier, the exponents and the symbols, a byte each. See
  /// Protocol/Delta.md, "Symbols hash". Takes time in proportion to the coordinates.
  public func symbolsHash() -> ContentID {
    var hasher = ContentHasher(kind: .symbols)
    hasher.update(layout.id.bytes)
    hasher.update([tier.rawValue])
    exponents.withUnsafeBytes { hasher.update($0) }
    symbols.withUnsafeBytes { hasher.update($0) }
    return hasher.finish()
  }
}

extension CanonicalAdapter {
  /// ``rounded()`` of this adapter with a delta added as it is, number by number, held within
  /// ±``maximumUnits``: what a judge measures. Precondition: one layout.
  ///
  /// The sum exists a number at a time only: as a whole it is twice as large as what comes out.
  public func rounded(adding delta: Delta) -> Adapter {
    precondition(layout == delta.layout, "a delta of another layout than the adapter")
    let limit = Self.maximumUnits
    var values = [Float](repeating: 0, count: layout.count)
    units.withUnsafeBufferPointer { units in
      delta.symbols.withUnsafeBufferPointer { symbols in
        delta.tier.forEachBlock(of: layout) { block, _, range in
          let exponent = Int64(delta.exponents[block])
          for index in range {
            let sum = units[index] + Int64(symbols[index]) << exponent
            values[index] = Self.rounded(min(max(sum, -limit), limit))
          }
        }
      }
    }
    return Adapter(layout: layout, filled: values)
  }
}
