/// GPT-2's way to write any byte as a visible character, so that a vocabulary is plain text.
///
/// Printable Latin-1 stands for itself; the 68 other bytes, in order, are U+0100 and following.
/// Source: `bytes_to_unicode` in OpenAI's gpt-2/src/encoder.py.
enum ByteAlphabet {
  /// The scalar that stands for each byte.
  static let scalars: [Unicode.Scalar] = {
    var result: [Unicode.Scalar] = []
    var next: UInt32 = 0x100
    for byte in UInt8.min...UInt8.max {
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: result.append(Unicode.Scalar(byte))
      default:
        result.append(Unicode.Scalar(next) ?? "\u{FFFD}")
        next += 1
      }
    }
    return result
  }()

  /// The byte that each scalar below 0x144 stands for; nil where it stands for none.
  private static let bytes: [UInt8?] = {
    var result = [UInt8?](repeating: nil, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { result[Int(scalar.value)] = UInt8(byte) }
    return result
  }()

  /// The bytes that a vocabulary text stands for, or nil when a scalar is not of the alphabet.
  static func bytes(of text: String) -> [UInt8]? {
    var result: [UInt8] = []
    for scalar in text.unicodeScalars {
      guard scalar.value < 0x144, let byte = bytes[Int(scalar.value)] else { return nil }
      result.append(byte)
    }
    return result
  }
}
