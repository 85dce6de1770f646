import Transformers

/// The architectures of the Llama family that are read, in the words of `model_type`.
enum Architecture: String, CaseIterable {
  case llama, mistral, qwen2, qwen3, smollm3, olmo2, apertus

  /// The class in transformers, as `architectures` names it.
  var className: String {
    switch self {
    case .llama: "LlamaForCausalLM"
    case .mistral: "MistralForCausalLM"
    case .qwen2: "Qwen2ForCausalLM"
    case .qwen3: "Qwen3ForCausalLM"
    case .smollm3: "SmolLM3ForCausalLM"
    case .olmo2: "Olmo2ForCausalLM"
    case .apertus: "ApertusForCausalLM"
    }
  }

  /// `general.architecture` of a GGUF file; Mistral is a Llama there.
  var ggufName: String { self == .mistral ? Architecture.llama.rawValue : rawValue }

  /// The architecture that a GGUF file names, or nil when it is not read.
  init?(ggufName: String) {
    guard let found = Self.allCases.first(where: { $0.rawValue == ggufName }), found != .mistral
    else { return nil }
    self = found
  }

  /// Whether GGUF files of this architecture have q and k in the order that turns neighbours.
  var turnsNeighboursInGGUF: Bool { [.llama, .mistral, .smollm3].contains(self) }

  /// Puts down in what the architecture differs from Llama, whatever its configuration says.
  func shape(_ configuration: inout DecoderConfiguration) {
    switch self {
    case .llama, .mistral, .smollm3: break
    case .qwen2: configuration.biases = [.query, .key, .value]
    case .qwen3: configuration.headNorm = .perHead
    case .olmo2:
      configuration.headNorm = .whole
      configuration.normPlacement = .after
    case .apertus:
      configuration.headNorm = .perHead
      configuration.activation = .xielu
    }
  }

  /// The name in a Hugging Face folder of the tensor that the decoder calls `name`.
  func fileName(of name: String) -> String {
    guard self == .apertus else { return name }
    for (own, theirs) in [
      (".input_layernorm.", ".attention_layernorm."),
      (".post_attention_layernorm.", ".feedforward_layernorm."),
    ] where name.contains(own) {
      let parts = name.split(separator: own, maxSplits: 1)
      return parts.joined(separator: theirs)
    }
    return name
  }
}
