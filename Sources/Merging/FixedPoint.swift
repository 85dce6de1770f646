/// The integer arithmetic of the fold. Bounds that make a step safe stand beside it.
enum FixedPoint {
  /// The exact product of two words.
  @inline(__always)
  static func product(_ left: Int64, _ right: Int64) -> Int128 {
    let wide = left.multipliedFullWidth(by: right)
    return Int128(wide.high) << 64 | Int128(wide.low)
  }

  /// `value / 2^shift`, rounded once, half to even. Shift 1…126.
  @inline(__always)
  static func shiftedRight(_ value: Int128, by shift: Int) -> Int128 {
    let floor = value >> Int128(shift)
    let rest = value & ((1 << Int128(shift)) - 1)
    let half: Int128 = 1 << Int128(shift - 1)
    return rest > half || (rest == half && floor & 1 == 1) ? floor + 1 : floor
  }

  /// `value / (divisor × 2^shift)`, rounded once, half to even, for |value| < 2^(shift + 62).
  ///
  /// ⌊v / (d·2^s)⌋ = ⌊⌊v / 2^s⌋ / d⌋, and the inner quotient fits a word: the division is 64 bits
  /// wide although the number is 128. Divisor at least 1, below 2³².
  @inline(__always)
  static func divided(_ value: Int128, by divisor: Int64, shift: Int) -> Int64 {
    let inner = Int64(value >> Int128(shift))
    var (floor, rest) = inner.quotientAndRemainder(dividingBy: divisor)
    if rest < 0 {
      floor -= 1
      rest += divisor
    }
    // What is left over, in units of 2^-shift of the divisor: below divisor × 2^shift.
    let left = Int128(rest) << Int128(shift) + (value & ((1 << Int128(shift)) - 1))
    let twice = left << 1
    let whole = Int128(divisor) << Int128(shift)
    return twice > whole || (twice == whole && floor & 1 == 1) ? floor + 1 : floor
  }

  /// `value` held within ±2⁵⁸.
  @inline(__always)
  static func saturated(_ value: Int128) -> Int64 {
    let limit: Int128 = 1 << 58
    return Int64(min(max(value, -limit), limit))
  }
}
