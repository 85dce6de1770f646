/// Writes GGUF version 3 files, little-endian, in the order in which things are added.
///
/// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
public struct GGUFWriter {
  /// A metadata value with the exact type that llama.cpp expects under its key.
  public enum Value: Sendable {
    case u32(UInt32)
    case i32(Int32)
    case f32(Float)
    case u64(UInt64)
    case bool(Bool)
    case string(String)
    case strings([String])
    case i32s([Int32])
    case f32s([Float])
    case bools([Bool])
  }

  private static let alignment = 32
  private var pairs: [(key: String, value: Value)] = []
  private var sources: [TensorSource] = []

  /// A file without pairs or tensors yet.
  public init() {}

  /// Adds a key-value pair.
  public mutating func add(key: String, _ value: Value) {
    pairs.append((key, value))
  }

  /// Adds a tensor from numbers, row-major, outermost dimension first, each rounded to
  /// `elementType` (f32, f16 or bf16).
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

  /// Adds a tensor whose bytes `produce` gives when the file is written, outermost dimension first.
  ///
  /// - Throws: `ContainerError.misfit` when the format has no such type or shape.
  public mutating func add(
    name: String, elementType: ElementType, shape: [Int], produce: @escaping () throws -> [UInt8]
  ) throws {
    guard elementType.ggufCode != nil, shape.count <= GGUFLimits.dimensions,
      name.utf8.count <= GGUFLimits.nameBytes
    else {
      throw ContainerError.misfit(
        name: name, reason: "GGUF has no \(elementType.rawValue) of shape \(shape) under this name")
    }
    sources.append(
      try TensorSource(name: name, elementType: elementType, shape: shape, bytes: produce))
  }

  /// The file's bytes.
  public func serialized() throws -> [UInt8] {
    var bytes = try header()
    for source in sources { bytes += try Self.padded(source.checkedBytes()) }
    return bytes
  }

  /// Writes the file durably in place of what was at `path`.
  ///
  /// - Throws: `ContainerError`; then the old file is untouched.
  public func write(to path: String) throws {
    let header = try header()
    try DurableFile.write(to: path) { sink in
      try sink.append(header)
      for source in sources { try sink.append(Self.padded(source.checkedBytes())) }
    }
  }

  private static func padded(_ bytes: [UInt8]) -> [UInt8] {
    bytes + [UInt8](repeating: 0, count: padding(after: bytes.count))
  }

  private static func padding(after count: Int) -> Int {
    (alignment - count % alignment) % alignment
  }

  private func header() throws -> [UInt8] {
    var bytes = Array("GGUF".utf8)
    bytes.append(word: UInt32(3))
    bytes.append(word: UInt64(sources.count))
    bytes.append(word: UInt64(pairs.count))
    var keys: Set<String> = []
    for (key, value) in pairs {
      guard keys.insert(key).inserted else {
        throw ContainerError.misfit(name: key, reason: "the key is taken")
      }
      bytes.append(text: key)
      bytes.append(value)
    }
    var names: Set<String> = []
    var offset = 0
    for source in sources {
      guard names.insert(source.name).inserted else {
        throw ContainerError.misfit(name: source.name, reason: "the name is taken")
      }
      bytes.append(text: source.name)
      bytes.append(word: UInt32(source.shape.count))
      for dimension in source.shape.reversed() { bytes.append(word: UInt64(dimension)) }
      bytes.append(word: source.elementType.ggufCode ?? 0)
      bytes.append(word: UInt64(offset))
      let size = source.byteCount + Self.padding(after: source.byteCount)
      let (next, overflow) = offset.addingReportingOverflow(size)
      guard !overflow else {
        throw ContainerError.misfit(name: source.name, reason: "the file would be too large")
      }
      offset = next
    }
    return Self.padded(bytes)
  }
}

extension [UInt8] {
  fileprivate mutating func append<Word: FixedWidthInteger>(word: Word) {
    Swift.withUnsafeBytes(of: word.littleEndian) { append(contentsOf: $0) }
  }

  fileprivate mutating func append(text: String) {
    append(word: UInt64(text.utf8.count))
    append(contentsOf: text.utf8)
  }

  fileprivate mutating func append(_ value: GGUFWriter.Value) {
    func array(_ type: UInt32, _ count: Int) {
      append(word: UInt32(9))
      append(word: type)
      append(word: UInt64(count))
    }
    switch value {
    case .u32(let number):
      append(word: UInt32(4))
      append(word: number)
    case .i32(let number):
      append(word: UInt32(5))
      append(word: number)
    case .f32(let number):
      append(word: UInt32(6))
      append(word: number.bitPattern)
    case .u64(let number):
      append(word: UInt32(10))
      append(word: number)
    case .bool(let truth):
      append(word: UInt32(7))
      append(truth ? 1 : 0)
    case .string(let string):
      append(word: UInt32(8))
      append(text: string)
    case .strings(let strings):
      array(8, strings.count)
      for string in strings { append(text: string) }
    case .i32s(let numbers):
      array(5, numbers.count)
      for number in numbers { append(word: number) }
    case .f32s(let numbers):
      array(6, numbers.count)
      for number in numbers { append(word: number.bitPattern) }
    case .bools(let truths):
      array(7, truths.count)
      for truth in truths { append(truth ? 1 : 0) }
    }
  }
}
