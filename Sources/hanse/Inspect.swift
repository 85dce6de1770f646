import ArgumentParser
import Containers
import FoundationEssentials
import Glibc
import Identities

/// `hanse inspect`: what a file of the federation or of a model holds, without loading it.
struct Inspect: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show what a checkpoint, adapter or delta holds.",
    discussion: """
      PATH is a GGUF file, a safetensors file, a folder of a Hugging Face checkpoint, a folder \
      of a PEFT adapter, or a packed delta. Only headers are read, and every offset is checked.

      EXAMPLE
        $ hanse inspect SmolLM2-135M-Instruct.Q4_1.gguf

      EXIT CODES
        0 done, 1 failed (the file is damaged or of an unknown kind), 2 wrong use, 3 not found
      """)

  @Argument(help: "The file or folder to look into.")
  var path: String

  @Flag(help: "Print one JSON object (version 1, see Protocol/Control.md).")
  var json = false

  func run() async throws {
    let report = try InspectionReport(path: path)
    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      print(String(decoding: try encoder.encode(report), as: UTF8.self))
    } else {
      print(report.table())
    }
  }
}

/// The facts that `hanse inspect` prints.
struct InspectionReport: Encodable {
  /// One tensor.
  struct Tensor: Encodable {
    let name: String
    let type: String
    let shape: [Int]
    let bytes: Int
  }

  /// What `adapter_config.json` says.
  struct AdapterFacts: Encodable {
    let type: String
    let rank: Int?
    let alpha: Double?
    let targets: [String]
    let base: String?
  }

  /// What the fixed beginning of a packed delta says; see Protocol/Delta.md, "Payload".
  struct DeltaFacts: Encodable {
    static let magic = Array("HANSEDLT".utf8)

    let formatVersion: Int
    let tier: Int
    let coordinates: Int
    let blocks: Int
    let unpackedBytes: Int
    let layout: String
  }

  /// A list too long to print is given by its length and its beginning.
  enum Fact: Encodable {
    case value(MetadataValue)

    func encode(to encoder: any Encoder) throws {
      guard case .value(let value) = self else { return }
      var container = encoder.singleValueContainer()
      switch value {
      case .unsigned(let number): try container.encode(number)
      case .signed(let number): try container.encode(number)
      case .real(let number): try container.encode(number.isFinite ? number : nil)
      case .bool(let truth): try container.encode(truth)
      case .string(let text): try container.encode(text)
      case .array(let elements) where elements.count <= 16:
        try container.encode(elements.map(Fact.value))
      case .array(let elements):
        try container.encode(
          LongList(count: elements.count, first: elements.prefix(8).map(Fact.value)))
      }
    }
  }

  private struct LongList: Encodable {
    let count: Int
    let first: [Fact]
  }

  let version = 1
  let kind: String
  let path: String
  let format: String
  let files: [String]
  let bytes: Int
  let parameters: Int
  let architecture: String?
  let adapter: AdapterFacts?
  let delta: DeltaFacts?
  let metadata: [String: Fact]
  let tensors: [Tensor]

  private enum CodingKeys: CodingKey {
    case version, kind, path, format, files, bytes, parameters, architecture, adapter, delta
    case metadata, tensors
  }

  init(path: String) throws {
    if let bytes = Self.beginning(of: path), bytes.starts(with: DeltaFacts.magic) {
      try self.init(delta: bytes, path: path)
    } else {
      try self.init(tensors: TensorFile.open(path), path: path)
    }
  }

  private init(delta bytes: [UInt8], path: String) throws {
    let size = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
    let facts = try DeltaFacts(bytes, path: path)
    kind = "delta"
    self.path = path
    format = "delta"
    files = [path]
    self.bytes = size ?? bytes.count
    parameters = facts.coordinates
    architecture = nil
    adapter = nil
    delta = facts
    metadata = [:]
    tensors = []
  }

  private init(tensors file: TensorFile, path: String) throws {
    let folder = path.hasSuffix("/") ? String(path.dropLast()) : path
    self.path = path
    format = file.format.rawValue
    files = file.files
    bytes = file.tensors.reduce(0) { $0 + $1.byteRange.count }
    parameters = file.tensors.reduce(0) { $0 + $1.count }
    adapter = try Self.adapter(folder + "/adapter_config.json")
    kind = adapter == nil ? "checkpoint" : "adapter"
    delta = nil
    architecture =
      try file.metadata["general.architecture"]?.string
      ?? Self.json(folder + "/config.json")?["architectures"]?.array?.first?.string
    metadata = file.metadata.mapValues(Fact.value)
    tensors = file.tensors.map {
      Tensor(
        name: $0.name, type: $0.elementType.rawValue, shape: $0.shape, bytes: $0.byteRange.count)
    }
  }

  /// The first bytes of a plain file, if it can be read.
  private static func beginning(of path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = read(descriptor, &bytes, bytes.count)
    return count < 0 ? nil : Array(bytes[..<count])
  }

  private static func json(_ path: String) throws -> JSONValue? {
    guard PathKind.of(path) == .file else { return nil }
    do {
      return try MappedFile(path: path, limit: 4 << 20).withBytes { try JSONValue.parse($0) }
    } catch let error as JSONError {
      throw ContainerError.malformed(
        path: path, place: "byte \(error.offset)", reason: error.reason)
    }
  }

  private static func adapter(_ path: String) throws -> AdapterFacts? {
    guard let json = try json(path) else { return nil }
    let targets = json["target_modules"]
    return AdapterFacts(
      type: json["peft_type"]?.string ?? "unknown", rank: json["r"]?.integer,
      alpha: json["lora_alpha"]?.real,
      targets: targets?.array?.compactMap(\.string) ?? targets?.string.map { [$0] } ?? [],
      base: json["base_model_name_or_path"]?.string)
  }

  /// The facts for a person: what it is, its key-values, its tensors.
  func table() -> String {
    var lines = [
      "\(printable(path)): \(format), \(tensors.count) tensors, \(parameters) parameters, "
        + "\(bytes) bytes"
    ]
    if let delta {
      lines = [
        "\(printable(path)): packed delta, version \(delta.formatVersion), tier \(delta.tier), "
          + "\(delta.coordinates) coordinates in \(delta.blocks) blocks, \(bytes) bytes "
          + "(\(delta.unpackedBytes) unpacked)",
        "layout \(delta.layout)",
      ]
    }
    if let architecture { lines.append("architecture \(printable(architecture))") }
    if files.count > 1 { lines.append("\(files.count) files") }
    if let adapter {
      lines.append(
        "adapter \(printable(adapter.type)), rank \(adapter.rank.map(String.init) ?? "?"), "
          + "alpha \(adapter.alpha.map { "\($0)" } ?? "?"), on "
          + adapter.targets.map { printable($0) }.joined(separator: ", "))
      if let base = adapter.base { lines.append("base \(printable(base))") }
    }
    lines += Self.columns(
      metadata.sorted { $0.key < $1.key }.map { [printable($0.key), Self.brief($0.value)] })
    lines += Self.columns(
      tensors.map {
        [
          printable($0.name), $0.type,
          $0.shape.map(String.init).joined(separator: " x "), "\($0.bytes)",
        ]
      })
    return lines.joined(separator: "\n")
  }

  private static func brief(_ fact: Fact) -> String {
    guard case .value(let value) = fact else { return "" }
    switch value {
    case .unsigned(let number): return "\(number)"
    case .signed(let number): return "\(number)"
    case .real(let number): return "\(number)"
    case .bool(let truth): return "\(truth)"
    case .string(let text): return printable(text, limit: 60)
    case .array(let elements) where elements.count <= 4:
      return "[" + elements.map { brief(.value($0)) }.joined(separator: ", ") + "]"
    case .array(let elements): return "\(elements.count) elements"
    }
  }

  private static func columns(_ rows: [[String]]) -> [String] {
    guard let first = rows.first else { return [] }
    let widths = first.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    let lines = rows.map { row in
      zip(row, widths).enumerated().map { column, cell in
        let space = String(repeating: " ", count: cell.1 - cell.0.count)
        return column == row.count - 1 ? cell.0 : cell.0 + space
      }.joined(separator: "  ")
    }
    return [""] + lines
  }
}

extension InspectionReport.DeltaFacts {
  /// Reads the header's 56 bytes.
  ///
  /// - Throws: `ContainerError.malformed` when there are fewer, or the layout's id is none.
  init(_ bytes: [UInt8], path: String) throws {
    guard bytes.count >= 56, let id = ContentID(bytes: bytes[24..<56]) else {
      throw ContainerError.malformed(
        path: path, place: "offset \(bytes.count)", reason: "a delta's header has 56 bytes")
    }
    func number(_ offset: Int) -> Int {
      (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
    formatVersion = Int(bytes[8])
    tier = Int(bytes[9])
    coordinates = number(12)
    blocks = number(16)
    unpackedBytes = number(20)
    layout = id.description
  }
}
