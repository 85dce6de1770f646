import Transformers

/// How llama.cpp names the tensors of a decoder.
struct GGUFNames {
  /// The part of a name after `model.layers.N.`, and the part after `blk.N.`, without their ends.
  private let parts: [String: String]

  static let linears: [LinearLayer: String] = [
    .query: "attn_q", .key: "attn_k", .value: "attn_v", .output: "attn_output",
    .gate: "ffn_gate", .up: "ffn_up", .down: "ffn_down",
  ]

  init(_ configuration: DecoderConfiguration) {
    var parts = ["self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"]
    switch configuration.normPlacement {
    case .before:
      parts["input_layernorm"] = "attn_norm"
      parts["post_attention_layernorm"] = "ffn_norm"
    case .after:
      parts["post_attention_layernorm"] = "post_attention_norm"
      parts["post_feedforward_layernorm"] = "post_ffw_norm"
    }
    for (linear, name) in Self.linears {
      let path = linear.path(layer: 0)
      parts[String(path.dropFirst("model.layers.0.".count))] = name
    }
    self.parts = parts
  }

  /// The GGUF name of the weight of a module such as `model.layers.3.mlp.up_proj`, or nil.
  static func ggufName(ofModule path: String) -> String? {
    guard let place = ModulePlace(path: path), let linear = LinearLayer(rawValue: place.name),
      let name = linears[linear]
    else { return nil }
    return "blk.\(place.layer).\(name).weight"
  }

  /// The GGUF name of a tensor of the decoder, or nil where the format has none.
  func ggufName(of name: String) -> String? {
    switch name {
    case DecoderTensor.embedding: return "token_embd.weight"
    case "model.norm.weight": return "output_norm.weight"
    case "lm_head.weight": return "output.weight"
    default: break
    }
    let words = name.split(separator: ".", omittingEmptySubsequences: false)
    guard words.count > 4, let part = parts[words[3..<words.count - 1].joined(separator: ".")]
    else { return nil }
    return "blk.\(words[2]).\(part).\(words[words.count - 1])"
  }
}
