/// The tables of a byte-pair encoding: tokens, merges and the bytes they stand for.
struct Vocabulary: Sendable {
  /// How a token is meant.
  enum Kind: Sendable {
    /// Made by merges.
    case normal
    /// Stands for structure; text that spells it stays text.
    case special
    /// Found in text before anything is cut.
    case userDefined
    /// A hole in the numbering, or a token the publisher marks as unused.
    case unused
  }

  /// A token as the model's file describes it.
  struct Token: Sendable {
    var text: String
    var kind: Kind
    /// What a user-defined token looks like after the normalizer, where it is looked for only then.
    var normalized: [UInt8]?
  }

  /// Tokens to look for in text, longest first for each first byte.
  typealias Findings = [UInt8: [(bytes: [UInt8], id: Int32)]]

  /// The tokens by id.
  let tokens: [Token]
  /// The token of each single byte, -1 where the vocabulary has none.
  let byteTokens: [Int32]
  let merges: PairTable
  /// Whole words that are tokens, by their bytes; empty unless the model looks words up first.
  let wholeWords: ByteStringTable?
  /// The token for what the vocabulary lacks; nil drops it, as the reference does.
  let unknown: UnknownToken?
  let alphabet: Alphabet
  /// The tokens of single scalars, by their bytes; empty where the alphabet is bytes.
  let scalarTokens: ByteStringTable
  /// Tokens to look for in text as it is given.
  let userDefined: Findings
  /// Tokens to look for in text after the normalizer.
  let normalizedTokens: Findings

  private let arena: [UInt8]
  private let starts: [Int]
  private let idsBySpecialText: [String: Int32]

  /// Builds the tables.
  ///
  /// - Parameter merges: pairs of texts in the byte alphabet, by falling priority.
  /// - Throws: `TokenizerError.malformed` when a merge names or makes a token that is not there, or
  ///   two tokens have one text.
  init(
    tokens: [Token], merges: [(String, String)], looksUpWords: Bool, unknown: UnknownToken?,
    alphabet: Alphabet = .bytes, path: String
  ) throws {
    self.tokens = tokens
    self.unknown = unknown
    self.alphabet = alphabet
    var idsByText = ByteStringTable(capacity: tokens.count)
    var words = ByteStringTable(capacity: looksUpWords ? tokens.count : 0)
    var byteTokens = [Int32](repeating: -1, count: 256)
    var arena: [UInt8] = []
    var starts = [0]
    var specials: [String: Int32] = [:]
    var found: Findings = [:]
    var foundLater: Findings = [:]
    var scalars = ByteStringTable(capacity: 64)
    for (index, token) in tokens.enumerated() {
      let id = Int32(index)
      if token.kind != .unused, !idsByText.insert(Array(token.text.utf8), id) {
        throw TokenizerError.malformed(
          path: path, place: "token \(id)", reason: "another token has the same text")
      }
      var bytes = Array(token.text.utf8)
      switch token.kind {
      case .normal:
        guard let meant = alphabet.meaning(of: token.text) else { break }
        let word = alphabet == .bytes ? meant : bytes
        if alphabet == .bytes {
          if meant.count == 1 { byteTokens[Int(meant[0])] = id }
        } else {
          if let byte = Alphabet.byte(of: token.text) { byteTokens[Int(byte)] = id }
          if token.text.unicodeScalars.count == 1 { _ = scalars.insert(bytes, id) }
        }
        if looksUpWords { _ = words.insert(word, id) }
        bytes = meant
      case .special: specials[token.text] = id
      case .userDefined:
        specials[token.text] = id
        if let normalized = token.normalized {
          if let first = normalized.first {
            foundLater[first, default: []].append((normalized, id))
          }
        } else if let first = bytes.first {
          found[first, default: []].append((bytes, id))
        }
      case .unused: bytes = []
      }
      arena += bytes
      starts.append(arena.count)
    }
    for key in found.keys { found[key]?.sort { $0.bytes.count > $1.bytes.count } }
    for key in foundLater.keys { foundLater[key]?.sort { $0.bytes.count > $1.bytes.count } }
    self.merges = try Self.pairs(merges, idsByText, path: path)
    self.byteTokens = byteTokens
    self.arena = arena
    self.starts = starts
    idsBySpecialText = specials
    wholeWords = looksUpWords ? words : nil
    userDefined = found
    normalizedTokens = foundLater
    scalarTokens = scalars
  }

  private static func pairs(
    _ merges: [(String, String)], _ ids: ByteStringTable, path: String
  ) throws -> PairTable {
    var table = PairTable(capacity: merges.count)
    for (rank, (left, right)) in merges.enumerated() {
      let leftBytes = Array(left.utf8)
      let rightBytes = Array(right.utf8)
      guard let leftID = ids.value(of: leftBytes), let rightID = ids.value(of: rightBytes),
        let result = ids.value(of: leftBytes + rightBytes)
      else {
        throw TokenizerError.malformed(
          path: path, place: "merge \(rank)",
          reason: "it needs a token that the vocabulary does not have")
      }
      guard table.insert(leftID, rightID, rank: Int32(rank), result: result) else {
        throw TokenizerError.malformed(
          path: path, place: "merge \(rank)", reason: "the pair occurs twice")
      }
    }
    return table
  }

  /// The bytes a token stands for; empty for an id outside the vocabulary.
  func bytes(of id: Int32) -> ArraySlice<UInt8> {
    guard id >= 0, Int(id) < tokens.count else { return [] }
    return arena[starts[Int(id)]..<starts[Int(id) + 1]]
  }

  /// Appends the token of a single byte.
  @inline(__always)
  func append(_ byte: UInt8, to ids: inout [Int32]) {
    let id = byteTokens[Int(byte)]
    if id >= 0 {
      ids.append(id)
    } else if let unknown {
      ids.append(unknown.id)
    }
  }

  /// Appends the tokens that the merges of a word begin with.
  @inline(__always)
  func begin(_ word: UnsafeBufferPointer<UInt8>, in ids: inout [Int32]) {
    if case .bytes = alphabet, unknown == nil {
      for byte in word { append(byte, to: &ids) }
    } else {
      beginSlowly(word, in: &ids)
    }
  }

  /// The same for every alphabet. An unknown token waits for what it may be fused with, and comes
  /// only before the next token that is known: after the bytes of scalars between, as the
  /// reference has it.
  private func beginSlowly(_ word: UnsafeBufferPointer<UInt8>, in ids: inout [Int32]) {
    var waiting = false
    var index = 0
    while index < word.count {
      let length = alphabet == .bytes ? 1 : Self.scalarLength(word[index])
      let scalar = UnsafeBufferPointer(rebasing: word[index..<min(index + length, word.count)])
      index += length
      if let id = token(of: scalar) {
        if waiting, let unknown { ids.append(unknown.id) }
        waiting = false
        ids.append(id)
      } else if case .scalars(true, _, _) = alphabet,
        scalar.allSatisfy({ byteTokens[Int($0)] >= 0 })
      {
        for byte in scalar { ids.append(byteTokens[Int(byte)]) }
      } else if let unknown {
        if waiting, !unknown.fuses { ids.append(unknown.id) }
        waiting = true
      }
    }
    if waiting, let unknown { ids.append(unknown.id) }
  }

  private func token(of scalar: UnsafeBufferPointer<UInt8>) -> Int32? {
    guard alphabet == .bytes else { return scalarTokens.value(of: scalar) }
    let id = byteTokens[Int(scalar[0])]
    return id >= 0 ? id : nil
  }

  /// Bytes of the scalar that begins with this byte.
  static func scalarLength(_ first: UInt8) -> Int {
    first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
  }

  /// The id of a special or user-defined token.
  func id(ofSpecial text: String) -> Int32? { idsBySpecialText[text] }
}
