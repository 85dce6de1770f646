/// Reading GGUF, versions 2 and 3, little-endian.
///
/// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Every count is held against
/// the bytes that are left before anything is allocated for it.
enum GGUFLimits {
  /// Bytes of a key; the specification's own limit.
  static let keyBytes = 65_535
  /// Key-value pairs; real files have some dozens.
  static let pairs = 65_536
  /// Elements of one metadata array; the largest vocabularies have half a million merges.
  static let arrayElements = 8_388_608
  /// Elements of all metadata arrays together, of 24 bytes each in memory: a vocabulary has three
  /// arrays of some hundred thousand to a million.
  static let elements = 1 << 23
  /// Bytes of all metadata texts together; the largest vocabularies have some ten million.
  static let textBytes = 1 << 28
  /// Arrays inside arrays.
  static let arrayDepth = 4
  /// Tensors; the largest mixtures of experts have some ten thousand.
  static let tensors = 1_000_000
  /// Bytes of a tensor's name; ggml allows 64, some forks 128.
  static let nameBytes = 512
  /// Dimensions of a tensor (GGML_MAX_DIMS).
  static let dimensions = 4
  /// Bytes to which tensors are aligned.
  static let alignment = 1 << 20
}

/// Reads one GGUF file.
func readGGUF(_ file: MappedFile) throws -> TensorFile {
  var cursor = GGUFCursor(bytes: file.bytes, path: file.path, position: 4)
  let version = try cursor.integer(UInt32.self, "version")
  guard version == 2 || version == 3 else {
    let reason =
      version.byteSwapped <= 3
      ? "the file is big-endian, which is not read"
      : "GGUF version \(version) is not read; versions 2 and 3 are"
    throw ContainerError.unsupported(path: file.path, place: "offset 4", reason: reason)
  }
  let tensorCount = try cursor.count("tensor count", limit: GGUFLimits.tensors, eachAtLeast: 24)
  let pairCount = try cursor.count("pair count", limit: GGUFLimits.pairs, eachAtLeast: 13)
  var metadata: [String: MetadataValue] = [:]
  for _ in 0..<pairCount {
    let key = try cursor.text("a key", limit: GGUFLimits.keyBytes)
    cursor.place = "key \(printable(key))"
    let type = try cursor.integer(UInt32.self, "type")
    let value = try cursor.value(type: type, depth: 0)
    guard metadata.updateValue(value, forKey: key) == nil else {
      throw cursor.fault("the key occurs twice")
    }
  }
  cursor.place = "tensor infos"
  let alignment = try alignment(in: metadata, path: file.path)
  var infos: [GGUFTensorInfo] = []
  infos.reserveCapacity(tensorCount)
  for _ in 0..<tensorCount { infos.append(try GGUFTensorInfo(&cursor)) }
  let tensors = try place(infos, after: cursor.position, alignment: alignment, in: file)
  return try TensorFile(
    path: file.path, format: .gguf, tensors: tensors, metadata: metadata, parts: [file])
}

private func alignment(in metadata: [String: MetadataValue], path: String) throws -> Int {
  guard let value = metadata["general.alignment"] else { return 32 }
  guard let alignment = value.integer, (1...GGUFLimits.alignment).contains(alignment),
    alignment & (alignment - 1) == 0
  else {
    throw ContainerError.malformed(
      path: path, place: "key general.alignment", reason: "it is not a power of two up to 2^20")
  }
  return alignment
}

/// Offsets in the file for every tensor, each aligned, inside the file and clear of the others.
private func place(
  _ infos: [GGUFTensorInfo], after end: Int, alignment: Int, in file: MappedFile
) throws -> [TensorEntry] {
  let dataStart = (end + alignment - 1) / alignment * alignment
  let available = max(file.bytes.count - dataStart, 0)
  var entries: [TensorEntry] = []
  entries.reserveCapacity(infos.count)
  for info in infos {
    func fault(_ reason: String) -> ContainerError {
      .malformed(path: file.path, place: "tensor \(printable(info.name))", reason: reason)
    }
    guard info.offset % UInt64(alignment) == 0 else {
      throw fault("its offset \(info.offset) is not a multiple of \(alignment)")
    }
    guard info.offset <= UInt64(available), info.byteCount <= available - Int(info.offset) else {
      throw fault(
        "its \(info.byteCount) bytes at offset \(info.offset) of the data reach behind the end of "
          + "the file (\(available) bytes of data); the file may be cut short")
    }
    let start = dataStart + Int(info.offset)
    entries.append(
      TensorEntry(
        name: info.name, elementType: info.type, shape: info.shape,
        byteRange: start..<start + info.byteCount))
  }
  var previous: TensorEntry?
  for entry in entries.sorted(by: { $0.byteRange.lowerBound < $1.byteRange.lowerBound })
  where !entry.byteRange.isEmpty {
    if let before = previous, entry.byteRange.lowerBound < before.byteRange.upperBound {
      throw ContainerError.malformed(
        path: file.path, place: "tensor \(printable(entry.name))",
        reason: "it overlaps tensor \(printable(before.name))")
    }
    previous = entry
  }
  return entries
}

/// One tensor's line in the header.
private struct GGUFTensorInfo {
  let name: String
  let type: ElementType
  let shape: [Int]
  let offset: UInt64
  let byteCount: Int

  init(_ cursor: inout GGUFCursor) throws {
    let name = try cursor.text("a tensor's name", limit: GGUFLimits.nameBytes)
    cursor.place = "tensor \(printable(name))"
    let dimensions = try cursor.integer(UInt32.self, "number of dimensions")
    guard dimensions <= GGUFLimits.dimensions else {
      throw cursor.fault("\(dimensions) dimensions are more than \(GGUFLimits.dimensions)")
    }
    var shape: [Int] = []
    for _ in 0..<dimensions {
      let dimension = try cursor.integer(UInt64.self, "dimension")
      guard let size = Int(exactly: dimension) else {
        throw cursor.fault("a dimension of \(dimension) is too large")
      }
      shape.append(size)
    }
    // GGUF counts from the innermost dimension; everything else here from the outermost.
    self.shape = shape.reversed()
    let code = try cursor.integer(UInt32.self, "type")
    guard let type = ElementType(ggufCode: code) else {
      throw ContainerError.unsupported(
        path: cursor.path, place: cursor.place,
        reason: "numbers of type \(ggufTypeName(code)) are not read\n"
          + "hint: use the model in F16, BF16, Q8_0, Q4_K_M or another of the usual types")
    }
    guard let byteCount = type.byteCount(shape: self.shape) else {
      throw cursor.fault("\(type.rawValue) cannot have the shape \(self.shape)")
    }
    self.name = name
    self.type = type
    self.byteCount = byteCount
    offset = try cursor.integer(UInt64.self, "offset")
  }
}
