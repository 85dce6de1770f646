import Containers
import Transformers

extension Checkpoint {
  /// Opens a Hugging Face folder.
  static func openFolder(_ path: String) throws -> Checkpoint {
    let configuration = try FolderConfiguration(path: path + "/config.json").decoder()
    let file = try TensorFile.open(path)
    var places: [String: NamedWeights.Place] = [:]
    for entry in file.tensors { places[entry.name] = NamedWeights.Place(entry: entry) }
    try NamedWeights.check(places, configuration: configuration, path: path)
    try refuseLeftovers(in: file, configuration: configuration)
    let beside = [
      "config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
      "model.safetensors.index.json",
    ].map { "\(path)/\($0)" }.filter { PathKind.of($0) == .file }
    return Checkpoint(
      path: path, architecture: "LlamaForCausalLM", configuration: configuration,
      files: (beside + file.files).sorted(), tensors: NamedWeights(file: file, places: places))
  }

  /// Throws for a tensor that nothing would read; a bias left out would go unnoticed otherwise.
  private static func refuseLeftovers(
    in file: TensorFile, configuration: DecoderConfiguration
  ) throws {
    let known = Set(DecoderTensor.all(of: configuration).map(\.name))
    for entry in file.tensors where !known.contains(entry.name) {
      // Old files carry the rotary frequencies, which follow from the configuration.
      if entry.name.hasSuffix(".rotary_emb.inv_freq") { continue }
      // Older files of tied models have the embedding again as the head.
      if entry.name == "lm_head.weight",
        let embedding = file.tensor(named: DecoderTensor.embedding),
        entry.shape == embedding.shape, entry.elementType == embedding.elementType,
        file.bytes(of: entry).elementsEqual(file.bytes(of: embedding))
      {
        continue
      }
      throw CheckpointError.unexpectedTensor(path: file.path, name: entry.name)
    }
  }
}

/// `config.json` of a Llama model: each field that its code in transformers reads is honoured or
/// refused by name. Fields that only other architectures read are of no effect there nor here.
struct FolderConfiguration {
  let fields: JSONFields

  init(path: String) throws(CheckpointError) {
    fields = try JSONFields(path: path)
  }

  /// The decoder's sizes. Throws when a field is missing, absurd or asks for something else.
  func decoder() throws(CheckpointError) -> DecoderConfiguration {
    try refuseOthers()
    let hidden = try fields.integer("hidden_size", in: DecoderLimits.width)
    let heads = try fields.integer("num_attention_heads", in: DecoderLimits.heads)
    let configuration = DecoderConfiguration(
      vocabulary: try fields.integer("vocab_size", in: DecoderLimits.vocabulary),
      hidden: hidden,
      layers: try fields.integer("num_hidden_layers", in: DecoderLimits.layers),
      heads: heads,
      keyValueHeads: try fields.integer(
        "num_key_value_heads", in: DecoderLimits.heads, default: heads),
      headDimension: try fields.integer(
        "head_dim", in: DecoderLimits.headDimension, default: hidden / heads),
      intermediate: try fields.integer("intermediate_size", in: DecoderLimits.width),
      ropeTheta: try ropeTheta(),
      normEpsilon: Float(try fields.positiveNumber("rms_norm_eps", default: 1e-6)),
      tiedEmbeddings: try fields.flag("tie_word_embeddings", default: false),
      maximumPositions: try fields.integer(
        "max_position_embeddings", in: DecoderLimits.positions, default: 2048))
    try DecoderLimits.check(configuration, path: fields.path)
    return configuration
  }

  private func refuseOthers() throws(CheckpointError) {
    guard fields["model_type"] == .string("llama") else {
      throw .unsupported(
        path: fields.path, field: "model_type", value: fields["model_type"].brief)
    }
    if let names = fields["architectures"].array, names != [.string("LlamaForCausalLM")] {
      throw .unsupported(
        path: fields.path, field: "architectures",
        value: names.map(\.brief).joined(separator: ", "))
    }
    try fields.refuse("hidden_act", unless: [.string("silu"), .string("swish")])
    try fields.refuse("attention_dropout", unless: [.integer(0), .real(0)])
    try fields.refuse("partial_rotary_factor", unless: [.integer(1), .real(1)])
    for name in [
      "attention_bias", "mlp_bias", "sliding_window", "quantization_config", "is_encoder_decoder",
      "add_cross_attention",
    ] {
      try fields.refuse(name)
    }
  }

  /// The rotary base: at the top level (before transformers 5) or inside `rope_parameters`.
  private func ropeTheta() throws(CheckpointError) -> Double {
    var theta = try fields.positiveNumber("rope_theta", default: 10_000)
    for name in ["rope_scaling", "rope_parameters"] where !fields[name].isNeutral {
      guard let inner = fields[name].object else {
        throw .malformed(path: fields.path, reason: "\(name) is \(fields[name].brief)")
      }
      for (key, value) in zip(inner.keys, inner.values) where !value.isNeutral {
        switch (key, value) {
        case ("rope_type", .string("default")), ("type", .string("default")): continue
        case ("partial_rotary_factor", _) where value.equals(number: 1): continue
        case ("rope_theta", _) where (value.real ?? 0) > 0: theta = value.real ?? theta
        default:
          throw .unsupported(
            path: fields.path, field: "\(name).\(printable(key))", value: value.brief)
        }
      }
    }
    return theta
  }
}
