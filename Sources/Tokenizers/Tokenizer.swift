// For `_nfc`: the standard library composes text for its own comparisons, and FoundationEssentials
// has no composition that could be asked instead.
@_spi(_Unicode) import Swift

/// Text to token ids and back: byte-level byte-pair encoding, as the model's own tokenizer does it.
///
/// Safe to use from several threads at once. Tests/Tools/tokenizer_parity.py holds it to the
/// reference.
public struct Tokenizer: Sendable {
  let vocabulary: Vocabulary
  let preTokenizer: PreTokenizer
  /// Whether text is brought into Unicode's composed form first.
  let composes: Bool
  private let cache = CacheShelf()

  /// The token that stands between two documents: `<|endoftext|>` where the vocabulary has it, else
  /// the end of a sequence.
  public let documentSeparator: Int32
  /// The token that ends a sequence.
  public let endOfSequence: Int32
  /// The model's chat template, a Jinja text, where it has one.
  public let chatTemplate: String?

  init(
    vocabulary: Vocabulary, preTokenizer: PreTokenizer, composes: Bool, endOfSequence: Int32?,
    chatTemplate: String?, path: String
  ) throws {
    let textEnd = vocabulary.id(ofSpecial: "<|endoftext|>")
    guard let end = endOfSequence ?? textEnd else {
      throw TokenizerError.malformed(
        path: path, place: "special tokens",
        reason: "no token is named as the end of a sequence, and there is no <|endoftext|>")
    }
    guard end >= 0, Int(end) < vocabulary.tokens.count else {
      throw TokenizerError.malformed(
        path: path, place: "special tokens",
        reason: "the end-of-sequence token \(end) is outside the vocabulary")
    }
    self.vocabulary = vocabulary
    self.preTokenizer = preTokenizer
    self.composes = composes
    self.chatTemplate = chatTemplate
    self.endOfSequence = end
    documentSeparator = textEnd ?? end
  }

  /// How many ids there are; ids are below it.
  public var vocabularySize: Int { vocabulary.tokens.count }

  /// The id of a special token, by its exact text.
  public func id(ofSpecial text: String) -> Int32? { vocabulary.id(ofSpecial: text) }

  /// Ids at which generation ends: the end of a sequence, of a text, and of a chat turn.
  public var stopTokens: [Int32] {
    let turnEnds = ["<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>"]
    return Array(Set(turnEnds.compactMap(id(ofSpecial:)) + [endOfSequence])).sorted()
  }

  /// The ids of a text. No special token is added, and text that spells one stays text.
  public func encode(_ text: String) -> [Int32] {
    var copy = text
    if composes, !text.utf8.allSatisfy({ $0 < 0x80 }) {
      copy = String(String.UnicodeScalarView(text._nfc))
    }
    return copy.withUTF8 { bytes in
      var result: [Int32] = []
      result.reserveCapacity(bytes.count / 3 + 8)
      var encoder = WordEncoder(vocabulary: vocabulary, cache: cache.take())
      if let start = bytes.baseAddress {
        encode(start, count: bytes.count, with: &encoder, into: &result)
      }
      cache.put(encoder.finish())
      return result
    }
  }

  /// The ids of a text given as bytes; what is not UTF-8 counts as U+FFFD.
  public func encode(bytes: [UInt8]) -> [Int32] {
    encode(String(decoding: bytes, as: UTF8.self))
  }

  /// Cuts at user-defined tokens, which are found before anything else.
  private func encode(
    _ bytes: UnsafePointer<UInt8>, count: Int, with encoder: inout WordEncoder,
    into result: inout [Int32]
  ) {
    guard !vocabulary.userDefined.isEmpty else {
      encodePieces(bytes, from: 0, to: count, with: &encoder, into: &result)
      return
    }
    var start = 0
    var position = 0
    while position < count {
      guard let token = userDefined(at: bytes + position, count: count - position) else {
        position += 1
        continue
      }
      encodePieces(bytes, from: start, to: position, with: &encoder, into: &result)
      result.append(token.id)
      position += token.length
      start = position
    }
    encodePieces(bytes, from: start, to: count, with: &encoder, into: &result)
  }

  private func userDefined(
    at bytes: UnsafePointer<UInt8>, count: Int
  ) -> (id: Int32, length: Int)? {
    guard let candidates = vocabulary.userDefined[bytes[0]] else { return nil }
    for candidate in candidates where candidate.bytes.count <= count {
      if candidate.bytes.indices.allSatisfy({ bytes[$0] == candidate.bytes[$0] }) {
        return (candidate.id, candidate.bytes.count)
      }
    }
    return nil
  }

  private func encodePieces(
    _ bytes: UnsafePointer<UInt8>, from start: Int, to end: Int, with encoder: inout WordEncoder,
    into result: inout [Int32]
  ) {
    var scanner = WordScanner(bytes: bytes, end: end, pattern: preTokenizer.pattern)
    var position = start
    while position < end {
      let pieceEnd =
        preTokenizer.splitsDigits
        ? scanner.pieceEnd(from: position, limit: end) : end
      scanner.end = pieceEnd
      while position < pieceEnd {
        let wordEnd = scanner.wordEnd(from: position)
        encoder.append(
          UnsafeBufferPointer(start: bytes + position, count: wordEnd - position), to: &result)
        position = wordEnd
      }
    }
  }

  /// The bytes a token stands for; empty for an id outside the vocabulary. A token may hold part
  /// of a character, so a text is put together from bytes.
  public func bytes(of id: Int32) -> [UInt8] { Array(vocabulary.bytes(of: id)) }

  /// The text of ids, special tokens included; bytes that are not UTF-8 become U+FFFD.
  public func decode(_ ids: [Int32]) -> String {
    var bytes: [UInt8] = []
    for id in ids { bytes += vocabulary.bytes(of: id) }
    return String(decoding: bytes, as: UTF8.self)
  }
}
