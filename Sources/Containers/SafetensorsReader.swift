/// Reading safetensors: eight bytes of header length, a JSON header, then the tensors back to back.
///
/// Source: the format's own page, https://github.com/huggingface/safetensors (Format), whose rules
/// are all enforced: no holes, no overlap, no name twice, nothing behind the last tensor.
enum SafetensorsLimits {
  /// The ceiling that the reference implementation sets on the header.
  static let headerBytes = 100_000_000
  /// No model has more; a header of 100 MB could claim two million.
  static let tensors = 1_000_000
  /// Dimensions of one tensor.
  static let dimensions = 16
  /// Files of one sharded checkpoint.
  static let parts = 4096
}

/// Reads one safetensors file.
func readSafetensors(_ file: MappedFile) throws -> TensorFile {
  let header = try SafetensorsHeader(file, part: 0)
  return try TensorFile(
    path: file.path, format: .safetensors, tensors: header.tensors, metadata: header.metadata,
    parts: [file])
}

/// Reads `model.safetensors.index.json` and the files it lists. The index decides: a tensor that it
/// does not list is not part of the checkpoint.
func openIndexedSafetensors(_ path: String) throws -> TensorFile {
  let index = try MappedFile(path: path, limit: SafetensorsLimits.headerBytes)
  let json: JSONValue
  do {
    json = try index.withBytes { try JSONValue.parse($0) }
  } catch let error as JSONError {
    throw ContainerError.malformed(
      path: path, place: "byte \(error.offset)", reason: error.reason)
  }
  guard let map = json["weight_map"]?.object else {
    throw ContainerError.malformed(path: path, place: "weight_map", reason: "there is none")
  }
  let fileByTensor = try weightMap(map, path: path)
  let names = Set(fileByTensor.values).sorted()
  guard names.count <= SafetensorsLimits.parts else {
    throw ContainerError.malformed(
      path: path, place: "weight_map", reason: "more than \(SafetensorsLimits.parts) files")
  }
  let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
  var parts: [MappedFile] = []
  var tensors: [TensorEntry] = []
  var metadata: [String: MetadataValue] = [:]
  for (part, name) in names.enumerated() {
    let file = try MappedFile(path: folder + name)
    let header = try SafetensorsHeader(file, part: part)
    tensors += header.tensors.filter { fileByTensor[$0.name] == name }
    metadata.merge(header.metadata) { first, _ in first }
    parts.append(file)
  }
  let found = Set(tensors.map(\.name))
  for name in map.keys where !found.contains(name) {
    throw ContainerError.malformed(
      path: path, place: "tensor \(printable(name))",
      reason: "\(printable(fileByTensor[name] ?? "")) does not hold it")
  }
  return try TensorFile(
    path: path, format: .safetensors, tensors: tensors, metadata: metadata, parts: parts)
}

private func weightMap(_ map: JSONObject, path: String) throws -> [String: String] {
  var result: [String: String] = [:]
  for (tensor, value) in zip(map.keys, map.values) {
    // A plain name only: an index must not reach outside its own folder.
    // By bytes: to Swift a slash and the accent behind it are one character, to the system not.
    guard let file = value.string, !file.isEmpty, !file.utf8.contains(UInt8(ascii: "/")),
      !file.utf8.contains(0), file.utf8.first != UInt8(ascii: ".")
    else {
      throw ContainerError.malformed(
        path: path, place: "weight_map, tensor \(printable(tensor))",
        reason: "its value is not a plain file name")
    }
    result[tensor] = file
  }
  return result
}

/// The header of one file, checked against the file's size.
struct SafetensorsHeader {
  var tensors: [TensorEntry] = []
  var metadata: [String: MetadataValue] = [:]

  init(_ file: MappedFile, part: Int) throws {
    let path = file.path
    let bytes = file.bytes
    guard bytes.count >= 8 else {
      throw ContainerError.malformed(
        path: path, place: "offset 0",
        reason: "\(bytes.count) bytes are too few for a tensor file")
    }
    guard bytes.count == 8 || bytes[8] == UInt8(ascii: "{") else {
      throw ContainerError.unsupported(
        path: path, place: "offset 8",
        reason: "this is neither GGUF nor safetensors, whose header begins with {")
    }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard length <= UInt64(SafetensorsLimits.headerBytes), Int(length) <= bytes.count - 8 else {
      throw ContainerError.malformed(
        path: path, place: "offset 0",
        reason: "a header of \(length) bytes does not fit a file of \(bytes.count) bytes "
          + "(or this is neither GGUF nor safetensors)")
    }
    let dataStart = 8 + Int(length)
    let text = UnsafeRawBufferPointer(rebasing: bytes[8..<dataStart])
    guard text.first == UInt8(ascii: "{") else {
      throw ContainerError.malformed(
        path: path, place: "offset 8", reason: "the header does not begin with {")
    }
    let json: JSONValue
    do {
      json = try JSONValue.parse(text)
    } catch let error as JSONError {
      throw ContainerError.malformed(
        path: path, place: "offset \(8 + error.offset)", reason: error.reason)
    }
    guard let object = json.object, object.keys.count <= SafetensorsLimits.tensors else {
      throw ContainerError.malformed(
        path: path, place: "header", reason: "more than \(SafetensorsLimits.tensors) tensors")
    }
    for (name, value) in zip(object.keys, object.values) {
      if name == "__metadata__" {
        metadata = try Self.metadata(value, path: path)
      } else {
        tensors.append(
          try Self.tensor(
            name, value, path: path, dataStart: dataStart, fileSize: bytes.count, part: part))
      }
    }
    tensors.sort {
      ($0.byteRange.lowerBound, $0.byteRange.upperBound, $0.name)
        < ($1.byteRange.lowerBound, $1.byteRange.upperBound, $1.name)
    }
    try checkContiguous(path: path, from: dataStart, to: bytes.count)
  }

  private static func metadata(
    _ value: JSONValue, path: String
  ) throws -> [String: MetadataValue] {
    guard let object = value.object else {
      throw ContainerError.malformed(
        path: path, place: "__metadata__", reason: "it is not an object")
    }
    var result: [String: MetadataValue] = [:]
    for (key, value) in zip(object.keys, object.values) {
      guard let text = value.string else {
        throw ContainerError.malformed(
          path: path, place: "__metadata__, key \(printable(key))", reason: "it is not a text")
      }
      result[key] = .string(text)
    }
    return result
  }

  private static func tensor(
    _ name: String, _ value: JSONValue, path: String, dataStart: Int, fileSize: Int, part: Int
  ) throws -> TensorEntry {
    func fault(_ reason: String) -> ContainerError {
      .malformed(path: path, place: "tensor \(printable(name))", reason: reason)
    }
    guard let object = value.object else { throw fault("its entry is not an object") }
    guard let typeName = object["dtype"]?.string else { throw fault("it has no dtype") }
    guard let type = ElementType(safetensorsName: typeName) else {
      throw ContainerError.unsupported(
        path: path, place: "tensor \(printable(name))",
        reason: "numbers of type \(printable(typeName)) are not read")
    }
    guard let dimensions = object["shape"]?.array,
      dimensions.count <= SafetensorsLimits.dimensions
    else { throw fault("it has no shape") }
    let shape = dimensions.compactMap(\.integer)
    guard shape.count == dimensions.count, shape.allSatisfy({ $0 >= 0 }) else {
      throw fault("a dimension is not a whole number")
    }
    guard let offsets = object["data_offsets"]?.array?.compactMap(\.integer), offsets.count == 2
    else { throw fault("it has no data_offsets") }
    guard object.keys.count == 3 else { throw fault("its entry has an unknown member") }
    guard offsets[0] >= 0, offsets[0] <= offsets[1], offsets[1] <= fileSize - dataStart else {
      throw fault(
        "bytes \(offsets[0])..<\(offsets[1]) lie outside the \(fileSize - dataStart) bytes of data")
    }
    guard let bytes = type.byteCount(shape: shape) else { throw fault("its shape overflows") }
    guard bytes == offsets[1] - offsets[0] else {
      throw fault(
        "\(type.rawValue) \(shape) needs \(bytes) bytes, not \(offsets[1] - offsets[0])")
    }
    return TensorEntry(
      name: name, elementType: type, shape: shape,
      byteRange: dataStart + offsets[0]..<dataStart + offsets[1], part: part)
  }

  /// Tensors must follow one another without a hole; hidden bytes would escape every check.
  private func checkContiguous(path: String, from start: Int, to end: Int) throws {
    var expected = start
    for tensor in tensors {
      guard tensor.byteRange.lowerBound == expected else {
        throw ContainerError.malformed(
          path: path, place: "tensor \(printable(tensor.name))",
          reason: "it begins at offset \(tensor.byteRange.lowerBound), not where the one before "
            + "it ends (\(expected))")
      }
      expected = tensor.byteRange.upperBound
    }
    guard expected == end else {
      throw ContainerError.malformed(
        path: path, place: "offset \(expected)",
        reason: "\(end - expected) bytes behind the last tensor belong to none")
    }
  }
}
