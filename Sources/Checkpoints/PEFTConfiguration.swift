import Adapters
import Containers
import FoundationEssentials

/// `adapter_config.json`: each field is honoured or refused by name.
///
/// A field of a later PEFT that ``fields`` does not name passes when it switches nothing on (null,
/// false, empty) and is refused otherwise.
struct PEFTConfiguration {
  static let fileName = "adapter_config.json"

  let rank: Int
  let alpha: Int
  let dropout: Double
  let scaling: AdapterLayout.Scaling
  let baseModel: String?
  let targets: JSONValue
  /// The only layers that carry factors; nil: all may.
  private let layers: Set<Int>?
  /// Names of modules that carry none.
  private let excluded: [String]
  let path: String

  /// Reads and judges the file in `folder`.
  init(folder: String) throws(CheckpointError) {
    let fields = try JSONFields(path: "\(folder)/\(Self.fileName)")
    path = fields.path
    guard fields["peft_type"] == .string("LORA") else {
      throw .unsupported(path: path, field: "peft_type", value: fields["peft_type"].brief)
    }
    try Self.refuseOthers(fields)
    rank = try fields.integer("r", in: 1...AdapterLayout.maximumRank)
    alpha = try fields.integer("lora_alpha", in: 1...AdapterLayout.maximumAlpha)
    dropout = fields["lora_dropout"].isNull ? 0 : fields["lora_dropout"].real ?? -1
    guard (0..<1).contains(dropout) else {
      throw .malformed(
        path: path,
        reason: "lora_dropout is \(fields["lora_dropout"].brief), not from 0 up to below 1")
    }
    scaling =
      try fields.flag("use_rslora", default: false) ? .rankStabilised : .standard
    targets = fields["target_modules"]
    layers = try Self.layers(fields)
    excluded = try Self.excluded(fields)
    baseModel = fields["base_model_name_or_path"].string
  }

  /// What is done with a field.
  enum Treatment {
    /// What it says is done, or checked, here.
    case read
    /// It says where the file comes from or how the factors began, not what they compute.
    case without(influence: String)
    /// It may have these values, or be absent, null, false or empty; others are refused.
    case only([JSONValue])
  }

  /// Every field of PEFT's `LoraConfig`; Tests/Tools/peft_fields.py lists those of the installed
  /// version for a test. Which modules carry factors is read from the tensors, so the fields that
  /// choose modules are only held against them.
  static let fields: [String: Treatment] = [
    "peft_type": .read, "r": .read, "lora_alpha": .read, "lora_dropout": .read,
    "use_rslora": .read, "target_modules": .read, "exclude_modules": .read,
    "layers_to_transform": .read, "layers_pattern": .read, "base_model_name_or_path": .read,
    "task_type": .only([.string("CAUSAL_LM")]),
    "bias": .only([.string("none")]),
    // Starts that leave the base's weights alone; pissa, olora, corda, lora_ga and loftq change
    // them.
    "init_lora_weights": .only([
      .bool(true), .string("gaussian"), .string("orthogonal"), .string("eva"),
    ]),
    "eva_config": .without(influence: "how the factors began; ranks it moved are a rank_pattern"),
    "auto_mapping": .without(influence: "a class in Python"),
    "peft_version": .without(influence: "who wrote the file"),
    "revision": .without(influence: "the base's name on a hub"),
    "inference_mode": .without(influence: "whether PEFT would train it"),
    // Only of use with a field that is refused, and so refused when somebody set it.
    "megatron_core": .only([.string("megatron.core")]),
    "qalora_group_size": .only([.integer(16)]),
    "runtime_config": .only([.object(JSONObject([("ephemeral_gpu_offload", .bool(false))]))]),
    "fan_in_fan_out": .only([]), "modules_to_save": .only([]), "rank_pattern": .only([]),
    "alpha_pattern": .only([]), "megatron_config": .only([]), "trainable_token_indices": .only([]),
    "loftq_config": .only([]), "corda_config": .only([]), "lora_ga_config": .only([]),
    "use_dora": .only([]), "velora_config": .only([]), "alora_invocation_tokens": .only([]),
    "use_qalora": .only([]), "monteclora_config": .only([]), "layer_replication": .only([]),
    "lora_bias": .only([]), "target_parameters": .only([]), "use_bdlora": .only([]),
    "arrow_config": .only([]), "kasa_config": .only([]), "ensure_weight_tying": .only([]),
  ]

  private static func refuseOthers(_ fields: JSONFields) throws(CheckpointError) {
    for name in fields.names {
      switch Self.fields[name] ?? .only([]) {
      case .read, .without: break
      case .only(let values): try fields.refuse(name, unless: values)
      }
    }
  }

  /// `layers_to_transform`: a number or a list of them. The list of layers that it counts in can
  /// only be the decoder's own.
  private static func layers(_ fields: JSONFields) throws(CheckpointError) -> Set<Int>? {
    try fields.refuse(
      "layers_pattern", unless: [.string("layers"), .array([.string("layers")])])
    let value = fields["layers_to_transform"]
    guard !value.isNeutral else { return nil }
    let list = value.array ?? [value]
    guard list.allSatisfy({ ($0.integer ?? -1) >= 0 }) else {
      throw .malformed(
        path: fields.path, reason: "layers_to_transform is \(value.brief), not layers' numbers")
    }
    return Set(list.compactMap(\.integer))
  }

  /// `exclude_modules` as a list of names; an expression is not evaluated.
  private static func excluded(_ fields: JSONFields) throws(CheckpointError) -> [String] {
    let value = fields["exclude_modules"]
    guard !value.isNeutral else { return [] }
    guard let names = value.array?.compactMap(\.string), names.count == value.array?.count else {
      throw .unsupported(path: fields.path, field: "exclude_modules", value: value.brief)
    }
    return names
  }

  /// Whether PEFT, too, would put factors on this module when it reads the configuration.
  func selects(_ module: String) -> Bool {
    guard !excluded.contains(where: { module == $0 || module.hasSuffix("." + $0) }) else {
      return false
    }
    if let layers {
      guard let place = ModulePlace(path: module), layers.contains(place.layer) else {
        return false
      }
    }
    guard let names = targets.array else {
      // `all-linear`, or a pattern: the tensors say which modules it met.
      return true
    }
    return names.contains { name in
      guard let name = name.string else { return false }
      return module == name || module.hasSuffix("." + name)
    }
  }

  /// The file that PEFT reads as plain LoRA: rank, alpha and a list of module names.
  static func text(
    layout: AdapterLayout, baseModel: String, dropout: Double
  ) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    let written = Written(
      baseModelNameOrPath: baseModel, loraAlpha: layout.alpha, r: layout.rank,
      targetModules: targetNames(of: layout), loraDropout: dropout,
      useRslora: layout.scaling == .rankStabilised)
    return [UInt8](try encoder.encode(written)) + [UInt8(ascii: "\n")]
  }

  /// The fields that PEFT needs and those that people look for; the others have PEFT's defaults,
  /// which mean "off".
  private struct Written: Encodable {
    let baseModelNameOrPath: String
    let loraAlpha: Int
    let r: Int
    let targetModules: [String]
    let loraDropout: Double
    let useRslora: Bool
    let alphaPattern: [String: Int] = [:]
    let bias = "none"
    let fanInFanOut = false
    let inferenceMode = true
    let initLoraWeights = true
    let peftType = "LORA"
    let rankPattern: [String: Int] = [:]
    let taskType = "CAUSAL_LM"
    let useDora = false
  }

  /// The last names when every layer has the same modules, as people write them; else full paths.
  static func targetNames(of layout: AdapterLayout) -> [String] {
    var layers: [Int: Set<String>] = [:]
    for module in layout.modules {
      guard let place = ModulePlace(path: module.path) else {
        return layout.modules.map(\.path).sorted()
      }
      layers[place.layer, default: []].insert(place.name)
    }
    guard let first = layers[0], layers.values.allSatisfy({ $0 == first }),
      layers.keys.max() == layers.count - 1
    else { return layout.modules.map(\.path).sorted() }
    return first.sorted()
  }
}
