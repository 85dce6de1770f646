import Containers
import Determinism
import FoundationEssentials
import Testing
import Tokenizers

@Suite struct TokenizerTests {
  private let small: SmallVocabulary
  private let digits: JSONValue

  init() throws {
    small = try SmallVocabulary()
    digits = try JSONValue.parse(
      Array(
        #"""
        {"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},
        {"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]}
        """#.utf8))
  }

  private func tokenizer() throws -> Tokenizer {
    try small.tokenizer(preTokenizer: digits, added: small.specials)
  }

  @Test func textThatSpellsASpecialTokenStaysText() throws {
    let tokenizer = try tokenizer()
    let ids = tokenizer.encode("a<|endoftext|>b")
    #expect(ids.allSatisfy { $0 >= 7 })
    #expect(tokenizer.decode(ids) == "a<|endoftext|>b")
  }

  @Test func theSeparatorIsTheEndOfText() throws {
    let tokenizer = try tokenizer()
    #expect(tokenizer.documentSeparator == 0)
    #expect(tokenizer.endOfSequence == 2)
    #expect(tokenizer.id(ofSpecial: "<|im_end|>") == 2)
    #expect(tokenizer.id(ofSpecial: "a") == nil)
  }

  @Test func withoutAnEndOfTextTheEndOfSequenceSeparates() throws {
    let rest = JSONValue.array(Array(small.specials.array?.dropFirst() ?? []))
    #expect(try small.tokenizer(preTokenizer: digits, added: rest).documentSeparator == 2)
  }

  @Test func anyTextComesBack() throws {
    let tokenizer = try tokenizer()
    var generator = SeededGenerator(seed: 4)
    for _ in 0..<500 {
      var text = String.UnicodeScalarView()
      for _ in 0..<Int.random(in: 0..<60, using: &generator) {
        let limit: UInt32 = Bool.random(using: &generator) ? 0x80 : 0x110000
        if let scalar = Unicode.Scalar(UInt32.random(in: 0..<limit, using: &generator)) {
          text.append(scalar)
        }
      }
      let decoded = tokenizer.decode(tokenizer.encode(String(text)))
      #expect(decoded.unicodeScalars.elementsEqual(text))
    }
  }

  @Test func anyBytesAreEncoded() throws {
    let tokenizer = try tokenizer()
    #expect(tokenizer.encode(bytes: [0x61, 0xFF, 0x62]) == tokenizer.encode("a\u{FFFD}b"))
    #expect(tokenizer.encode(bytes: [0xE2, 0x82]) == tokenizer.encode("\u{FFFD}"))
    var generator = SeededGenerator(seed: 6)
    for _ in 0..<500 {
      let bytes = (0..<40).map { _ in UInt8.random(in: 0...255, using: &generator) }
      let decoded = tokenizer.decode(tokenizer.encode(bytes: bytes))
      #expect(decoded.utf8.elementsEqual(String(decoding: bytes, as: UTF8.self).utf8))
    }
  }

  @Test func idsOutsideTheVocabularyDecodeToNothing() throws {
    let tokenizer = try tokenizer()
    #expect(tokenizer.decode([-1, .max, .min]) == "")
    #expect(tokenizer.bytes(of: -1) == [])
  }

  @Test func halfACharacterDecodesToAReplacement() throws {
    let tokenizer = try tokenizer()
    // 🜀 is not in the training text, so its four bytes are several tokens.
    let ids = tokenizer.encode("\u{1F700}")
    #expect(ids.count > 1)
    #expect(tokenizer.decode(Array(ids.dropLast())).unicodeScalars.allSatisfy { $0 == "\u{FFFD}" })
  }

  /// The queue for long words and the plain search for short ones are two ways to one result.
  @Test func longWordsMergeAsShortOnesDo() throws {
    let tokenizer = try tokenizer()
    var generator = SeededGenerator(seed: 8)
    for _ in 0..<200 {
      let letters = (0..<Int.random(in: 49..<400, using: &generator)).map { _ in
        "eèntis🙂".unicodeScalars.randomElement(using: &generator) ?? "e"
      }
      let word = String(String.UnicodeScalarView(letters))
      #expect(tokenizer.encode(word) == merged(word, tokenizer))
    }
  }

  /// The definition: the pair of lowest rank, leftmost first, until none is left.
  private func merged(_ word: String, _ tokenizer: Tokenizer) -> [Int32] {
    let merges = small.json["model"]?["merges"]?.array ?? []
    let vocabulary = small.json["model"]?["vocab"]?.object ?? JSONObject()
    var ids: [ExactText: Int] = [:]
    for (text, id) in zip(vocabulary.keys, vocabulary.values) {
      ids[ExactText(text)] = id.integer
    }
    var ranks: [ExactText: Int] = [:]
    for (rank, merge) in merges.enumerated() {
      ranks[ExactText((merge.array ?? []).compactMap(\.string).joined(separator: " "))] = rank
    }
    // Words of one class: the pre-tokenizer cuts letters from symbols, nothing else.
    var result: [Int32] = []
    for run in runs(of: word) {
      var parts = run.utf8.map { String(byteCharacter($0)) }
      while true {
        let candidates = parts.indices.dropLast().compactMap { index in
          ranks[ExactText(parts[index] + " " + parts[index + 1])].map { (rank: $0, index: index) }
        }
        guard let best = candidates.min(by: { ($0.rank, $0.index) < ($1.rank, $1.index) }) else {
          break
        }
        parts[best.index] += parts.remove(at: best.index + 1)
      }
      result += parts.map { Int32(ids[ExactText($0)] ?? -1) }
    }
    return result
  }

  private func runs(of word: String) -> [String] {
    var runs: [String] = []
    var last: Bool?
    for scalar in word.unicodeScalars {
      if scalar.properties.isAlphabetic == last {
        runs[runs.count - 1].unicodeScalars.append(scalar)
      } else {
        runs.append(String(scalar))
        last = scalar.properties.isAlphabetic
      }
    }
    return runs
  }

  private func byteCharacter(_ byte: UInt8) -> Unicode.Scalar {
    switch byte {
    case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(byte)
    case 0x00...0x20: return Unicode.Scalar(0x100 + UInt32(byte)) ?? "?"
    case 0x7F...0xA0: return Unicode.Scalar(0x121 + UInt32(byte - 0x7F)) ?? "?"
    default: return Unicode.Scalar(0x143) ?? "?"
    }
  }

  @Test func aMegabyteOfOneLetterTakesSeconds() throws {
    let tokenizer = try tokenizer()
    for letter in ["e", " ", "\n", "1", "é", ".", "'"] {
      let text = String(repeating: letter, count: Slow.isWanted ? 1 << 20 : 1 << 17)
      let clock = ContinuousClock()
      let elapsed = clock.measure { _ = tokenizer.encode(text) }
      // Quadratic work would take minutes; this is a bound, not a measurement.
      #expect(elapsed < .seconds(20))
    }
  }

  @Test func manyThreadsGetTheSameIds() async throws {
    let tokenizer = try tokenizer()
    let variant = try #require(small.json["variants"]?.array?.first)
    let cases = SmallVocabulary.cases(variant)
    await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 {
        group.addTask { cases.allSatisfy { tokenizer.encode($0.text) == $0.ids } }
      }
      for await same in group { #expect(same) }
    }
  }
}

/// Whether tests may take their time.
enum Slow {
  static let isWanted = ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full"
}
