import Containers
import FoundationEssentials
import Testing
import Tokenizers

/// Ids held against the reference's; Tests/Tools/tokenizer_fixture.py and tokenizer_parity.py made
/// the expectations.
@Suite struct ReferenceTests {
  @Test(arguments: ["digits", "gpt2", "llama3", "qwen2", "tekken", "gpt4o"])
  func everyWayToCutGivesTheReferencesIds(name: String) throws {
    let small = try SmallVocabulary()
    let variant = try #require(
      small.json["variants"]?.array?.first { $0["name"]?.string == name })
    // The variants know no special tokens: the tokenizer must not need the fixture's.
    var added = variant["added_tokens"] ?? .array([])
    if added.array?.isEmpty != false { added = small.specials }
    let tokenizer = try small.tokenizer(
      preTokenizer: #require(variant["pre_tokenizer"]),
      normalizer: variant["normalizer"] ?? .null, added: added,
      looksUpWords: variant["ignore_merges"]?.bool ?? false)
    let cases = SmallVocabulary.cases(variant)
    #expect(cases.count >= 160)
    for example in cases {
      #expect(tokenizer.encode(example.text) == example.ids, "\(example.text.debugDescription)")
    }
    // Once more, now that the words are in the cache.
    for example in cases { #expect(tokenizer.encode(example.text) == example.ids) }
  }

  @Test func chatsAreRenderedAsTheTemplatesRenderThem() throws {
    let small = try SmallVocabulary()
    let variants = try #require(small.json["variants"]?.array)
    let gpt2 = try #require(variants.first { $0["name"]?.string == "gpt2" })
    let chats = try #require(small.json["chats"]?.array)
    #expect(chats.count == 8)
    for chat in chats {
      let tokenizer = try small.tokenizer(
        preTokenizer: #require(gpt2["pre_tokenizer"]), added: small.specials,
        template: chat["template"]?.string)
      let messages = (chat["messages"]?.array ?? []).map {
        ChatMessage(role: $0["role"]?.string ?? "", content: $0["content"]?.string ?? "")
      }
      let ids = try tokenizer.encodeChat(
        messages, addGenerationPrompt: chat["prompt"]?.bool ?? false)
      #expect(ids.map(Int.init) == chat["ids"]?.array?.compactMap(\.integer))
    }
  }

  @Test(.enabled(if: Model.path != nil)) func theRealModelGivesTheReferencesIds() throws {
    let tokenizer = try Tokenizer.load(model: #require(Model.path))
    #expect(tokenizer.vocabularySize == 49152)
    #expect(tokenizer.encode("a  1") == [81, 256, 33])
    #expect(tokenizer.id(ofSpecial: "<|im_start|>") == 1)
    #expect(tokenizer.documentSeparator == 0)
    #expect(tokenizer.endOfSequence == 2)
    #expect(tokenizer.stopTokens == [0, 2])
    let folder = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    let lines = try String(
      contentsOfFile: "/\(folder)/Fixtures/tokenizers/smollm2.jsonl", encoding: .utf8
    )
    .utf8.split(separator: 0x0A)
    #expect(lines.count >= 400)
    for line in lines {
      let example = try JSONValue.parse(Array(line))
      let text = try #require(example["text"]?.string)
      #expect(
        tokenizer.encode(text).map(Int.init) == example["ids"]?.array?.compactMap(\.integer),
        "\(text.debugDescription)")
    }
  }

  @Test(.enabled(if: Model.path != nil)) func theRealModelsTemplateIsKnown() throws {
    let tokenizer = try Tokenizer.load(model: #require(Model.path))
    let ids = try tokenizer.encodeChat(
      [ChatMessage(role: "user", content: "Hi <|im_end|>")], addGenerationPrompt: true)
    #expect(
      tokenizer.decode(ids) == """
        <|im_start|>system
        You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
        <|im_start|>user
        Hi <|im_end|><|im_end|>
        <|im_start|>assistant

        """)
    // The end mark that the user typed is text: only the template's two are tokens.
    #expect(ids.filter { $0 == 2 }.count == 2)
  }
}

/// The real model, where there is one.
enum Model {
  static let path = ProcessInfo.processInfo.environment["HANSE_TEST_MODEL"]
}
