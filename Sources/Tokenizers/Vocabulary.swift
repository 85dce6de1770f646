/// The tables of a byte-level byte-pair encoding: tokens, merges and the bytes they stand for.
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
  }

  /// The tokens by id.
  let tokens: [Token]
  /// The token of each single byte, -1 where the vocabulary has none.
  let byteTokens: [Int32]
  let merges: PairTable
  /// Whole words that are tokens, by their bytes; empty unless the model looks words up first.
  let wholeWords: ByteStringTable?
  /// The token for bytes the vocabulary lacks; nil drops them, as the reference does.
  let unknown: Int32?
  /// Tokens to look for in text, longest first for each first byte.
  let userDefined: [UInt8: [(bytes: [UInt8], id: Int32)]]

  private let arena: [UInt8]
  private let starts: [Int]
  private let idsBySpecialText: [String: Int32]

  /// Builds the tables.
  ///
  /// - Parameter merges: pairs of texts in the byte alphabet, by falling priority.
  /// - Throws: `TokenizerError.malformed` when a merge names or makes a token that is not there, or
  ///   two tokens have one text.
  init(
    tokens: [Token], merges: [(String, String)], looksUpWords: Bool, unknown: Int32?, path: String
  ) throws {
    self.tokens = tokens
    self.unknown = unknown
    var idsByText = ByteStringTable(capacity: tokens.count)
    var words = ByteStringTable(capacity: looksUpWords ? tokens.count : 0)
    var byteTokens = [Int32](repeating: -1, count: 256)
    var arena: [UInt8] = []
    var starts = [0]
    var specials: [String: Int32] = [:]
    var found: [UInt8: [(bytes: [UInt8], id: Int32)]] = [:]
    for (index, token) in tokens.enumerated() {
      let id = Int32(index)
      if token.kind != .unused, !idsByText.insert(Array(token.text.utf8), id) {
        throw TokenizerError.malformed(
          path: path, place: "token \(id)", reason: "another token has the same text")
      }
      var bytes = Array(token.text.utf8)
      switch token.kind {
      case .normal:
        guard let meant = ByteAlphabet.bytes(of: token.text) else { break }
        bytes = meant
        if bytes.count == 1 { byteTokens[Int(bytes[0])] = id }
        if looksUpWords { _ = words.insert(bytes, id) }
      case .special: specials[token.text] = id
      case .userDefined:
        specials[token.text] = id
        if let first = bytes.first { found[first, default: []].append((bytes, id)) }
      case .unused: bytes = []
      }
      arena += bytes
      starts.append(arena.count)
    }
    for key in found.keys { found[key]?.sort { $0.bytes.count > $1.bytes.count } }
    self.merges = try Self.pairs(merges, idsByText, path: path)
    self.byteTokens = byteTokens
    self.arena = arena
    self.starts = starts
    idsBySpecialText = specials
    wholeWords = looksUpWords ? words : nil
    userDefined = found
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
      ids.append(unknown)
    }
  }

  /// The id of a special or user-defined token.
  func id(ofSpecial text: String) -> Int32? { idsBySpecialText[text] }
}
