import Foundation

/// Writes a Llama of some thousand weights that reads bytes: small enough that real daemons train,
/// judge and merge with it in well under a second.
public enum TinyModel {
  private static let vocabulary = 257
  private static let (hidden, layers, heads, intermediate) = (32, 2, 2, 48)

  /// Makes a Hugging Face folder: configuration, tokenizer, weights drawn by a fixed generator.
  public static func write(to folder: String) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Self.write(config, folder + "/config.json")
    try Self.write(tokenizer, folder + "/tokenizer.json")
    try Self.write(#"{"eos_token": "<|endoftext|>"}"#, folder + "/tokenizer_config.json")
    try weights.write(to: URL(filePath: folder + "/model.safetensors"))
  }

  private static func write(_ text: String, _ path: String) throws {
    try Data(text.utf8).write(to: URL(filePath: path))
  }

  private static let config = """
    {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
     "hidden_size": \(hidden), "num_hidden_layers": \(layers), "num_attention_heads": \(heads),
     "num_key_value_heads": \(heads), "intermediate_size": \(intermediate), "head_dim": 16,
     "vocab_size": \(vocabulary), "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
     "rope_theta": 10000.0, "tie_word_embeddings": true, "bos_token_id": 256,
     "eos_token_id": 256, "attention_bias": false, "mlp_bias": false}
    """

  /// Every byte is a token, spelt as byte-level vocabularies spell them; 256 ends a document.
  private static var tokenizer: String {
    var next = 256
    var entries: [String] = []
    for byte in 0..<256 {
      let isPlain = (33...126).contains(byte) || (161...172).contains(byte) || byte >= 174
      let scalar = Unicode.Scalar(UInt32(isPlain ? byte : next))!
      if !isPlain { next += 1 }
      let hex = String(scalar.value, radix: 16)
      entries.append("\"\\u\(String(repeating: "0", count: 4 - hex.count) + hex)\": \(byte)")
    }
    entries.append("\"<|endoftext|>\": 256")
    return """
      {"version": "1.0", "added_tokens":
        [{"id": 256, "content": "<|endoftext|>", "special": true}],
       "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false,
       "trim_offsets": true, "use_regex": true}, "decoder": {"type": "ByteLevel"},
       "model": {"type": "BPE", "vocab": {\(entries.joined(separator: ", "))}, "merges": []}}
      """
  }

  /// A safetensors file: length of the header, header, float32 values drawn by a small generator.
  private static var weights: Data {
    var shapes: [(String, [Int])] = [("model.embed_tokens.weight", [vocabulary, hidden])]
    for layer in 0..<layers {
      let prefix = "model.layers.\(layer)."
      for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
        shapes.append((prefix + "self_attn.\(name).weight", [hidden, hidden]))
      }
      shapes.append((prefix + "mlp.gate_proj.weight", [intermediate, hidden]))
      shapes.append((prefix + "mlp.up_proj.weight", [intermediate, hidden]))
      shapes.append((prefix + "mlp.down_proj.weight", [hidden, intermediate]))
      shapes.append((prefix + "input_layernorm.weight", [hidden]))
      shapes.append((prefix + "post_attention_layernorm.weight", [hidden]))
    }
    shapes.append(("model.norm.weight", [hidden]))
    var (header, values, state) = ([String](), [Float](), UInt32(1))
    for (name, shape) in shapes {
      let start = values.count * 4
      for _ in 0..<shape.reduce(1, *) {
        state = state &* 1_664_525 &+ 1_013_904_223
        values.append(
          shape.count == 1 ? 1 : (Float(state >> 8) / Float(1 << 24) - 0.5) * 0.2)
      }
      header.append(
        "\"\(name)\":{\"dtype\":\"F32\",\"shape\":\(shape),"
          + "\"data_offsets\":[\(start),\(values.count * 4)]}")
    }
    var text = "{" + header.joined(separator: ",") + "}"
    text += String(repeating: " ", count: (8 - text.utf8.count % 8) % 8)
    var data = Data()
    for shift in 0..<8 { data.append(UInt8(truncatingIfNeeded: text.utf8.count >> (8 * shift))) }
    data.append(contentsOf: text.utf8)
    values.withUnsafeBytes { data.append(contentsOf: $0) }
    return data
  }
}
