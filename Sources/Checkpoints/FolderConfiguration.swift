import Containers
import Transformers

/// `config.json` of a model of the Llama family: each field that the architecture's code in
/// transformers reads is honoured or refused by name, with the defaults that its configuration
/// class has. Fields that only other architectures read are of no effect there nor here, except
/// that those which would change the mathematics are refused all the same.
struct FolderConfiguration {
  let fields: JSONFields
  let architecture: Architecture

  init(path: String) throws(CheckpointError) {
    fields = try JSONFields(path: path)
    guard let name = fields["model_type"].string, let found = Architecture(rawValue: name) else {
      throw .unsupported(path: path, field: "model_type", value: fields["model_type"].brief)
    }
    architecture = found
  }

  /// The decoder's sizes. Throws when a field is missing, absurd or asks for something else.
  func decoder() throws(CheckpointError) -> DecoderConfiguration {
    try refuseOthers()
    let hidden = try fields.integer("hidden_size", in: DecoderLimits.width)
    let heads = try fields.integer("num_attention_heads", in: DecoderLimits.heads)
    var configuration = DecoderConfiguration(
      vocabulary: try fields.integer("vocab_size", in: DecoderLimits.vocabulary),
      hidden: hidden,
      layers: try fields.integer("num_hidden_layers", in: DecoderLimits.layers),
      heads: heads,
      keyValueHeads: try keyValueHeads(heads),
      headDimension: try headDimension(hidden: hidden, heads: heads),
      intermediate: try fields.integer("intermediate_size", in: DecoderLimits.width),
      ropeTheta: 0,
      normEpsilon: Float(try fields.positiveNumber("rms_norm_eps", default: defaultEpsilon)),
      tiedEmbeddings: try fields.flag(
        "tie_word_embeddings", default: architecture == .smollm3),
      maximumPositions: try fields.integer(
        "max_position_embeddings", in: DecoderLimits.positions, default: 2048))
    architecture.shape(&configuration)
    try readRotation(&configuration)
    try readSight(&configuration)
    try readBiases(&configuration)
    try DecoderLimits.check(configuration, path: fields.path)
    return configuration
  }

  private var defaultEpsilon: Double {
    architecture == .olmo2 || architecture == .apertus ? 1e-5 : 1e-6
  }

  /// An absent field stands for as many as heads, or for a number of the class's own.
  private func keyValueHeads(_ heads: Int) throws(CheckpointError) -> Int {
    let name = "num_key_value_heads"
    guard fields.names.contains(name) || [.llama, .olmo2, .apertus].contains(architecture) else {
      throw .malformed(path: fields.path, reason: "\(name) is missing")
    }
    return try fields.integer(name, in: DecoderLimits.heads, default: heads)
  }

  private func headDimension(hidden: Int, heads: Int) throws(CheckpointError) -> Int {
    if fields["head_dim"].isNull, architecture != .qwen3, hidden % heads != 0 {
      throw .malformed(
        path: fields.path,
        reason: "hidden_size \(hidden) is no multiple of num_attention_heads \(heads)")
    }
    return try fields.integer(
      "head_dim", in: DecoderLimits.headDimension,
      default: architecture == .qwen3 ? 128 : hidden / heads)
  }

  private func readBiases(_ configuration: inout DecoderConfiguration) throws(CheckpointError) {
    if ![.mistral, .qwen2].contains(architecture) {
      if try fields.flag("attention_bias", default: false) {
        configuration.biases.formUnion([.query, .key, .value, .output])
      }
    } else {
      try fields.refuse("attention_bias")
    }
    if [.llama, .smollm3].contains(architecture) {
      if try fields.flag("mlp_bias", default: false) {
        configuration.biases.formUnion([.gate, .up, .down])
      }
    } else {
      try fields.refuse("mlp_bias")
    }
  }

  private func refuseOthers() throws(CheckpointError) {
    if let names = fields["architectures"].array,
      names != [.string(architecture.className)]
    {
      throw .unsupported(
        path: fields.path, field: "architectures",
        value: names.map(\.brief).joined(separator: ", "))
    }
    let activations: [JSONValue] =
      architecture == .apertus ? [.string("xielu")] : [.string("silu"), .string("swish")]
    try fields.refuse("hidden_act", unless: activations)
    try fields.refuse("attention_dropout", unless: [.integer(0), .real(0)])
    try fields.refuse("partial_rotary_factor", unless: [.integer(1), .real(1)])
    for name in [
      "quantization_config", "is_encoder_decoder", "add_cross_attention", "post_norm",
    ] {
      try fields.refuse(name)
    }
  }
}
