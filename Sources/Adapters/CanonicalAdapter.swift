import Identities

/// LoRA factors as the federation agrees on them: integers in units of 2⁻⁴⁰.
///
/// What is folded, compared and hashed is this; floats come out only at the edge, by ``rounded()``.
/// See Protocol/Merge.md.
public struct CanonicalAdapter: Sendable, Equatable {
  /// Fraction bits of a unit: a coordinate is `units × 2⁻⁴⁰`.
  public static let fractionBits = 40
  /// Largest magnitude of a coordinate in units, 2⁵⁸; sums saturate there.
  public static let maximumUnits: Int64 = 1 << 58

  /// Where each number sits.
  public let layout: AdapterLayout
  /// All factors in units of 2⁻⁴⁰, `layout.count` numbers.
  public var units: [Int64]

  /// An adapter from its units. Throws ``AdapterError/valueCount(expected:found:)``.
  public init(layout: AdapterLayout, units: [Int64]) throws(AdapterError) {
    guard units.count == layout.count else {
      throw AdapterError.valueCount(expected: layout.count, found: units.count)
    }
    self.layout = layout
    self.units = units
  }

  /// The start every member derives from the charter's seed: A drawn uniformly, B zero.
  ///
  /// The numbers of every A, factor after factor in the layout's order, are uniform integers
  /// between −b and b with b = ⌊2⁴⁰ / √inputs⌋, from the stream whose seed is the content id of
  /// `seed` as kind `start`. One draw masks a word to the bits of 2b and is repeated while above
  /// 2b. Any length of seed will do. See Protocol/Merge.md, "Start".
  public static func start(layout: AdapterLayout, seed: [UInt8]) -> CanonicalAdapter {
    var stream = DeterministicStream(seed: ContentID(of: seed, kind: .start).bytes)
    var units = [Int64](repeating: 0, count: layout.count)
    for factor in layout.factors where factor.kind == .a {
      let bound = startBound(inputs: factor.columns)
      let span = UInt64(2 * bound)
      let mask = UInt64.max >> UInt64(span.leadingZeroBitCount)
      for index in factor.range {
        var word = stream.next() & mask
        while word > span { word = stream.next() & mask }
        units[index] = Int64(word) - bound
      }
    }
    return CanonicalAdapter(layout: layout, filled: units)
  }

  /// ⌊2⁴⁰ / √inputs⌋, which is the integer square root of ⌊2⁸⁰ / inputs⌋. Inputs at least 1.
  public static func startBound(inputs: Int) -> Int64 {
    Int64(integerSquareRoot((UInt128(1) << 80) / UInt128(inputs)))
  }

  /// The float32 adapter that trainers get and that contributions are measured against.
  public func rounded() -> Adapter {
    Adapter(layout: layout, filled: units.map(Self.rounded))
  }

  /// A coordinate as float32, rounded once, half to even: the conversion of the integer rounds, and
  /// the multiplication by 2⁻⁴⁰ is exact, because the smallest magnitude that is not zero, 2⁻⁴⁰, is
  /// far above float32's subnormal numbers.
  package static func rounded(_ units: Int64) -> Float { Float(units) * 0x1p-40 }

  /// An adapter whose number of units is known to be right.
  package init(layout: AdapterLayout, filled units: [Int64]) {
    self.layout = layout
    self.units = units
  }
}

/// The largest integer whose square is at most `value`.
///
/// Digit by digit, so that no float has a part in it.
public func integerSquareRoot(_ value: UInt128) -> UInt64 {
  var rest = value
  var root: UInt128 = 0
  var bit: UInt128 = 1 << UInt128((127 - min(value.leadingZeroBitCount, 127)) / 2 * 2)
  while bit != 0 {
    if rest >= root + bit {
      rest -= root + bit
      root = (root >> 1) + bit
    } else {
      root >>= 1
    }
    bit >>= 2
  }
  return UInt64(root)
}
