import Tensors

/// The shape of a decoder of the Llama family: how wide, how deep, and in what it differs from
/// Llama.
public struct DecoderConfiguration: Sendable, Equatable {
  /// Rows of the embedding and columns of the logits.
  public var vocabulary: Int
  /// Width of the residual stream.
  public var hidden: Int
  public var layers: Int
  /// Query heads.
  public var heads: Int
  /// Key and value heads; a divisor of `heads` (grouped-query attention).
  public var keyValueHeads: Int
  /// Width of one head; even.
  public var headDimension: Int
  /// Width inside the feed-forward block.
  public var intermediate: Int
  /// Base of the rotary position embedding's wavelengths.
  public var ropeTheta: Double
  /// Added to the mean square before its root.
  public var normEpsilon: Float
  /// Whether the logits use the embedding's own rows.
  public var tiedEmbeddings: Bool
  /// The longest window the model was made for.
  public var maximumPositions: Int

  /// How the rotary wavelengths are stretched.
  public var rotaryScaling = RotaryScaling.none
  /// Blocks whose queries and keys are not turned by their positions.
  public var unrotatedLayers: Set<Int> = []
  /// How many positions the queries of `slidingLayers` see, themselves included.
  public var slidingWindow: Int?
  /// Blocks whose attention is cut to `slidingWindow`.
  public var slidingLayers: Set<Int> = []
  /// Linear layers that add a frozen bias.
  public var biases: Set<LinearLayer> = []
  /// How queries and keys are normalised.
  public var headNorm = HeadNorm.none
  /// Where the norms of a block's two halves stand.
  public var normPlacement = NormPlacement.before
  /// What stands between the products of the feed-forward block.
  public var activation = Activation.swiglu

  /// Takes the shape as it is, a plain Llama; `checked()` says whether it makes sense.
  public init(
    vocabulary: Int, hidden: Int, layers: Int, heads: Int, keyValueHeads: Int,
    headDimension: Int, intermediate: Int, ropeTheta: Double, normEpsilon: Float,
    tiedEmbeddings: Bool, maximumPositions: Int
  ) {
    self.vocabulary = vocabulary
    self.hidden = hidden
    self.layers = layers
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.headDimension = headDimension
    self.intermediate = intermediate
    self.ropeTheta = ropeTheta
    self.normEpsilon = normEpsilon
    self.tiedEmbeddings = tiedEmbeddings
    self.maximumPositions = maximumPositions
  }

  /// The shape of SmolLM2-135M, the model the benchmarks are measured on.
  public static let smolLM2Small = DecoderConfiguration(
    vocabulary: 49_152, hidden: 576, layers: 30, heads: 9, keyValueHeads: 3, headDimension: 64,
    intermediate: 1536, ropeTheta: 100_000, normEpsilon: 1e-5, tiedEmbeddings: true,
    maximumPositions: 8192)

  /// Width of all query heads together.
  public var queryWidth: Int { heads * headDimension }

  /// Width of all key (or value) heads together.
  public var keyValueWidth: Int { keyValueHeads * headDimension }

  /// The same shape if a decoder can be built from it.
  ///
  /// - Throws: `TransformersError.configuration` that names the field and what it must be.
  public func checked() throws -> DecoderConfiguration {
    let limit = 1 << 24
    for (name, value) in [
      ("vocabulary", vocabulary), ("hidden", hidden), ("layers", layers), ("heads", heads),
      ("keyValueHeads", keyValueHeads), ("headDimension", headDimension),
      ("intermediate", intermediate), ("maximumPositions", maximumPositions),
    ] where value < 1 || value > limit {
      throw TransformersError.configuration("\(name) is \(value); it must be 1…\(limit)")
    }
    guard heads % keyValueHeads == 0 else {
      throw TransformersError.configuration(
        "heads is \(heads); it must be a multiple of keyValueHeads (\(keyValueHeads))")
    }
    guard headDimension % 2 == 0, headDimension <= 1024 else {
      throw TransformersError.configuration(
        "headDimension is \(headDimension); it must be even and at most 1024")
    }
    guard ropeTheta.isFinite, ropeTheta > 0, normEpsilon.isFinite, normEpsilon >= 0 else {
      throw TransformersError.configuration("ropeTheta and normEpsilon must be finite, positive")
    }
    try checkDifferences()
    return self
  }

  /// The linear layers of every block, in the block's order.
  public var linears: [LinearLayer] {
    LinearLayer.allCases.filter { $0 != .gate || activation.isGated }
  }

  /// The names of a block's two norms, after the block's prefix.
  public var normNames: (attention: String, feedForward: String) {
    switch normPlacement {
    case .before: ("input_layernorm.weight", "post_attention_layernorm.weight")
    case .after: ("post_attention_layernorm.weight", "post_feedforward_layernorm.weight")
    }
  }

  /// What differs from Llama.
  private func checkDifferences() throws {
    guard rotaryScaling.isSound(headDimension: headDimension) else {
      throw TransformersError.configuration(
        "rotaryScaling is \(rotaryScaling); its numbers must be above zero, high above low, and "
          + "divisors one for each pair of a head")
    }
    for (name, blocks) in [
      ("unrotatedLayers", unrotatedLayers), ("slidingLayers", slidingLayers),
    ] {
      for block in blocks.sorted() where !(0..<layers).contains(block) {
        throw TransformersError.configuration(
          "\(name) names block \(block); there are \(layers), counted from 0")
      }
    }
    guard slidingLayers.isEmpty || (slidingWindow ?? 0) > 0 else {
      throw TransformersError.configuration(
        "slidingWindow is \(slidingWindow ?? 0); sliding layers need one of at least 1")
    }
    guard biases.isSubset(of: linears) else {
      throw TransformersError.configuration("biases name a gate, which this model does not have")
    }
  }
}

/// How weights and kept activations are stored; sums are always 32-bit floats.
public enum ComputeType: String, Sendable, CaseIterable {
  case bf16, f32

  /// How weights and activations rest in memory.
  public var storage: Storage { self == .bf16 ? .bf16 : .f32 }
}

/// Where a decoder reads its frozen tensors from.
public protocol DecoderWeights {
  /// Fills `values` with the tensor called `name` (as Hugging Face names it, for example
  /// `model.layers.0.self_attn.q_proj.weight`), row-major, outermost dimension first.
  ///
  /// - Throws: if the tensor is missing or its element count is not `values.count`.
  func readTensor(_ name: String, into values: UnsafeMutableBufferPointer<Float>) throws
}

/// A sum of token losses and how many tokens it is over; sums of sums are exact averages.
public struct LossSum: Sendable, Equatable {
  /// Sum of −log p(token), natural logarithm.
  public var nats: Double
  /// Predicted tokens.
  public var tokens: Int

  /// A sum over `tokens` predictions.
  public init(nats: Double = 0, tokens: Int = 0) {
    self.nats = nats
    self.tokens = tokens
  }

  /// Mean loss of a token; zero of none.
  public var mean: Double { tokens == 0 ? 0 : nats / Double(tokens) }

  /// Adds the other sum's losses and tokens to this one's.
  public static func += (sum: inout LossSum, other: LossSum) {
    sum.nats += other.nats
    sum.tokens += other.tokens
  }
}

/// What can be wrong with a decoder's shape or with an adapter that is put on it.
public enum TransformersError: Error, Equatable, CustomStringConvertible {
  case configuration(String)
  case target(String)
  case adapter(String)

  public var description: String {
    switch self {
    case .configuration(let what): "model shape: \(what)"
    case .target(let what): "LoRA target: \(what)"
    case .adapter(let what): "adapter does not fit the model: \(what)"
    }
  }
}
