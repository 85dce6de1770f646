import Containers

/// The tokenizer files of a Hugging Face folder: `tokenizer.json`, and beside it where the special
/// tokens and the chat template are named.
struct HuggingFaceFolder {
  private let folder: String
  private let path: String
  let json: JSONValue

  init(_ folder: String) throws {
    self.folder = folder.hasSuffix("/") ? String(folder.dropLast()) : folder
    path = self.folder + "/tokenizer.json"
    guard let json = try Self.read(path) else {
      throw TokenizerError.missing(path: folder, reason: "the folder holds no tokenizer.json")
    }
    self.json = json
  }

  /// The largest vocabularies take 35 MB as JSON.
  private static let bytesMax = 1 << 28
  /// A template is a program of some kilobytes.
  private static let templateBytesMax = 1 << 20

  private static func read(_ path: String) throws -> JSONValue? {
    guard PathKind.of(path) == .file else { return nil }
    let file = try MappedFile(path: path, limit: bytesMax)
    do {
      return try file.withBytes { try JSONValue.parse($0) }
    } catch let error as JSONError {
      throw TokenizerError.malformed(
        path: path, place: "byte \(error.offset)", reason: error.reason)
    }
  }

  func unsupported(_ what: String) -> TokenizerError {
    .unsupported(path: path, what: what)
  }

  func malformed(_ place: String, _ reason: String) -> TokenizerError {
    .malformed(path: path, place: place, reason: reason)
  }

  func tokenizer() throws -> Tokenizer {
    guard let model = json["model"]?.object else { throw malformed("model", "there is none") }
    try checkModel(model)
    let normalizer = try normalizer()
    let (preTokenizer, isByteLevel) = try preTokenizer()
    let decoding = try decoding(isByteLevel: isByteLevel, preTokenizer)
    let byteFallback = model["byte_fallback"]?.bool ?? false
    guard !isByteLevel || !byteFallback else { throw unsupported("byte_fallback with ByteLevel") }
    let merges = try merges(model)
    let tokens = try tokens(model, normalizer)
    let vocabulary = try Vocabulary(
      tokens: tokens, merges: merges, looksUpWords: model["ignore_merges"]?.bool ?? false,
      unknown: try unknown(model, tokens),
      alphabet: isByteLevel
        ? .bytes
        : .scalars(
          byteFallback: byteFallback, blank: decoding.blank, readsBytes: decoding.readsBytes),
      path: path)
    let configuration = try Self.read(folder + "/tokenizer_config.json")
    return try Tokenizer(
      vocabulary: vocabulary, preTokenizer: preTokenizer, normalizer: normalizer,
      stripsFirstBlank: decoding.stripsFirstBlank,
      marks: Tokenizer.Marks(
        endOfSequence: try endOfSequence(configuration, tokens), beginning: try beginning(),
        furtherStops: try furtherStops()),
      chatTemplate: chatTemplate(configuration), path: path)
  }

  /// The token for what the vocabulary lacks, which must be in it.
  private func unknown(
    _ model: JSONObject, _ tokens: [Vocabulary.Token]
  ) throws -> UnknownToken? {
    guard let text = model["unk_token"]?.string else { return nil }
    guard let id = tokens.firstIndex(where: { ExactText($0.text) == ExactText(text) }) else {
      throw malformed("unk_token", "the vocabulary has no \(printable(text))")
    }
    return UnknownToken(id: Int32(id), fuses: model["fuse_unk"]?.bool ?? false)
  }

  private func checkModel(_ model: JSONObject) throws {
    if let type = model["type"]?.string, type != "BPE" {
      throw unsupported("model \(printable(type)); BPE is read")
    }
    if let dropout = model["dropout"]?.real, dropout != 0 { throw unsupported("dropout") }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let text = model[key]?.string, !text.isEmpty { throw unsupported(key) }
    }
  }

  private func merges(_ model: JSONObject) throws -> [(String, String)] {
    guard let list = model["merges"]?.array else {
      throw malformed("model.merges", "it is not a list")
    }
    return try list.enumerated().map { rank, merge in
      if let text = merge.string { return try splitMerge(text, rank: rank, path: path) }
      guard let pair = merge.array?.compactMap(\.string), pair.count == 2 else {
        throw malformed("merge \(rank)", "it is not two texts")
      }
      return (pair[0], pair[1])
    }
  }

  /// The vocabulary with the added tokens laid over it.
  private func tokens(
    _ model: JSONObject, _ normalizer: Normalizer
  ) throws -> [Vocabulary.Token] {
    guard let vocabulary = model["vocab"]?.object else {
      throw malformed("model.vocab", "it is not an object")
    }
    let added = json["added_tokens"]?.array ?? []
    // Ids may have holes, but not enough of them to fill memory.
    let limit = (vocabulary.keys.count + added.count) * 2 + 65_536
    var tokens: [Vocabulary.Token] = []
    func set(_ value: JSONValue?, _ token: Vocabulary.Token) throws {
      guard let id = value?.integer, (0..<limit).contains(id) else {
        throw malformed("token \(printable(token.text))", "its id is not a small whole number")
      }
      while tokens.count <= id { tokens.append(Vocabulary.Token(text: "", kind: .unused)) }
      let before = tokens[id]
      guard before.kind == .unused || ExactText(before.text) == ExactText(token.text) else {
        throw malformed("token \(printable(token.text))", "its id \(id) is taken")
      }
      tokens[id] = token
    }
    for (text, id) in zip(vocabulary.keys, vocabulary.values) {
      try set(id, Vocabulary.Token(text: text, kind: .normal))
    }
    for token in added {
      guard let text = token["content"]?.string, !text.isEmpty else {
        throw malformed("added_tokens", "a token has no content")
      }
      let isSpecial = token["special"]?.bool ?? false
      for flag in ["lstrip", "rstrip", "single_word"] where !isSpecial {
        if token[flag]?.bool == true {
          throw unsupported("the added token \(printable(text)) with \(flag)")
        }
      }
      var found = Vocabulary.Token(text: text, kind: isSpecial ? .special : .userDefined)
      if !isSpecial, token["normalized"]?.bool ?? true {
        found.normalized = normalizer.apply(Array(text.utf8))
      }
      try set(token["id"], found)
    }
    return tokens
  }

  /// The steps of a `Sequence`, or the one step.
  func steps(_ value: JSONValue?, in list: String) throws -> [JSONValue] {
    guard let value, !value.isNull else { return [] }
    let steps = value["type"]?.string == "Sequence" ? value[list]?.array ?? [] : [value]
    guard steps.count <= Normalizer.stepsMax else {
      throw malformed(list, "\(steps.count) steps are more than \(Normalizer.stepsMax)")
    }
    return steps
  }

  private func endOfSequence(
    _ configuration: JSONValue?, _ tokens: [Vocabulary.Token]
  ) throws -> Int32? {
    let named = configuration?["eos_token"]
    if let text = named?.string ?? named?["content"]?.string {
      return tokens.firstIndex { $0.text == text }.map(Int32.init)
    }
    let model = try Self.read(folder + "/config.json")
    let id = model?["eos_token_id"]?.integer ?? model?["eos_token_id"]?.array?.first?.integer
    return id.flatMap(Int32.init(exactly:))
  }

  /// What the post-processor's template puts before a text.
  private func beginning() throws -> [Int32] {
    for step in try steps(json["post_processor"], in: "processors")
    where step["type"]?.string == "TemplateProcessing" {
      var ids: [Int32] = []
      for piece in step["single"]?.array ?? [] {
        guard let name = piece["SpecialToken"]?["id"]?.string else { return ids }
        let named = step["special_tokens"]?[name]?["ids"]?.array ?? []
        guard !named.isEmpty, named.count <= 16 else {
          throw malformed("post_processor", "it does not say which token \(printable(name)) is")
        }
        ids += try named.map {
          guard let id = $0.integer.flatMap(Int32.init(exactly:)) else {
            throw malformed("post_processor", "the id of \(printable(name)) is no number")
          }
          return id
        }
      }
      return ids
    }
    return []
  }

  /// All tokens that end an answer by the model's own configuration files.
  private func furtherStops() throws -> [Int32] {
    try ["generation_config.json", "config.json"].flatMap { name in
      let value = try Self.read(folder + "/" + name)?["eos_token_id"]
      return (value?.array ?? [value].compactMap(\.self)).prefix(64).compactMap {
        $0.integer.flatMap(Int32.init(exactly:))
      }
    }
  }

  private func chatTemplate(_ configuration: JSONValue?) throws -> String? {
    let file = folder + "/chat_template.jinja"
    if PathKind.of(file) == .file {
      return try MappedFile(path: file, limit: Self.templateBytesMax).withBytes {
        String(decoding: $0, as: UTF8.self)
      }
    }
    let template = configuration?["chat_template"]
    if let text = template?.string { return text }
    let named = template?.array ?? []
    let chosen = named.first { $0["name"]?.string == "default" } ?? named.first
    return chosen?["template"]?.string
  }
}
