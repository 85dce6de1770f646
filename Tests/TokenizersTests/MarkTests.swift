import Containers
import Testing
import Tokenizers

/// Tokens that a model's files name for the beginning and the end of an answer.
@Suite struct MarkTests {
  /// A tokenizer of three letters and three marks, with a post-processor.
  private func load(_ processor: String, eos: String = "4") throws -> Tokenizer {
    let folder = try TokenizerFolder(
      """
      {"added_tokens": [{"id": 3, "content": "<s>", "special": true},
        {"id": 4, "content": "</s>", "special": true},
        {"id": 5, "content": "<t>", "special": true}],
       "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
       "decoder": {"type": "ByteLevel"}, "post_processor": \(processor),
       "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}
      """)
    try folder.write("tokenizer_config.json", "{\"eos_token\": \"</s>\"}")
    try folder.write("generation_config.json", "{\"eos_token_id\": \(eos)}")
    return try Tokenizer.load(model: folder.path)
  }

  private let template = """
    {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
      {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
     "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]},
      "</s>": {"id": "</s>", "ids": [4], "tokens": ["</s>"]}}}
    """

  @Test func aFoldersPostProcessorSaysHowATextBegins() throws {
    let plain = try load("null")
    #expect(plain.beginning.isEmpty && plain.stopTokens == [4])
    let begun = try load(template, eos: "[4, 5]")
    #expect(begun.beginning == [3] && begun.stopTokens == [4, 5])
    // Text alone never has it: what training and evaluation read stays as it was.
    #expect(begun.encode("ab") == [2])
    let sequence = """
      {"type": "Sequence", "processors": [{"type": "ByteLevel", "trim_offsets": true}, \(template)]}
      """
    #expect(try load(sequence).beginning == [3])
  }

  @Test func aMarkThatIsNoTokenIsRefused() throws {
    for (old, new) in [
      ("[3]", "[77]"), ("[3]", "[]"), ("[3]", "[\"x\"]"), ("\"ids\": [3]", "\"x\": 1"),
    ] {
      let broken = template.replacing(old, with: new)
      let error = #expect(throws: TokenizerError.self) { try load(broken) }
      #expect(error.map { "\($0)".contains("no such file") } == false)
    }
  }

  @Test func aFilesKeysSayHowATextBegins() throws {
    func load(pre: String, adds: Bool?) throws -> Tokenizer {
      var writer = GGUFWriter()
      writer.add(key: "tokenizer.ggml.model", .string("gpt2"))
      writer.add(key: "tokenizer.ggml.pre", .string(pre))
      writer.add(key: "tokenizer.ggml.tokens", .strings(["a", "b", "ab", "<s>", "</s>", "<t>"]))
      writer.add(key: "tokenizer.ggml.merges", .strings(["a b"]))
      writer.add(key: "tokenizer.ggml.token_type", .i32s([1, 1, 1, 3, 3, 3]))
      writer.add(key: "tokenizer.ggml.bos_token_id", .u32(3))
      writer.add(key: "tokenizer.ggml.eos_token_id", .u32(4))
      writer.add(key: "tokenizer.ggml.eot_token_id", .u32(5))
      if let adds { writer.add(key: "tokenizer.ggml.add_bos_token", .bool(adds)) }
      let folder = try TokenizerFolder("")
      try writer.write(to: folder.path + "/x.gguf")
      return try Tokenizer.load(model: folder.path + "/x.gguf")
    }
    #expect(try load(pre: "smollm", adds: nil).beginning.isEmpty)
    #expect(try load(pre: "smollm", adds: true).beginning == [3])
    #expect(try load(pre: "llama-bpe", adds: nil).beginning == [3])
    #expect(try load(pre: "llama-bpe", adds: false).beginning.isEmpty)
    #expect(try load(pre: "smollm", adds: nil).stopTokens == [4, 5])
  }
}
