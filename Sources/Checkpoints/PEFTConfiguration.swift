import Adapters
import Containers
import FoundationEssentials

/// `adapter_config.json`: each field is honoured or refused by name.
///
/// A field of a later PEFT that is not listed here passes when it switches nothing on (null, false,
/// empty) and is refused otherwise.
struct PEFTConfiguration {
  static let fileName = "adapter_config.json"

  let rank: Int
  let alpha: Int
  let dropout: Double
  let baseModel: String?
  let targets: JSONValue
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
    guard (0...1).contains(dropout) else {
      throw .malformed(
        path: path, reason: "lora_dropout is \(fields["lora_dropout"].brief), not in 0…1")
    }
    targets = fields["target_modules"]
    baseModel = fields["base_model_name_or_path"].string
  }

  /// Read above, or without influence on what the factors compute: which modules carry factors is
  /// read from the tensors, so the fields that choose modules have nothing left to say.
  private static let read: Set<String> = [
    "peft_type", "r", "lora_alpha", "lora_dropout", "target_modules", "base_model_name_or_path",
    "auto_mapping", "peft_version", "revision", "inference_mode", "exclude_modules",
    "layers_to_transform", "layers_pattern", "megatron_core", "qalora_group_size",
    "ensure_weight_tying", "runtime_config", "eva_config",
  ]

  private static func refuseOthers(_ fields: JSONFields) throws(CheckpointError) {
    let harmless: [String: [JSONValue]] = [
      "task_type": [.string("CAUSAL_LM")],
      "bias": [.string("none")],
      // Starts that leave the base's weights alone; pissa, olora, corda and loftq change them.
      "init_lora_weights": [
        .bool(true), .string("gaussian"), .string("orthogonal"), .string("eva"),
      ],
    ]
    for name in fields.names where !read.contains(name) {
      try fields.refuse(name, unless: harmless[name] ?? [])
    }
  }

  /// Whether PEFT, too, would put factors on this module when it reads the configuration.
  func selects(_ module: String) -> Bool {
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
  static func text(layout: AdapterLayout, baseModel: String) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    let written = Written(
      baseModelNameOrPath: baseModel, loraAlpha: layout.alpha, r: layout.rank,
      targetModules: targetNames(of: layout))
    return [UInt8](try encoder.encode(written)) + [UInt8(ascii: "\n")]
  }

  /// The fields that PEFT needs and those that people look for; the others have PEFT's defaults,
  /// which mean "off".
  private struct Written: Encodable {
    let baseModelNameOrPath: String
    let loraAlpha: Int
    let r: Int
    let targetModules: [String]
    let alphaPattern: [String: Int] = [:]
    let bias = "none"
    let fanInFanOut = false
    let inferenceMode = true
    let initLoraWeights = true
    let loraDropout = 0.0
    let peftType = "LORA"
    let rankPattern: [String: Int] = [:]
    let taskType = "CAUSAL_LM"
    let useDora = false
    let useRslora = false
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
