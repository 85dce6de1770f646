/// What the merges of a vocabulary begin with.
enum Alphabet: Sendable, Equatable {
  /// Single bytes, each written as a printable scalar: GPT-2's way.
  case bytes
  /// Scalars, and for those that are no tokens their bytes, written `<0x0A>`, where there are
  /// tokens for all of them: SentencePiece's way. `blank` is how a blank is written, and
  /// `readsBytes` says whether those tokens become bytes again.
  case scalars(byteFallback: Bool, blank: [UInt8]?, readsBytes: Bool)

  /// The bytes that a normal token's text stands for; nil when it is not of the alphabet.
  func meaning(of text: String) -> [UInt8]? {
    switch self {
    case .bytes: return ByteAlphabet.bytes(of: text)
    case .scalars(_, let blank, let readsBytes):
      if readsBytes, let byte = Self.byte(of: text) { return [byte] }
      let bytes = Array(text.utf8)
      return blank.map { Normalizer.replace($0, with: [0x20], in: bytes) } ?? bytes
    }
  }

  /// The byte that a token such as `<0x0A>` stands for.
  static func byte(of text: String) -> UInt8? {
    let bytes = Array(text.utf8)
    guard bytes.count == 6, bytes.starts(with: Array("<0x".utf8)), bytes[5] == UInt8(ascii: ">")
    else { return nil }
    func digit(_ byte: UInt8) -> UInt8? {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
      case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
      default: nil
      }
    }
    guard let high = digit(bytes[3]), let low = digit(bytes[4]) else { return nil }
    return high << 4 | low
  }
}

/// The token that stands for what the vocabulary lacks.
struct UnknownToken: Sendable, Equatable {
  let id: Int32
  /// Whether neighbours become one.
  var fuses = false
}
