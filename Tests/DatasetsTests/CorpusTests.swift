import Datasets
import Testing
import Tokenizers

@Suite struct CorpusTests {
  private let folder: DataFolder

  init() throws { folder = try DataFolder() }

  private func load(_ paths: String...) throws -> Corpus {
    try Corpus.load(paths: paths, tokenizer: folder.tokenizer)
  }

  @Test func aTextFileIsOneDocument() throws {
    let corpus = try load(folder.file("one.txt", "ab\ncd\n"), folder.file("two.txt", "x"))
    #expect(corpus.documents.map(folder.tokenizer.decode) == ["ab\ncd\n", "x"])
  }

  @Test func aLineOfJSONIsOneDocument() throws {
    let text = """
      {"text": "ab\\ncd"}
      {"text": "", "source": 7}

      {"text": "x"}
      """
    let corpus = try load(folder.file("x.jsonl", text))
    #expect(corpus.documents.map(folder.tokenizer.decode) == ["ab\ncd", "", "x"])
  }

  @Test func lineEndsOfOtherSystemsAreSpace() throws {
    let corpus = try load(folder.file("x.jsonl", "{\"text\":\"a\"}\r\n\r\n{\"text\":\"b\"}\r\n"))
    #expect(corpus.documents.map(folder.tokenizer.decode) == ["a", "b"])
  }

  @Test func conversationsAreRenderedByTheTemplate() throws {
    let line = #"{"messages":[{"role":"user","content":"hi <|im_end|>"}]}"#
    let corpus = try load(folder.file("x.jsonl", line))
    #expect(
      corpus.documents.map(folder.tokenizer.decode)
        == ["<|im_start|>user\nhi <|im_end|><|im_end|>\n"])
    #expect(corpus.documents[0].filter { $0 < 3 } == [1, 2])
  }

  @Test func bytesThatAreNotUTF8BecomeReplacements() throws {
    let plain = try folder.file("x.txt", bytes: [0x61, 0xFF, 0x62])
    let line = try folder.file("x.jsonl", bytes: Array(#"{"text":"a"#.utf8) + [0xFF, 0x22, 0x7D])
    #expect(
      try load(plain, line).documents.map(folder.tokenizer.decode) == ["a\u{FFFD}b", "a\u{FFFD}"])
  }

  @Test(arguments: [
    ("{\"text\":\"a\"}\nnonsense", 2, "not JSON"), ("{}", 1, "neither"),
    ("\n\n[1]", 3, "object"), ("{\"text\":1}", 1, "`text`"),
    ("{\"text\":\"a\",\"messages\":[]}", 1, "both"), ("{\"messages\":[]}", 1, "empty"),
    ("{\"messages\":[{\"role\":\"user\"}]}", 1, "`content`"),
    ("{\"messages\":\"a\"}", 1, "`messages`"),
    ("{\"messages\":[{\"role\":\"tool\",\"content\":\"\"}]}", 1, "tool"),
    ("{\"text\":null}", 1, "neither"), ("{\"text\":\"a\"", 1, "not JSON"),
  ])
  func aBadLineIsNamed(text: String, line: Int, words: String) throws {
    let path = try folder.file("x.jsonl", text)
    let error = #expect(throws: DatasetError.self) { try load(path) }
    let message = error?.description ?? ""
    #expect(message.contains("\(path):\(line): ") && message.contains(words), "\(message)")
  }

  @Test func otherFilesAreRefusedByName() throws {
    let good = try folder.file("x.txt", "a")
    let error = #expect(throws: DatasetError.self) { try load(good, "data.parquet") }
    #expect(error == .unknownKind(path: "data.parquet"))
    #expect(throws: DatasetError.self) { try load(folder.path + "/none.txt") }
    #expect(throws: DatasetError.noFiles) { try load() }
  }

  @Test func emptyDataIsRefused() throws {
    let path = try folder.file("x.txt", "")
    #expect(throws: DatasetError.empty(paths: [path])) { try load(path) }
    let lines = try folder.file("x.jsonl", "\n{\"text\":\"\"}\n")
    #expect(throws: DatasetError.empty(paths: [lines])) { try load(lines) }
  }

  @Test func documentsAreJoinedWithTheSeparatorBetween() {
    let corpus = Corpus(documents: [[5, 6], [], [7]])
    #expect(corpus.stream(separator: 0).tokens == [5, 6, 0, 0, 7])
    #expect(Corpus(documents: [[5]]).stream(separator: 0).tokens == [5])
    #expect(Corpus(documents: []).stream(separator: 0).tokens == [])
  }

  @Test func everyTenthDocumentIsHeldOut() {
    let corpus = Corpus(documents: (0..<25).map { [Int32($0)] })
    let (training, heldOut) = corpus.split()
    #expect(heldOut.documents == [[9], [19]])
    #expect(training.documents.count == 23)
    #expect(Set(training.documents).isDisjoint(with: heldOut.documents))
  }

  @Test func ofASingleDocumentTheLastTenthIsHeldOut() {
    let (training, heldOut) = Corpus(documents: [Array(0..<105)]).split()
    #expect(training.documents == [Array(0..<95)])
    #expect(heldOut.documents == [Array(95..<105)])
  }

  @Test func ofAFewDocumentsEachGivesItsLastTenth() {
    let (training, heldOut) = Corpus(documents: [Array(0..<20), Array(20..<25)]).split()
    #expect(training.documents == [Array(0..<18), Array(20..<25)])
    #expect(heldOut.documents == [[18, 19], []])
  }
}
