import Transformers

/// A tensor that a decoder reads: its name and its shape, outermost dimension first.
struct DecoderTensor: Equatable {
  /// The rows that tokens stand for, which are the head's rows too when tied.
  static let embedding = "model.embed_tokens.weight"

  let name: String
  let shape: [Int]
  /// For a single number, whose shape may be [1] or none: what it is where no file says so.
  var fallback: Float?
  /// Whether one element is all there is, whatever the shape.
  var isNumber = false

  /// Every tensor of a decoder, in the order of the forward pass.
  ///
  /// With tied embeddings the head has no tensor of its own.
  static func all(of shape: DecoderConfiguration) -> [DecoderTensor] {
    var tensors = [DecoderTensor(name: embedding, shape: [shape.vocabulary, shape.hidden])]
    for layer in 0..<shape.layers { tensors += block(layer, of: shape) }
    tensors.append(DecoderTensor(name: "model.norm.weight", shape: [shape.hidden]))
    if !shape.tiedEmbeddings {
      tensors.append(
        DecoderTensor(name: "lm_head.weight", shape: [shape.vocabulary, shape.hidden]))
    }
    return tensors
  }

  private static func block(_ layer: Int, of shape: DecoderConfiguration) -> [DecoderTensor] {
    let prefix = "model.layers.\(layer)."
    var tensors = [shape.normNames.attention, shape.normNames.feedForward].map {
      DecoderTensor(name: prefix + $0, shape: [shape.hidden])
    }
    for linear in shape.linears {
      let sides = shape.shape(of: linear)
      let path = linear.path(layer: layer)
      tensors.append(DecoderTensor(name: path + ".weight", shape: [sides.outputs, sides.inputs]))
      if shape.biases.contains(linear) {
        tensors.append(DecoderTensor(name: path + ".bias", shape: [sides.outputs]))
      }
    }
    for (linear, name) in [(LinearLayer.query, "q_norm"), (.key, "k_norm")] {
      if let width = shape.headNormWidth(of: linear) {
        tensors.append(
          DecoderTensor(name: prefix + "self_attn.\(name).weight", shape: [width]))
      }
    }
    if shape.activation == .xielu {
      for (name, fallback) in [
        ("alpha_p", nil), ("alpha_n", nil), ("beta", 0.5), ("eps", -1e-6),
      ] as [(String, Float?)] {
        tensors.append(
          DecoderTensor(
            name: prefix + "mlp.act_fn.\(name)", shape: [1], fallback: fallback, isNumber: true))
      }
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
    // Where no field says it, it is a quotient, which may be nothing at all.
    guard headDimension.contains(shape.headDimension) else {
      throw .malformed(
        path: path,
        reason: "a head is \(shape.headDimension) wide, outside \(headDimension.lowerBound)…"
          + "\(headDimension.upperBound): \(shape.heads) heads in a width of \(shape.hidden)")
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
