/// What the split patterns distinguish. The raw values are those of `scalarClassBoundaries`.
enum ScalarClass {
  static let other: UInt8 = 0
  /// \p{Lu} and \p{Lt}.
  static let upper: UInt8 = 1
  /// \p{Ll}.
  static let lower: UInt8 = 2
  /// \p{Lm} and \p{Lo}: letters without case.
  static let caseless: UInt8 = 3
  /// \p{M}.
  static let mark: UInt8 = 4
  /// \p{N}.
  static let number: UInt8 = 5
  /// \s.
  static let space: UInt8 = 6
  /// The classes, without the digit bit.
  static let mask: UInt8 = 7
  /// Split off by the Digits step, whose Unicode version is another one than the patterns'.
  static let digit: UInt8 = 8

  /// One byte for each scalar: the run-length table unfolded once, 1.1 MB that lives as long as the
  /// process. Unsafe because of the pointer only; it is written before anybody can see it.
  nonisolated(unsafe) static let table: UnsafePointer<UInt8> = {
    let count = 0x110000
    let table = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
    var start = 0
    var code: UInt8 = 0
    for boundary in scalarClassBoundaries {
      let next = Int(boundary >> 8)
      (table + start).initialize(repeating: code, count: next - start)
      start = next
      code = UInt8(boundary & 0xFF)
    }
    (table + start).initialize(repeating: code, count: count - start)
    return UnsafePointer(table)
  }()

  @inline(__always)
  static func isLetter(_ code: UInt8) -> Bool {
    let kind = code & mask
    return kind == upper || kind == lower || kind == caseless
  }

  /// Anything but white space, letters and numbers: the patterns' `[^\s\p{L}\p{N}]`.
  @inline(__always)
  static func isSymbol(_ code: UInt8) -> Bool {
    let kind = code & mask
    return kind == other || kind == mark
  }
}
