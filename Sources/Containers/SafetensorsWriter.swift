/// Writes safetensors files of which there is only one per content: the same tensors and metadata
/// give the same bytes, in whatever order they were added.
///
/// Tensors lie by falling element width, then by name, so that each is aligned to its elements; the
/// header has no white space but the padding that aligns the data to eight bytes.
public struct SafetensorsWriter {
  private let metadata: [String: String]
  private var sources: [TensorSource] = []

  /// A file without tensors yet.
  public init(metadata: [String: String] = [:]) {
    self.metadata = metadata
  }

  /// Adds a tensor from numbers, row-major, each rounded to `elementType` (f32, f16 or bf16).
  ///
  /// - Throws: `ContainerError.misfit` when their number is not the shape's.
  public mutating func add(
    name: String, shape: [Int], floats: [Float], as elementType: ElementType = .f32
  ) throws {
    guard floats.count == elementCount(of: shape) else {
      throw ContainerError.misfit(
        name: name, reason: "\(floats.count) numbers do not have the shape \(shape)")
    }
    try add(name: name, elementType: elementType, shape: shape) {
      try encodeFloats(floats, as: elementType, name: name)
    }
  }

  /// Adds a tensor whose bytes `produce` gives when the file is written.
  ///
  /// - Throws: `ContainerError.misfit` when the format has no such type or the shape overflows.
  public mutating func add(
    name: String, elementType: ElementType, shape: [Int], produce: @escaping () throws -> [UInt8]
  ) throws {
    guard elementType.safetensorsName != nil else {
      throw ContainerError.misfit(
        name: name, reason: "safetensors has no type \(elementType.rawValue)")
    }
    sources.append(
      try TensorSource(name: name, elementType: elementType, shape: shape, bytes: produce))
  }

  /// The file's bytes.
  public func serialized() throws -> [UInt8] {
    let (header, ordered) = try layOut()
    var bytes = header
    for source in ordered { bytes += try source.checkedBytes() }
    return bytes
  }

  /// Writes the file durably in place of what was at `path`.
  ///
  /// - Throws: `ContainerError`; then the old file is untouched.
  public func write(to path: String) throws {
    let (header, ordered) = try layOut()
    try DurableFile.write(to: path) { sink in
      try sink.append(header)
      for source in ordered { try sink.append(source.checkedBytes()) }
    }
  }

  /// The length, the header and the order of the tensors behind it.
  private func layOut() throws -> (header: [UInt8], ordered: [TensorSource]) {
    let ordered = sources.sorted {
      ($1.elementType.blockBytes, $0.name) < ($0.elementType.blockBytes, $1.name)
    }
    var members: [String] = []
    if !metadata.isEmpty {
      let texts = metadata.sorted { $0.key < $1.key }
      members.append(
        "\"__metadata__\":{"
          + texts.map { jsonText($0.key) + ":" + jsonText($0.value) }.joined(separator: ",") + "}")
    }
    var offset = 0
    var names: Set<String> = ["__metadata__"]
    for source in ordered {
      guard names.insert(source.name).inserted else {
        throw ContainerError.misfit(name: source.name, reason: "the name is taken")
      }
      let (end, overflow) = offset.addingReportingOverflow(source.byteCount)
      guard !overflow, let type = source.elementType.safetensorsName else {
        throw ContainerError.misfit(name: source.name, reason: "the file would be too large")
      }
      let shape = source.shape.map(String.init).joined(separator: ",")
      members.append(
        "\(jsonText(source.name)):{\"dtype\":\"\(type)\",\"shape\":[\(shape)],"
          + "\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    var text = Array(("{" + members.joined(separator: ",") + "}").utf8)
    text += [UInt8](repeating: 0x20, count: (8 - text.count % 8) % 8)
    guard text.count <= SafetensorsLimits.headerBytes else {
      throw ContainerError.misfit(name: "header", reason: "\(text.count) bytes are too many")
    }
    let length = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) }
    return (length + text, ordered)
  }
}

/// A JSON string literal of `text`.
package func jsonText(_ text: String) -> String {
  var result = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": result += "\\\""
    case "\\": result += "\\\\"
    case "\n": result += "\\n"
    case "\r": result += "\\r"
    case "\t": result += "\\t"
    case "\u{0}"..<"\u{20}":
      let digits = String(scalar.value, radix: 16)
      result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result + "\""
}
