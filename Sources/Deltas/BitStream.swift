/// Writes bits, the lowest of each byte first.
package struct BitWriter {
  package private(set) var bytes: [UInt8] = []
  private var used = 0

  package init() {}

  package mutating func append(_ value: Int, bits: Int) {
    for bit in 0..<bits {
      if used == 0 { bytes.append(0) }
      bytes[bytes.count - 1] |= UInt8(value >> bit & 1) << UInt8(used)
      used = (used + 1) & 7
    }
  }

  /// A gap in Rice code: its upper part as so many ones and a zero, then `parameter` lower bits.
  package mutating func append(gap: Int, parameter: Int) {
    for _ in 0..<gap >> parameter { append(1, bits: 1) }
    append(0, bits: 1)
    append(gap, bits: parameter)
  }
}

/// Reads what ``BitWriter`` wrote; past the end there is nothing, never a trap.
struct BitReader {
  private let bytes: [UInt8]
  private var position: Int

  /// Reads from a byte onwards.
  init(_ bytes: [UInt8], from start: Int) {
    self.bytes = bytes
    position = start * 8
  }

  /// Whether every bit has been read.
  var isAtEnd: Bool { position == bytes.count * 8 }

  /// The next bits; nil at the end.
  mutating func next(bits: Int) -> Int? {
    guard position + bits <= bytes.count * 8 else { return nil }
    var value = 0
    for bit in 0..<bits {
      value |= Int(bytes[position >> 3] >> UInt8(position & 7) & 1) << bit
      position += 1
    }
    return value
  }

  /// The next gap; nil at the end, and as soon as it exceeds `limit`.
  mutating func nextGap(parameter: Int, limit: Int) -> GapResult {
    var upper = 0
    while true {
      guard let bit = next(bits: 1) else { return .end }
      if bit == 0 { break }
      upper += 1
      if upper << parameter > limit { return .beyond }
    }
    guard let lower = next(bits: parameter) else { return .end }
    let gap = upper << parameter | lower
    return gap > limit ? .beyond : .gap(gap)
  }

  enum GapResult {
    case gap(Int)
    case end, beyond
  }

  /// Moves to the next whole byte; false when a bit that is passed over is set.
  mutating func align() -> Bool {
    while position & 7 != 0 {
      if next(bits: 1) != 0 { return false }
    }
    return true
  }
}
