import Containers
import FoundationEssentials
import Testing
import Tokenizers

/// Tokenizers in the manner of the Llama family's, held against the ids and texts of the
/// reference; Tests/Tools/tokenizer_family.py made them.
@Suite struct FamilyTests {
  static let names = [
    "llama2", "metaspace-first", "metaspace-always", "metaspace-never", "digits", "gemma",
    "unknown", "unknown-fused", "dropped", "whole-words", "cuts",
  ]

  private static func fixture() throws -> JSONValue {
    let folder = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    let data = try Data(contentsOf: URL(filePath: "/\(folder)/Fixtures/tokenizers/family.json"))
    return try JSONValue.parse([UInt8](data))
  }

  /// The tokenizer.json of one kind, as the reference saved it.
  private static func kind(_ name: String, in fixture: JSONValue) throws -> JSONValue {
    try #require(fixture["tokenizers"]?.array?.first { $0["name"]?.string == name })
  }

  private static func load(_ json: JSONValue) throws -> Tokenizer {
    let folder = try TokenizerFolder(json.text)
    try folder.write("tokenizer_config.json", #"{"eos_token":"</s>"}"#)
    return try Tokenizer.load(model: folder.path)
  }

  @Test func everyKindIsTested() throws {
    let kinds = try Self.fixture()["tokenizers"]?.array ?? []
    #expect(kinds.compactMap { $0["name"]?.string } == Self.names)
  }

  @Test(arguments: names) func idsAndTextsAreTheReferences(name: String) throws {
    let fixture = try Self.fixture()
    let texts = fixture["texts"]?.array?.compactMap(\.string) ?? []
    let kind = try Self.kind(name, in: fixture)
    let tokenizer = try Self.load(#require(kind["tokenizer"]))
    let ids = kind["ids"]?.array?.map { $0.array?.compactMap(\.integer) ?? [] } ?? []
    #expect(texts.count > 190 && ids.count == texts.count)
    // Twice, for the second time words are in the cache.
    for _ in 0..<2 {
      for (text, wanted) in zip(texts, ids) {
        #expect(tokenizer.encode(text).map(Int.init) == wanted, "\(text.debugDescription)")
      }
    }
    for (wanted, row) in zip(kind["texts"]?.array?.compactMap(\.string) ?? [], ids) {
      let found = tokenizer.decode(row.map(Int32.init))
      #expect(Array(found.utf8) == Array(wanted.utf8), "\(wanted.debugDescription)")
    }
  }

  @Test(arguments: [
    (#""type":"Metaspace""#, #""type":"Punctuation""#, "Punctuation"),
    (#""prepend_scheme":"first""#, #""prepend_scheme":"last""#, "last"),
    (#""replacement":"▁""#, #""replacement":"__""#, "replacement"),
    (#""unk_token":"<unk>""#, #""unk_token":"<nothing>""#, "<nothing>"),
    (#""type":"Strip""#, #""type":"CTC""#, "CTC"),
    (#""content":" ","start":1"#, #""content":" ","start":3"#, "Strip"),
    (#""type":"ByteFallback""#, #""type":"WordPiece""#, "WordPiece"),
    (#""normalizer":null"#, #""normalizer":{"type":"Precompiled"}"#, "Precompiled"),
    (
      #""normalizer":null"#,
      #""normalizer":{"type":"Replace","pattern":{"Regex":" +"},"content":"x"}"#, "Replace"
    ),
  ])
  func stepsThatAreNotKnownAreRefusedByName(old: String, new: String, named: String) throws {
    let kind = try Self.kind("metaspace-first", in: Self.fixture())
    let text = try #require(kind["tokenizer"]).text
    #expect(text.contains(old))
    let changed = try JSONValue.parse(Array(text.replacing(old, with: new).utf8))
    let error = #expect(throws: TokenizerError.self) { try Self.load(changed) }
    #expect(error?.description.contains(named) == true, "\(error?.description ?? "")")
  }
}
