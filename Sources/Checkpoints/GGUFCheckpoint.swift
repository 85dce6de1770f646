import Containers
import Transformers

extension Checkpoint {
  /// Opens a GGUF file of the Llama architecture.
  static func openGGUF(_ path: String) throws -> Checkpoint {
    let file = try TensorFile.open(path)
    guard file.format == .gguf else {
      throw CheckpointError.malformed(
        path: path,
        reason: "a safetensors file alone has no configuration; give the folder it lies in")
    }
    let configuration = try GGUFConfiguration(file: file).decoder()
    let places = try places(in: file, configuration: configuration)
    try NamedWeights.check(places, configuration: configuration, path: path)
    return Checkpoint(
      path: path, architecture: "LlamaForCausalLM", configuration: configuration,
      files: [path], tensors: NamedWeights(file: file, places: places))
  }

  /// Every tensor under its Hugging Face name. Throws for one that has none.
  private static func places(
    in file: TensorFile, configuration: DecoderConfiguration
  ) throws -> [String: NamedWeights.Place] {
    var places: [String: NamedWeights.Place] = [:]
    for entry in file.tensors {
      guard let name = GGUFNames.huggingFaceName(of: entry.name) else {
        throw CheckpointError.unexpectedTensor(path: file.path, name: entry.name)
      }
      var place = NamedWeights.Place(entry: entry)
      if name.hasSuffix("q_proj.weight") { place.interleavedHeads = configuration.heads }
      if name.hasSuffix("k_proj.weight") { place.interleavedHeads = configuration.keyValueHeads }
      places[name] = place
    }
    let known = Set(DecoderTensor.all(of: configuration).map(\.name))
    for (name, place) in places where !known.contains(name) {
      throw CheckpointError.unexpectedTensor(path: file.path, name: place.entry.name)
    }
    return places
  }
}

/// How llama.cpp and Hugging Face name the same tensors.
enum GGUFNames {
  /// The part of a name after `blk.N.`, and the part after `model.layers.N.`.
  static let parts: [(gguf: String, huggingFace: String)] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
  ]

  /// The GGUF name of the weight of a module such as `model.layers.3.mlp.up_proj`, or nil.
  static func ggufName(ofModule path: String) -> String? {
    guard let place = ModulePlace(path: path),
      let part = parts.first(where: { $0.huggingFace.hasSuffix("." + place.name) })
    else { return nil }
    return "blk.\(place.layer).\(part.gguf).weight"
  }

  /// The Hugging Face name of a GGUF tensor, or nil.
  static func huggingFaceName(of name: String) -> String? {
    switch name {
    case "token_embd.weight": return DecoderTensor.embedding
    case "output_norm.weight": return "model.norm.weight"
    case "output.weight": return "lm_head.weight"
    default: break
    }
    let words = name.split(separator: ".", omittingEmptySubsequences: false)
    guard words.count == 4, words[0] == "blk", words[3] == "weight",
      let layer = Int(words[1]), "\(layer)" == words[1],
      let part = parts.first(where: { $0.gguf == words[2] })
    else { return nil }
    return "model.layers.\(layer).\(part.huggingFace).weight"
  }
}

/// The `llama.*` keys of a GGUF file: each is honoured or refused by name.
struct GGUFConfiguration {
  let file: TensorFile

  /// The decoder's sizes. Throws when a key is missing, absurd or asks for something else.
  func decoder() throws(CheckpointError) -> DecoderConfiguration {
    let architecture = file.metadata["general.architecture"]?.string ?? "missing"
    guard architecture == "llama" else {
      throw .unsupported(
        path: file.path, field: "general.architecture", value: printable(architecture))
    }
    try refuseOthers()
    let hidden = try integer("embedding_length", in: DecoderLimits.width)
    let heads = try integer("attention.head_count", in: DecoderLimits.heads)
    let dimension = try integer(
      "attention.key_length", in: DecoderLimits.headDimension, default: hidden / heads)
    for name in ["attention.value_length", "rope.dimension_count"] {
      let other = try integer(name, in: DecoderLimits.headDimension, default: dimension)
      guard other == dimension else {
        throw .unsupported(
          path: file.path, field: "llama.\(name)",
          value: "\(other) while a head is \(dimension) wide")
      }
    }
    let configuration = DecoderConfiguration(
      vocabulary: try vocabulary(), hidden: hidden,
      layers: try integer("block_count", in: DecoderLimits.layers), heads: heads,
      keyValueHeads: try integer(
        "attention.head_count_kv", in: DecoderLimits.heads, default: heads),
      headDimension: dimension,
      intermediate: try integer("feed_forward_length", in: DecoderLimits.width),
      ropeTheta: try number("rope.freq_base", default: 10_000),
      normEpsilon: Float(try number("attention.layer_norm_rms_epsilon", default: nil)),
      tiedEmbeddings: file.tensor(named: "output.weight") == nil,
      maximumPositions: try integer("context_length", in: DecoderLimits.positions))
    try DecoderLimits.check(configuration, path: file.path)
    return configuration
  }

  private static let read: Set<String> = [
    "embedding_length", "attention.head_count", "attention.head_count_kv", "attention.key_length",
    "attention.value_length", "rope.dimension_count", "block_count", "feed_forward_length",
    "rope.freq_base", "attention.layer_norm_rms_epsilon", "context_length", "vocab_size",
  ]

  /// What may stand in the keys that are not read: values that change nothing.
  private static let harmless: [String: @Sendable (MetadataValue) -> Bool] = [
    "tensor_data_layout": { $0.string == "Meta AI original pth" },
    "rope.scaling.type": { $0.string == "none" },
    "rope.scaling.factor": { $0.real == 1 || $0.real == 0 },
    "rope.scale_linear": { $0.real == 1 },
    "expert_count": { $0.integer == 0 },
    "expert_used_count": { $0.integer == 0 },
    "attention.causal": { $0.bool == true },
    "use_parallel_residual": { $0.bool == false },
  ]

  private func refuseOthers() throws(CheckpointError) {
    for key in file.metadata.keys.sorted() where key.hasPrefix("llama.") {
      let name = String(key.dropFirst("llama.".count))
      guard let value = file.metadata[key], !Self.read.contains(name) else { continue }
      guard Self.harmless[name]?(value) == true else {
        throw .unsupported(path: file.path, field: printable(key), value: Self.brief(value))
      }
    }
  }

  private static func brief(_ value: MetadataValue) -> String {
    switch value {
    case .unsigned(let number): "\(number)"
    case .signed(let number): "\(number)"
    case .real(let number): "\(number)"
    case .bool(let flag): "\(flag)"
    case .string(let text): "\"\(printable(text, limit: 40))\""
    case .array(let items): "a list of \(items.count)"
    }
  }

  /// Rows of the embedding: what the weights say counts, for the key is optional and the tokenizer
  /// may know fewer tokens than the matrix is padded to.
  private func vocabulary() throws(CheckpointError) -> Int {
    let rows = file.tensor(named: "token_embd.weight")?.shape.first
    guard let rows else { throw .missingTensor(path: file.path, name: "token_embd.weight") }
    guard DecoderLimits.vocabulary.contains(rows) else {
      throw .malformed(path: file.path, reason: "token_embd.weight has \(rows) rows")
    }
    return rows
  }

  private func integer(
    _ name: String, in range: ClosedRange<Int>, default fallback: Int? = nil
  ) throws(CheckpointError) -> Int {
    let key = "llama.\(name)"
    guard let value = file.metadata[key] else {
      guard let fallback else { throw .malformed(path: file.path, reason: "\(key) is missing") }
      return fallback
    }
    guard let number = value.integer, range.contains(number) else {
      throw .malformed(
        path: file.path,
        reason: "\(key) is \(Self.brief(value)), not one number in "
          + "\(range.lowerBound)…\(range.upperBound)")
    }
    return number
  }

  private func number(_ name: String, default fallback: Double?) throws(CheckpointError) -> Double {
    let key = "llama.\(name)"
    guard let value = file.metadata[key] else {
      guard let fallback else { throw .malformed(path: file.path, reason: "\(key) is missing") }
      return fallback
    }
    guard let number = value.real, number > 0, number.isFinite else {
      throw .malformed(path: file.path, reason: "\(key) is \(Self.brief(value)), not above zero")
    }
    return number
  }
}
