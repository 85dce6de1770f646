/// Text to token ids and back: byte-pair encoding over bytes or scalars, as the model's own
/// tokenizer does it.
///
/// Safe to use from several threads at once. Tests/Tools/tokenizer_parity.py holds it to the
/// reference.
public struct Tokenizer: Sendable {
  let vocabulary: Vocabulary
  let preTokenizer: PreTokenizer
  /// What is done to text first.
  let normalizer: Normalizer
  /// Whether a decoded text loses the blank that it begins with.
  let stripsFirstBlank: Bool
  private let cache = CacheShelf()

  /// The token that stands between two documents: `<|endoftext|>` where the vocabulary has it, else
  /// the end of a sequence.
  public let documentSeparator: Int32
  /// The token that ends a sequence.
  public let endOfSequence: Int32
  /// What the model's own tokenizer puts before a text, such as `<|begin_of_text|>`; often nothing.
  /// Training and evaluation leave it out; an answer should begin with it.
  public let beginning: [Int32]
  /// Further tokens that the model's files name as ends of an answer.
  private let furtherStops: [Int32]
  /// The model's chat template, a Jinja text, where it has one.
  public let chatTemplate: String?

  init(
    vocabulary: Vocabulary, preTokenizer: PreTokenizer, normalizer: Normalizer,
    stripsFirstBlank: Bool, marks: Marks, chatTemplate: String?, path: String
  ) throws {
    let textEnd = vocabulary.id(ofSpecial: "<|endoftext|>")
    guard let end = marks.endOfSequence ?? textEnd else {
      throw TokenizerError.malformed(
        path: path, place: "special tokens",
        reason: "no token is named as the end of a sequence, and there is no <|endoftext|>")
    }
    guard end >= 0, Int(end) < vocabulary.tokens.count else {
      throw TokenizerError.malformed(
        path: path, place: "special tokens",
        reason: "the end-of-sequence token \(end) is outside the vocabulary")
    }
    for id in marks.beginning where id < 0 || Int(id) >= vocabulary.tokens.count {
      throw TokenizerError.malformed(
        path: path, place: "special tokens", reason: "the token \(id) is outside the vocabulary")
    }
    self.vocabulary = vocabulary
    self.preTokenizer = preTokenizer
    self.normalizer = normalizer
    self.stripsFirstBlank = stripsFirstBlank
    self.chatTemplate = chatTemplate
    self.endOfSequence = end
    beginning = marks.beginning
    furtherStops = marks.furtherStops
    documentSeparator = textEnd ?? end
  }

  /// Tokens that a model's files name for a purpose.
  struct Marks {
    var endOfSequence: Int32?
    var beginning: [Int32] = []
    var furtherStops: [Int32] = []
  }

  /// How many ids there are; ids are below it.
  public var vocabularySize: Int { vocabulary.tokens.count }

  /// The id of a special token, by its exact text.
  public func id(ofSpecial text: String) -> Int32? { vocabulary.id(ofSpecial: text) }

  /// Ids at which generation ends: the end of a sequence, of a text, and of a chat turn, by their
  /// usual names and as the model's files name them.
  public var stopTokens: [Int32] {
    let turnEnds = [
      "<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>",
      "<|assistant_end|>",
    ]
    return Array(
      Set(turnEnds.compactMap(id(ofSpecial:)) + [endOfSequence] + furtherStops)
    ).sorted()
  }

  /// The ids of a text. No special token is added, and text that spells one stays text.
  public func encode(_ text: String) -> [Int32] {
    var copy = text
    return copy.withUTF8 { bytes in
      var result: [Int32] = []
      result.reserveCapacity(bytes.count / 3 + 8)
      var encoder = WordEncoder(vocabulary: vocabulary, cache: cache.take())
      eachStretch(of: bytes, between: vocabulary.userDefined, into: &result) { range, result in
        let stretch = UnsafeBufferPointer(rebasing: bytes[range])
        encodeStretch(stretch, isFirst: range.lowerBound == 0, with: &encoder, into: &result)
      }
      cache.put(encoder.finish())
      return result
    }
  }

  /// The ids of a text given as bytes; what is not UTF-8 counts as U+FFFD.
  public func encode(bytes: [UInt8]) -> [Int32] {
    encode(String(decoding: bytes, as: UTF8.self))
  }

  /// Calls `body` for the text between the tokens that are looked for, whose ids go to `result`.
  private func eachStretch(
    of bytes: UnsafeBufferPointer<UInt8>, between tokens: Vocabulary.Findings,
    into result: inout [Int32], _ body: (Range<Int>, inout [Int32]) -> Void
  ) {
    var start = 0
    var position = 0
    while !tokens.isEmpty, position < bytes.count {
      guard let token = Self.token(of: tokens, in: bytes, at: position) else {
        position += 1
        continue
      }
      if start < position { body(start..<position, &result) }
      result.append(token.id)
      position += token.length
      start = position
    }
    if start < bytes.count { body(start..<bytes.count, &result) }
  }

  private static func token(
    of tokens: Vocabulary.Findings, in bytes: UnsafeBufferPointer<UInt8>, at position: Int
  ) -> (id: Int32, length: Int)? {
    guard let candidates = tokens[bytes[position]] else { return nil }
    for candidate in candidates where candidate.bytes.count <= bytes.count - position {
      if candidate.bytes.indices.allSatisfy({ bytes[position + $0] == candidate.bytes[$0] }) {
        return (candidate.id, candidate.bytes.count)
      }
    }
    return nil
  }

  /// Normalizes a stretch of text, looks for the tokens that are only found then, and cuts.
  private func encodeStretch(
    _ bytes: UnsafeBufferPointer<UInt8>, isFirst: Bool, with encoder: inout WordEncoder,
    into result: inout [Int32]
  ) {
    if normalizer.steps.isEmpty, vocabulary.normalizedTokens.isEmpty, !preTokenizer.changesText {
      encodeWords(bytes, with: &encoder, into: &result)
      return
    }
    normalizer.apply(Array(bytes)).withUnsafeBufferPointer { text in
      eachStretch(of: text, between: vocabulary.normalizedTokens, into: &result) { range, result in
        let stretch = preTokenizer.prepare(
          Array(text[range]), isFirst: isFirst && range.lowerBound == 0)
        stretch.withUnsafeBufferPointer { encodeWords($0, with: &encoder, into: &result) }
      }
    }
  }

  private func encodeWords(
    _ text: UnsafeBufferPointer<UInt8>, with encoder: inout WordEncoder,
    into result: inout [Int32]
  ) {
    guard let bytes = text.baseAddress else { return }
    guard let usual = preTokenizer.usual else {
      Cutter(bytes: bytes, cuts: preTokenizer.cuts).words(from: 0, to: text.count) { start, end in
        encoder.append(
          UnsafeBufferPointer(start: bytes + start, count: end - start), to: &result)
      }
      return
    }
    var scanner = WordScanner(bytes: bytes, end: text.count, pattern: usual.pattern)
    var position = 0
    while position < text.count {
      let pieceEnd =
        usual.splitsDigits ? scanner.pieceEnd(from: position, limit: text.count) : text.count
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
    if stripsFirstBlank, bytes.first == 0x20 { bytes.removeFirst() }
    return String(decoding: bytes, as: UTF8.self)
  }
}
