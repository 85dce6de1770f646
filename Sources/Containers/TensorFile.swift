/// The tensors of a GGUF file, a safetensors file, or a folder of safetensors files, mapped.
///
/// Opening reads only headers. Every offset has been checked against the file before `open`
/// returns, so reading a tensor cannot run past its end.
public final class TensorFile: Sendable {
  /// Which of the two formats the bytes are in.
  public enum Format: String, Sendable {
    case gguf, safetensors
  }

  /// What `open` was given.
  public let path: String
  /// The format found.
  public let format: Format
  /// All tensors, in the order of the file (of the files, by name, when sharded).
  public let tensors: [TensorEntry]
  /// GGUF's key-values; of safetensors the `__metadata__` texts.
  public let metadata: [String: MetadataValue]
  /// The files that hold the tensors, in the order of their parts.
  public var files: [String] { parts.map(\.path) }

  private let parts: [MappedFile]
  private let indexByName: [String: Int]

  package init(
    path: String, format: Format, tensors: [TensorEntry], metadata: [String: MetadataValue],
    parts: [MappedFile]
  ) throws {
    self.path = path
    self.format = format
    self.tensors = tensors
    self.metadata = metadata
    self.parts = parts
    var byName: [String: Int] = [:]
    byName.reserveCapacity(tensors.count)
    for (index, tensor) in tensors.enumerated() {
      guard byName.updateValue(index, forKey: tensor.name) == nil else {
        throw ContainerError.malformed(
          path: path, place: "tensor \(printable(tensor.name))", reason: "the name occurs twice")
      }
    }
    indexByName = byName
  }

  /// Opens a GGUF file, a safetensors file, a safetensors index, or a folder that holds one.
  ///
  /// The format is told by the first bytes, not by the name.
  ///
  /// - Throws: `ContainerError`, naming the tensor, key or offset that is wrong.
  public static func open(_ path: String) throws -> TensorFile {
    if PathKind.of(path) == .folder { return try openFolder(path) }
    if path.hasSuffix(".index.json") { return try openIndexedSafetensors(path) }
    let file = try MappedFile(path: path)
    if file.bytes.starts(with: Array("GGUF".utf8)) { return try readGGUF(file) }
    if file.bytes.starts(with: [0x50, 0x4B, 0x03, 0x04]) {
      throw ContainerError.unsupported(
        path: path, place: "offset 0",
        reason: "this is a PyTorch pickle, which can run code when read\n"
          + "hint: use the model's safetensors files")
    }
    return try readSafetensors(file)
  }

  private static func openFolder(_ folder: String) throws -> TensorFile {
    let base = folder.hasSuffix("/") ? String(folder.dropLast()) : folder
    let index = base + "/model.safetensors.index.json"
    if PathKind.of(index) == .file { return try openIndexedSafetensors(index) }
    for name in ["model.safetensors", "adapter_model.safetensors"]
    where PathKind.of(base + "/" + name) == .file {
      return try readSafetensors(MappedFile(path: base + "/" + name))
    }
    throw ContainerError.unreadable(
      path: folder,
      reason: "the folder holds neither model.safetensors.index.json, model.safetensors nor "
        + "adapter_model.safetensors")
  }

  /// The tensor of this name, if there is one.
  public func tensor(named name: String) -> TensorEntry? {
    indexByName[name].map { tensors[$0] }
  }

  /// The tensor of this name.
  ///
  /// - Throws: `ContainerError.noTensor`.
  public func require(_ name: String) throws -> TensorEntry {
    guard let entry = tensor(named: name) else {
      throw ContainerError.noTensor(path: path, name: name)
    }
    return entry
  }

  /// The stored bytes of one of this file's own entries; valid while this object lives.
  public func bytes(of entry: TensorEntry) -> UnsafeRawBufferPointer {
    // The offsets of a stranger's entry have been checked against another file.
    precondition(tensor(named: entry.name) == entry, "the entry belongs to another file")
    return UnsafeRawBufferPointer(rebasing: parts[entry.part].bytes[entry.byteRange])
  }

  /// The numbers of a tensor, dequantised, row-major.
  ///
  /// - Throws: `ContainerError.unsupported` for a type that does not hold real numbers.
  public func floats(of entry: TensorEntry) throws -> [Float] {
    let count = entry.count
    // All empty arrays share their storage, and filling in the count would write to it.
    guard count > 0 else {
      try readFloats(of: entry, into: UnsafeMutableBufferPointer(start: nil, count: 0))
      return []
    }
    return try [Float](unsafeUninitializedCapacity: count) { buffer, written in
      try readFloats(of: entry, into: UnsafeMutableBufferPointer(rebasing: buffer[0..<count]))
      written = count
    }
  }

  /// Writes the numbers of a tensor, dequantised, row-major, into `target` of exactly its size.
  ///
  /// - Throws: `ContainerError.unsupported` for a type that does not hold real numbers and
  ///   `.misfit` for a buffer of another size; `target` is left as it was.
  public func readFloats(
    of entry: TensorEntry, into target: UnsafeMutableBufferPointer<Float>
  ) throws {
    guard target.count == entry.count else {
      throw ContainerError.misfit(
        name: entry.name, reason: "\(entry.count) numbers do not fit a buffer of \(target.count)")
    }
    guard entry.elementType.isReal else {
      throw ContainerError.unsupported(
        path: path, place: "tensor \(printable(entry.name))",
        reason: "it holds \(entry.elementType.rawValue), which is not a type of weights")
    }
    dequantise(bytes(of: entry), as: entry.elementType, into: target)
  }
}
