import Transformers

/// A tensor that a decoder reads: its Hugging Face name and its shape, outermost dimension first.
struct DecoderTensor: Equatable {
  /// The rows that tokens stand for, which are the head's rows too when tied.
  static let embedding = "model.embed_tokens.weight"

  let name: String
  let shape: [Int]

  /// Every tensor of a Llama decoder, in the order of the forward pass.
  ///
  /// With tied embeddings the head has no tensor of its own.
  static func all(of shape: DecoderConfiguration) -> [DecoderTensor] {
    let hidden = shape.hidden
    let queries = shape.heads * shape.headDimension
    let keys = shape.keyValueHeads * shape.headDimension
    var tensors = [DecoderTensor(name: embedding, shape: [shape.vocabulary, hidden])]
    for layer in 0..<shape.layers {
      for (part, dimensions) in [
        ("input_layernorm", [hidden]),
        ("self_attn.q_proj", [queries, hidden]),
        ("self_attn.k_proj", [keys, hidden]),
        ("self_attn.v_proj", [keys, hidden]),
        ("self_attn.o_proj", [hidden, queries]),
        ("post_attention_layernorm", [hidden]),
        ("mlp.gate_proj", [shape.intermediate, hidden]),
        ("mlp.up_proj", [shape.intermediate, hidden]),
        ("mlp.down_proj", [hidden, shape.intermediate]),
      ] {
        tensors.append(
          DecoderTensor(name: "model.layers.\(layer).\(part).weight", shape: dimensions))
      }
    }
    tensors.append(DecoderTensor(name: "model.norm.weight", shape: [hidden]))
    if !shape.tiedEmbeddings {
      tensors.append(DecoderTensor(name: "lm_head.weight", shape: [shape.vocabulary, hidden]))
    }
    return tensors
  }
}

/// Bounds on a decoder's sizes, far above any Llama published, so that no product of two overflows.
enum DecoderLimits {
  static let vocabulary = 2...(1 << 22)
  static let width = 1...(1 << 18)
  static let layers = 1...1024
  static let heads = 1...4096
  static let headDimension = 2...4096
  static let positions = 1...(1 << 28)

  /// Refuses combinations of sizes that no attention can have.
  static func check(_ shape: DecoderConfiguration, path: String) throws(CheckpointError) {
    guard shape.heads % shape.keyValueHeads == 0 else {
      throw .malformed(
        path: path,
        reason: "\(shape.heads) heads cannot share \(shape.keyValueHeads) key-value heads evenly")
    }
    guard shape.headDimension % 2 == 0 else {
      throw .unsupported(
        path: path, field: "the head dimension", value: "\(shape.headDimension), an odd number")
    }
    guard shape.ropeTheta > 0, shape.ropeTheta.isFinite, shape.normEpsilon > 0,
      shape.normEpsilon.isFinite
    else {
      throw .malformed(path: path, reason: "rope theta and norm epsilon must be above zero")
    }
  }
}
