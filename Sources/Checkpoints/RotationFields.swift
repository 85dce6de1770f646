import Containers
import Transformers

extension FolderConfiguration {
  /// The rotary base and its scaling: at the top level and in `rope_scaling` (before transformers
  /// 5), or all of it in `rope_parameters`.
  func readRotation(_ configuration: inout DecoderConfiguration) throws(CheckpointError) {
    let (old, new) = (fields["rope_scaling"], fields["rope_parameters"])
    guard old.isNeutral || new.isNeutral || old == new else {
      throw .unsupported(
        path: fields.path, field: "rope_scaling beside another rope_parameters", value: old.brief)
    }
    let name = old.isNeutral ? "rope_parameters" : "rope_scaling"
    configuration.ropeTheta = try fields.positiveNumber("rope_theta", default: defaultTheta)
    guard !fields[name].isNeutral else {
      try readDefault(&configuration)
      return
    }
    guard let inner = fields[name].object else {
      throw .malformed(path: fields.path, reason: "\(name) is \(fields[name].brief)")
    }
    let reader = RotationReader(
      object: inner, name: name, path: fields.path,
      original: try fields.integer(
        "original_max_position_embeddings", in: DecoderLimits.positions,
        default: configuration.maximumPositions),
      originalWins: !fields["original_max_position_embeddings"].isNull)
    configuration.ropeTheta = try reader.number("rope_theta", default: configuration.ropeTheta)
    configuration.rotaryScaling = try reader.scaling()
    try readNoRotation(&configuration)
  }

  private var defaultTheta: Double {
    switch architecture {
    case .smollm3: 2_000_000
    case .apertus: 12_000_000
    default: 10_000
    }
  }

  /// Without any parameters: nothing is scaled, except that Apertus has a scaling of its own.
  private func readDefault(
    _ configuration: inout DecoderConfiguration
  ) throws(CheckpointError) {
    if architecture == .apertus {
      guard configuration.ropeTheta == defaultTheta else {
        throw .unsupported(
          path: fields.path, field: "rope_theta without rope_parameters",
          value: fields["rope_theta"].brief)
      }
      configuration.rotaryScaling = .llama3(factor: 8, low: 1, high: 4, original: 8192)
    }
    try readNoRotation(&configuration)
  }

  /// SmolLM3: blocks that are not turned at all; a 1 in the list means that the block is.
  private func readNoRotation(
    _ configuration: inout DecoderConfiguration
  ) throws(CheckpointError) {
    guard architecture == .smollm3 else { return }
    let name = "no_rope_layers"
    let layers = 0..<configuration.layers
    if fields[name].isNull {
      let interval = try fields.integer(
        "no_rope_layer_interval", in: DecoderLimits.layers, default: 4)
      configuration.unrotatedLayers = Set(layers.filter { ($0 + 1) % interval == 0 })
      return
    }
    let list = fields[name].array?.map(\.integer) ?? []
    guard list.count >= configuration.layers, list.allSatisfy({ $0 == 0 || $0 == 1 }) else {
      throw .malformed(
        path: fields.path, reason: "\(name) is not a list of 0 and 1 for each layer")
    }
    configuration.unrotatedLayers = Set(layers.filter { list[$0] == 0 })
  }
}

/// The object that says how rotary frequencies are scaled: every key is read or refused by name.
private struct RotationReader {
  let object: JSONObject
  let name: String
  let path: String
  /// The positions first learned on, where the object does not say, or where the field outside it
  /// has the last word.
  let original: Int
  let originalWins: Bool

  func scaling() throws(CheckpointError) -> RotaryScaling {
    let types = ["rope_type", "type"].compactMap { object[$0] }.filter { !$0.isNull }
    guard let type = types.first, types.allSatisfy({ $0 == type }) else {
      if types.isEmpty {
        try refuse(except: [])
        return .none
      }
      throw unsupported("type", types[1])
    }
    switch type {
    case .string("default"):
      try refuse(except: [])
      return .none
    case .string("linear"):
      try refuse(except: ["factor"])
      return .linear(factor: try number("factor", default: nil))
    case .string("llama3"):
      let originalName = "original_max_position_embeddings"
      try refuse(except: ["factor", "low_freq_factor", "high_freq_factor", originalName])
      let (low, high) = (
        try number("low_freq_factor", default: nil), try number("high_freq_factor", default: nil)
      )
      guard high > low else {
        throw .malformed(
          path: path, reason: "\(name).high_freq_factor is not above low_freq_factor")
      }
      let positions = try number(originalName, default: Double(original))
      guard DecoderLimits.positions.contains(Int(min(positions, 0x1p40))),
        positions == positions.rounded()
      else { throw unsupported(originalName, object[originalName] ?? .null) }
      return .llama3(
        factor: try number("factor", default: nil), low: low, high: high,
        original: originalWins ? original : Int(positions))
    default:
      throw unsupported(object["rope_type"] == nil ? "type" : "rope_type", type)
    }
  }

  /// A finite number above zero; without a fallback it must be there.
  func number(_ key: String, default fallback: Double?) throws(CheckpointError) -> Double {
    let value = object[key] ?? .null
    if value.isNull, let fallback { return fallback }
    guard let number = value.real, number > 0, number.isFinite else {
      throw .malformed(path: path, reason: "\(name).\(key) is \(value.brief), not above zero")
    }
    return number
  }

  /// Refuses all keys but the type, the base, and those that are read.
  private func refuse(except read: [String]) throws(CheckpointError) {
    let known = Set(read + ["rope_type", "type", "rope_theta"])
    for (key, value) in zip(object.keys, object.values)
    where !known.contains(key) && !value.isNeutral {
      if key == "partial_rotary_factor", value.equals(number: 1) { continue }
      throw unsupported(key, value)
    }
  }

  private func unsupported(_ key: String, _ value: JSONValue) -> CheckpointError {
    .unsupported(path: path, field: "\(name).\(printable(key))", value: value.brief)
  }
}
