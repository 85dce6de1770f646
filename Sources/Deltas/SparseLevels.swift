/// The two magnitudes that the entries of a sparse block take, times the block's power of two.
///
/// One byte holds both: the lower less 8 in the upper nibble, the distance less 1 in the lower one.
struct SparseLevels: Equatable {
  /// Range of the lower magnitude. Its top bit is fixed, as the exponent does the rest.
  static let lowRange = 8...15
  /// Largest distance between the two.
  static let maximumDistance = 16
  /// Largest magnitude, 31.
  static let highest = lowRange.upperBound + maximumDistance

  /// The lower magnitude, 8…15.
  let low: Int
  /// The higher magnitude, 1…16 above it.
  let high: Int

  init(low: Int, high: Int) {
    self.low = low
    self.high = high
  }

  /// The levels of a byte; nil when its top bit is set.
  init?(byte: UInt8) {
    guard byte < 128 else { return nil }
    low = Int(byte >> 4) + Self.lowRange.lowerBound
    high = low + Int(byte & 15) + 1
  }

  /// The byte that holds both.
  var byte: UInt8 {
    UInt8(low - Self.lowRange.lowerBound) << 4 | UInt8(high - low - 1)
  }

  /// The levels that hold all of these magnitudes, which are not zero; nil when there are none.
  ///
  /// Where only one is used, the other is chosen by rule, so that a delta packs one way only.
  init?(holding magnitudes: some Sequence<Int>) {
    var least = Int.max
    var most = 0
    for magnitude in magnitudes { (least, most) = (min(least, magnitude), max(most, magnitude)) }
    guard least >= Self.lowRange.lowerBound, most <= Self.highest else { return nil }
    guard magnitudes.allSatisfy({ $0 == least || $0 == most }) else { return nil }
    if least == most {
      low = min(least, Self.lowRange.upperBound)
      high = low == least ? low + 1 : least
    } else {
      guard Self.lowRange.contains(least), most - least <= Self.maximumDistance else { return nil }
      low = least
      high = most
    }
  }
}
