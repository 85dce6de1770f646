import Adapters
import Containers
import Transformers

/// A base with an adapter folded into its weights, for programs that know no adapters.
///
/// The model stays of the base's kind: a GGUF file becomes a GGUF file with all of its keys, a
/// folder becomes a folder with one safetensors file and the same configuration and tokenizer.
/// Matrices under the adapter keep their type when it is a float; quantised ones become float16.
/// All others keep their bytes.
public enum MergedModel {
  /// Writes W + alpha / rank · B·A for every module of the adapter.
  ///
  /// `path` is the file or folder to write. Throws ``CheckpointError`` when the adapter does not
  /// fit the base, or when `path` is one of the base's own files.
  public static func write(_ checkpoint: Checkpoint, _ adapter: Adapter, to path: String) throws {
    let configuration = checkpoint.configuration
    let known = Set(try configuration.linearModules(targets: .allLinear))
    for module in adapter.layout.modules where !known.contains(module) {
      throw CheckpointError.unexpectedTensor(path: path, name: module.path)
    }
    let merge = Merge(checkpoint: checkpoint, adapter: adapter)
    switch checkpoint.tensors.file.format {
    case .gguf: try merge.writeGGUF(to: path)
    case .safetensors: try merge.writeFolder(to: path)
    }
  }
}

/// One base and one adapter on their way into one set of weights.
private struct Merge {
  let checkpoint: Checkpoint
  let adapter: Adapter
  /// Index of the A of a module in the layout's factors, by the name of the module's weight.
  let factors: [String: Int]

  init(checkpoint: Checkpoint, adapter: Adapter) {
    self.checkpoint = checkpoint
    self.adapter = adapter
    var factors: [String: Int] = [:]
    for (index, factor) in adapter.layout.factors.enumerated() where factor.kind == .a {
      factors[adapter.layout.modules[factor.module].path + ".weight"] = index
    }
    self.factors = factors
  }

  func writeFolder(to folder: String) throws {
    guard !checkpoint.files.contains("\(folder)/model.safetensors") else {
      throw CheckpointError.cannotWrite(path: folder, reason: "this is the base itself")
    }
    try makeFolder(folder)
    var writer = SafetensorsWriter(metadata: ["format": "pt"])
    for (name, place) in checkpoint.tensors.places {
      try writer.add(
        name: place.entry.name, elementType: mergedType(name, place.entry),
        shape: place.entry.shape
      ) { try bytes(name, place) }
    }
    try writer.write(to: "\(folder)/model.safetensors")
    for path in checkpoint.files {
      let name = String(path.split(separator: "/").last ?? "")
      guard !name.hasSuffix(".safetensors"), !name.hasSuffix(".index.json") else { continue }
      try DurableFile.write(try readBytes(path: path, limit: 1 << 30), to: "\(folder)/\(name)")
    }
  }

  func writeGGUF(to path: String) throws {
    guard !checkpoint.files.contains(path) else {
      throw CheckpointError.cannotWrite(path: path, reason: "this is the base itself")
    }
    let file = checkpoint.tensors.file
    var writer = GGUFWriter()
    for (key, value) in file.metadata.sorted(by: { $0.key < $1.key }) where key != Self.fileType {
      guard let typed = Self.typed(value) else {
        throw CheckpointError.unsupported(path: file.path, field: printable(key), value: "nested")
      }
      writer.add(key: key, typed)
    }
    writer.add(key: Self.fileType, .u32(1))  // mostly float16, which is what can be said of a mix
    let names = Dictionary(
      uniqueKeysWithValues: checkpoint.tensors.places.map { ($0.value.entry.name, $0.key) })
    for entry in file.tensors {
      guard let name = names[entry.name], let place = checkpoint.tensors.places[name] else {
        // What is no tensor of the decoder, such as the rotary divisors, stays as it is.
        try writer.add(
          name: entry.name, elementType: entry.elementType, shape: entry.shape
        ) { Array(file.bytes(of: entry)) }
        continue
      }
      try writer.add(
        name: entry.name, elementType: mergedType(name, entry), shape: entry.shape
      ) { try bytes(name, place) }
    }
    try writer.write(to: path)
  }

  private static let fileType = "general.file_type"

  /// The value with a type that llama.cpp expects: 32 bits wherever they suffice.
  private static func typed(_ value: MetadataValue) -> GGUFWriter.Value? {
    switch value {
    case .unsigned(let number): UInt32(exactly: number).map { .u32($0) } ?? .u64(number)
    case .signed(let number): Int32(exactly: number).map { .i32($0) }
    case .real(let number): .f32(Float(number))
    case .bool(let flag): .bool(flag)
    case .string(let text): .string(text)
    case .array(let items):
      if let texts = value.strings {
        .strings(texts)
      } else if let numbers = value.integers {
        .i32s(numbers.map { Int32(clamping: $0) })
      } else if items.allSatisfy({ $0.bool != nil }) {
        .bools(items.compactMap(\.bool))
      } else if items.allSatisfy({ $0.real != nil }) {
        .f32s(items.compactMap { $0.real.map { Float($0) } })
      } else {
        nil
      }
    }
  }

  private func mergedType(_ name: String, _ entry: TensorEntry) -> ElementType {
    guard factors[name] != nil else { return entry.elementType }
    return [.f32, .f16, .bf16].contains(entry.elementType) ? entry.elementType : .f16
  }

  /// The tensor's bytes: its own, or those of the sum in the order its file keeps rows in.
  private func bytes(_ name: String, _ place: NamedWeights.Place) throws -> [UInt8] {
    guard let first = factors[name] else {
      return Array(checkpoint.tensors.file.bytes(of: place.entry))
    }
    let columns = place.columns
    var values = [Float](repeating: 0, count: place.entry.count)
    try values.withUnsafeMutableBufferPointer { values in
      try checkpoint.tensors.readTensor(name, into: values)
      add(first, to: values, columns: columns)
      if let heads = place.interleavedHeads {
        interleaveHalves(values, heads: heads, columns: columns)
      }
    }
    return try encodeFloats(values, as: mergedType(name, place.entry), name: name)
  }

  /// Adds alpha / rank · B·A, row by row.
  private func add(_ first: Int, to values: UnsafeMutableBufferPointer<Float>, columns: Int) {
    let (a, b) = (adapter.layout.factors[first], adapter.layout.factors[first + 1])
    let (rank, scale) = (adapter.layout.rank, adapter.layout.scale)
    adapter.values.withUnsafeBufferPointer { factors in
      for row in 0..<b.rows {
        for inner in 0..<rank {
          let weight = scale * factors[b.offset + row * rank + inner]
          let (from, to) = (a.offset + inner * columns, row * columns)
          for column in 0..<columns { values[to + column] += weight * factors[from + column] }
        }
      }
    }
  }
}
