import Containers

extension Tokenizer {
  /// The tokenizer of a model: of a GGUF file, or of a folder that holds `tokenizer.json`.
  ///
  /// - Throws: `TokenizerError`, or `ContainerError` for a damaged GGUF file.
  public static func load(model path: String) throws -> Tokenizer {
    switch PathKind.of(path) {
    case .missing: throw TokenizerError.missing(path: path, reason: "no such file or folder")
    case .folder: return try HuggingFaceFolder(path).tokenizer()
    case .file: break
    }
    if path.hasSuffix(".json") || path.hasSuffix(".safetensors") {
      let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
      return try HuggingFaceFolder(folder).tokenizer()
    }
    return try Tokenizer(gguf: TensorFile.open(path))
  }

  /// The tokenizer in the metadata of an open GGUF file.
  public init(gguf file: TensorFile) throws {
    let path = file.path
    let metadata = file.metadata
    func fault(_ key: String, _ reason: String) -> TokenizerError {
      .malformed(path: path, place: "key \(key)", reason: reason)
    }
    guard let model = metadata["tokenizer.ggml.model"]?.string else {
      throw TokenizerError.missing(path: path, reason: "the file has no tokenizer.ggml.model")
    }
    guard model == "gpt2" else {
      throw TokenizerError.unsupported(
        path: path, what: "tokenizer.ggml.model \(printable(model)); byte-level BPE is gpt2")
    }
    let pre = metadata["tokenizer.ggml.pre"]?.string ?? "none"
    guard let preTokenizer = PreTokenizer(ggufName: pre) else {
      throw TokenizerError.unsupported(path: path, what: "tokenizer.ggml.pre \(printable(pre))")
    }
    guard let texts = metadata["tokenizer.ggml.tokens"]?.strings, !texts.isEmpty else {
      throw fault("tokenizer.ggml.tokens", "it is not a list of texts")
    }
    guard let merges = metadata["tokenizer.ggml.merges"]?.strings else {
      throw fault("tokenizer.ggml.merges", "it is not a list of texts")
    }
    var kinds = [Int](repeating: 1, count: texts.count)
    if let types = metadata["tokenizer.ggml.token_type"] {
      guard let integers = types.integers, integers.count == texts.count else {
        throw fault("tokenizer.ggml.token_type", "it does not fit the list of tokens")
      }
      kinds = integers
    }
    let tokens = zip(texts, kinds).map {
      Vocabulary.Token(text: $0, kind: Vocabulary.Kind(ggufType: $1))
    }
    let vocabulary = try Vocabulary(
      tokens: tokens, merges: merges.enumerated().map { try splitMerge($1, rank: $0, path: path) },
      looksUpWords: PreTokenizer.looksUpWords(ggufName: pre), unknown: nil, path: path)
    try self.init(
      vocabulary: vocabulary, preTokenizer: preTokenizer,
      normalizer: Normalizer(), stripsFirstBlank: false, marks: Marks(metadata, pre: pre),
      chatTemplate: metadata["tokenizer.chat_template"]?.string, path: path)
  }
}

extension Tokenizer.Marks {
  /// What the keys of a GGUF file name. Some vocabularies begin a text with their first token
  /// though no key says so, as llama.cpp knows by their `tokenizer.ggml.pre`.
  init(_ metadata: [String: MetadataValue], pre: String) {
    func id(_ name: String) -> Int32? {
      metadata["tokenizer.ggml.\(name)_token_id"]?.integer.flatMap(Int32.init(exactly:))
    }
    endOfSequence = id("eos")
    furtherStops = ["eot", "eom"].compactMap(id)
    let begins =
      metadata["tokenizer.ggml.add_bos_token"]?.bool
      ?? ["llama3", "llama-v3", "llama-bpe", "tekken"].contains(pre)
    if begins, let first = id("bos") { beginning = [first] }
  }
}

extension Vocabulary.Kind {
  /// `llama_token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
  init(ggufType: Int) {
    switch ggufType {
    case 2, 3: self = .special
    case 4: self = .userDefined
    case 5: self = .unused
    default: self = .normal
    }
  }
}

/// A merge written as two texts with a space between them; a vocabulary's own space is another
/// character.
func splitMerge(_ text: String, rank: Int, path: String) throws -> (String, String) {
  let parts = text.utf8.split(separator: 0x20, omittingEmptySubsequences: false)
  guard parts.count == 2, let left = String(parts[0]), let right = String(parts[1]) else {
    throw TokenizerError.malformed(
      path: path, place: "merge \(rank)", reason: "it is not two texts with a space between them")
  }
  return (left, right)
}
