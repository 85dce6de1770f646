import Containers
import Transformers

/// The keys of a GGUF file under its architecture's name: each is honoured or refused by name.
struct GGUFConfiguration {
  /// Divisors of the rotary frequencies, which the converter works out of `rope_scaling`.
  static let divisors = "rope_freqs.weight"

  let file: TensorFile
  let architecture: Architecture
  private let prefix: String

  init(file: TensorFile) throws(CheckpointError) {
    let name = file.metadata["general.architecture"]?.string ?? "missing"
    guard let found = Architecture(ggufName: name) else {
      throw .unsupported(path: file.path, field: "general.architecture", value: printable(name))
    }
    self.file = file
    architecture = found
    prefix = name + "."
  }

  /// The decoder's sizes. Throws when a key is missing, absurd or asks for something else.
  func decoder() throws -> DecoderConfiguration {
    try refuseOthers()
    let hidden = try integer("embedding_length", in: DecoderLimits.width)
    let heads = try integer("attention.head_count", in: DecoderLimits.heads)
    let dimension = try integer(
      "attention.key_length", in: DecoderLimits.headDimension, default: hidden / heads)
    for name in ["attention.value_length", "rope.dimension_count"] {
      let other = try integer(name, in: DecoderLimits.headDimension, default: dimension)
      guard other == dimension else {
        throw CheckpointError.unsupported(
          path: file.path, field: "\(prefix)\(name)",
          value: "\(other) while a head is \(dimension) wide")
      }
    }
    var configuration = DecoderConfiguration(
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
    architecture.shape(&configuration)
    for (linear, name) in GGUFNames.linears
    where file.tensor(named: "blk.0.\(name).bias") != nil {
      configuration.biases.insert(linear)
    }
    // llama.cpp leaves every fourth layer of SmolLM3 unturned; no key of the file says so.
    if architecture == .smollm3 {
      configuration.unrotatedLayers = Set((0..<configuration.layers).filter { $0 % 4 == 3 })
    }
    configuration.rotaryScaling = try scaling(dimension)
    try DecoderLimits.check(configuration, path: file.path)
    return configuration
  }

  private func scaling(_ dimension: Int) throws -> RotaryScaling {
    guard let entry = file.tensor(named: Self.divisors) else { return .none }
    guard entry.shape == [dimension / 2], entry.elementType == .f32 else {
      throw CheckpointError.wrongShape(
        path: file.path, name: entry.name, found: entry.shape, expected: [dimension / 2])
    }
    let divisors = try file.floats(of: entry)
    guard divisors.allSatisfy({ $0.isFinite && $0 > 0 }) else {
      throw CheckpointError.malformed(
        path: file.path, reason: "\(entry.name) has a number that is not above zero")
    }
    return divisors.allSatisfy { $0 == 1 } ? .none : .divisors(divisors)
  }

  /// The constants of xIELU by the decoder's names: a number for each layer, or one for all.
  func curves(_ configuration: DecoderConfiguration) throws(CheckpointError) -> [String: Float] {
    guard configuration.activation == .xielu else { return [:] }
    var curves: [String: Float] = [:]
    for (key, name) in [
      ("xielu.alpha_p", "alpha_p"), ("xielu.alpha_n", "alpha_n"), ("xielu.beta", "beta"),
      ("xielu.eps", "eps"),
    ] {
      var numbers: [Double] = []
      switch file.metadata[key] {
      case .array(let items)?: numbers = items.compactMap(\.real)
      case let single?: numbers = single.real.map { [$0] } ?? []
      case nil: break
      }
      if numbers.count == 1 {
        numbers = [Double](repeating: numbers[0], count: configuration.layers)
      }
      guard numbers.count == configuration.layers, numbers.allSatisfy(\.isFinite) else {
        throw .malformed(
          path: file.path, reason: "\(key) is not a number for each of the layers")
      }
      for (layer, number) in numbers.enumerated() {
        curves["model.layers.\(layer).mlp.act_fn.\(name)"] = Float(number)
      }
    }
    return curves
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
    for key in file.metadata.keys.sorted() where key.hasPrefix(prefix) {
      let name = String(key.dropFirst(prefix.count))
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
    let key = "\(prefix)\(name)"
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
    let key = "\(prefix)\(name)"
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
