import Adapters
import Containers
import Transformers

/// LoRA adapters as the Python library PEFT keeps them: `adapter_config.json` and
/// `adapter_model.safetensors` in one folder.
public enum PEFTFolder {
  /// What a folder held.
  public struct Contents: Sendable {
    /// The factors, in the canonical order of modules.
    public let adapter: Adapter
    /// The base that the adapter says it belongs to, if it says so.
    public let baseModel: String?
    /// The share of inputs that PEFT would drop while training; of no effect otherwise.
    public let dropout: Double
  }

  /// The fields of an adapter's configuration that somebody has thought about, sorted.
  package static var knownFields: [String] { PEFTConfiguration.fields.keys.sorted() }

  static let weightsName = "adapter_model.safetensors"
  private static let prefix = "base_model.model."

  /// Reads an adapter. The modules are those that have tensors, which the configuration must
  /// select, in the order layer by layer, q, k, v, o, gate, up, down, as float32.
  ///
  /// With `configuration`, modules and shapes are checked against that decoder; shape errors name
  /// the tensor. Throws ``CheckpointError``, or the container's error when a file is damaged.
  public static func read(
    _ folder: String, for configuration: DecoderConfiguration? = nil
  ) throws -> Contents {
    guard PathKind.of(folder) == .folder else {
      throw CheckpointError.notFound(path: folder, reason: "no such folder")
    }
    let fields = try PEFTConfiguration(folder: folder)
    let path = "\(folder)/\(weightsName)"
    guard PathKind.of(path) == .file else {
      throw CheckpointError.notFound(
        path: path,
        reason: PathKind.of("\(folder)/adapter_model.bin") == .file
          ? "only pickled factors are here; save the adapter as safetensors" : "no such file")
    }
    let file = try TensorFile.open(path)
    let pairs = try pairs(in: file, path: path, fields: fields)
    let modules = try pairs.map { pair in
      try module(of: pair, rank: fields.rank, path: path, configuration: configuration)
    }
    let layout = try AdapterLayout(
      rank: fields.rank, alpha: fields.alpha, modules: modules, scaling: fields.scaling)
    var adapter = Adapter.zero(layout: layout)
    try adapter.values.withUnsafeMutableBufferPointer { values in
      for factor in layout.factors {
        let pair = pairs[factor.module]
        let entry = factor.kind == .a ? pair.a : pair.b
        let part = UnsafeMutableBufferPointer(rebasing: values[factor.range])
        try file.readFloats(of: entry, into: part)
        try requireFinite(UnsafeBufferPointer(part), name: entry.name, path: path)
      }
    }
    return Contents(adapter: adapter, baseModel: fields.baseModel, dropout: fields.dropout)
  }

  /// Writes an adapter, each file in one instant. `baseModel` is the name or path that PEFT shows
  /// as the base; it is not needed to load the adapter. `dropout` says how it was trained.
  public static func write(
    _ adapter: Adapter, baseModel: String, dropout: Double = 0, to folder: String
  ) throws {
    try makeFolder(folder)
    let layout = adapter.layout
    var writer = SafetensorsWriter(metadata: ["format": "pt"])
    for factor in layout.factors {
      let name = prefix + factor.name + ".weight"
      // Made when it is written: an adapter can be large, and is in memory already.
      try writer.add(name: name, elementType: .f32, shape: [factor.rows, factor.columns]) {
        try encodeFloats(Array(adapter.values[factor.range]), as: .f32, name: name)
      }
    }
    try writer.write(to: "\(folder)/\(weightsName)")
    try DurableFile.write(
      try PEFTConfiguration.text(layout: layout, baseModel: baseModel, dropout: dropout),
      to: "\(folder)/\(PEFTConfiguration.fileName)")
  }

  private struct Pair {
    let place: ModulePlace
    let module: String
    let a: TensorEntry
    let b: TensorEntry
  }

  /// The tensors two by two, in the canonical order of modules.
  private static func pairs(
    in file: TensorFile, path: String, fields: PEFTConfiguration
  ) throws -> [Pair] {
    var firsts: [String: TensorEntry] = [:]
    var seconds: [String: TensorEntry] = [:]
    for entry in file.tensors {
      guard let (module, isFirst) = parse(entry.name), fields.selects(module) else {
        throw CheckpointError.unexpectedTensor(path: path, name: entry.name)
      }
      guard [.f32, .f16, .bf16].contains(entry.elementType) else {
        throw CheckpointError.unsupported(
          path: path, field: "the element type of \(entry.name)",
          value: entry.elementType.rawValue)
      }
      if isFirst { firsts[module] = entry } else { seconds[module] = entry }
    }
    guard !firsts.isEmpty else {
      throw CheckpointError.malformed(path: path, reason: "no LoRA factors")
    }
    for module in seconds.keys.sorted() where firsts[module] == nil {
      throw CheckpointError.missingTensor(path: path, name: "\(prefix)\(module).lora_A.weight")
    }
    return try firsts.map { module, a in
      guard let place = ModulePlace(path: module) else {
        throw CheckpointError.unexpectedTensor(path: path, name: a.name)
      }
      guard let b = seconds[module] else {
        throw CheckpointError.missingTensor(path: path, name: "\(prefix)\(module).lora_B.weight")
      }
      return Pair(place: place, module: module, a: a, b: b)
    }.sorted { $0.place < $1.place }
  }

  /// Module path and whether it is the A, from a tensor's name.
  private static func parse(_ name: String) -> (module: String, isFirst: Bool)? {
    guard name.hasPrefix(prefix) else { return nil }
    for (suffix, isFirst) in [(".lora_A.weight", true), (".lora_B.weight", false)]
    where name.hasSuffix(suffix) {
      return (String(name.dropFirst(prefix.count).dropLast(suffix.count)), isFirst)
    }
    return nil
  }

  private static func module(
    of pair: Pair, rank: Int, path: String, configuration: DecoderConfiguration?
  ) throws -> AdapterModule {
    var inputs = pair.a.shape.count == 2 ? pair.a.shape[1] : 0
    var outputs = pair.b.shape.count == 2 ? pair.b.shape[0] : 0
    if let configuration {
      guard pair.place.layer < configuration.layers else {
        throw CheckpointError.unexpectedTensor(path: path, name: pair.a.name)
      }
      (inputs, outputs) = configuration.shape(of: LinearLayer.allCases[pair.place.position])
    }
    for (entry, shape) in [(pair.a, [rank, inputs]), (pair.b, [outputs, rank])]
    where entry.shape != shape {
      throw CheckpointError.wrongShape(
        path: path, name: entry.name, found: entry.shape, expected: shape)
    }
    return AdapterModule(path: pair.module, inputs: inputs, outputs: outputs)
  }
}
