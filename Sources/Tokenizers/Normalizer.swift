// For `_nfc` and `_nfd`: the standard library composes text for its own comparisons, and
// FoundationEssentials has no composition that could be asked instead.
@_spi(_Unicode) import Swift

/// What is done to text before it is cut, in order.
struct Normalizer: Sendable, Equatable {
  enum Step: Sendable, Equatable {
    /// Unicode's composed form, NFC.
    case composed
    /// Unicode's decomposed form, NFD.
    case decomposed
    /// Put before any text that is not empty.
    case prepend([UInt8])
    /// Every occurrence of a text becomes another.
    case replace([UInt8], with: [UInt8])
  }

  var steps: [Step] = []

  /// Steps, and cuts behind them: real tokenizers have a handful, and each is a pass over the text.
  static let stepsMax = 64
  /// Bytes of a text that is looked for: more would make looking slow, and are no use.
  static let patternBytesMax = 256
  /// How many times as long a text may become: marks for blanks make it three times, NFD three.
  static let growthMax = 256

  /// How many times as long a text becomes at most, and no more than a little beyond the limit.
  var growth: Int {
    var growth = 1
    for step in steps where growth <= Self.growthMax {
      switch step {
      case .composed, .decomposed: growth *= 3
      case .prepend(let head): growth *= 1 + head.count
      case .replace(let old, let new): growth *= max(1, (new.count + old.count - 1) / old.count)
      }
    }
    return growth
  }

  /// The text's bytes after all steps.
  func apply(_ text: [UInt8]) -> [UInt8] {
    var bytes = text
    for step in steps {
      switch step {
      case .composed where bytes.contains { $0 >= 0x80 }:
        bytes = Self.utf8(String(decoding: bytes, as: UTF8.self)._nfc)
      case .decomposed where bytes.contains { $0 >= 0x80 }:
        bytes = Self.utf8(String(decoding: bytes, as: UTF8.self)._nfd)
      case .composed, .decomposed: break
      case .prepend(let head): if !bytes.isEmpty { bytes = head + bytes }
      case .replace(let old, let new): bytes = Self.replace(old, with: new, in: bytes)
      }
    }
    return bytes
  }

  private static func utf8(_ scalars: some Sequence<Unicode.Scalar>) -> [UInt8] {
    var bytes: [UInt8] = []
    for scalar in scalars { bytes += UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter }
    return bytes
  }

  /// From left to right; what was put in is not looked at again.
  static func replace(_ old: [UInt8], with new: [UInt8], in bytes: [UInt8]) -> [UInt8] {
    guard let first = old.first, bytes.contains(first) else { return bytes }
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count + 16)
    var index = 0
    while index < bytes.count {
      if bytes[index] == first, bytes[index...].starts(with: old) {
        result += new
        index += old.count
      } else {
        result.append(bytes[index])
        index += 1
      }
    }
    return result
  }
}
