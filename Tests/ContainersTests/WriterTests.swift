import Containers
import Determinism
import FoundationEssentials
import Testing

@Suite struct WriterTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func theOrderOfAddingDoesNotShow() throws {
    let tensors: [(String, [Int], [Float])] = [
      ("b", [2], [1, 2]), ("a.weight", [2, 2], [1, 2, 3, 4]), ("ä", [], [5]), ("c", [0], []),
    ]
    var files: Set<[UInt8]> = []
    for turn in 0..<tensors.count {
      var writer = SafetensorsWriter(metadata: ["z": "1", "a": "\"\n\u{1}"])
      for (name, shape, floats) in tensors[turn...] + tensors[..<turn] {
        try writer.add(name: name, shape: shape, floats: floats)
      }
      files.insert(try writer.serialized())
    }
    #expect(files.count == 1)
  }

  /// What a process that was killed left behind goes; what a living one writes, and what only looks
  /// like it, stays.
  @Test func leftoversOfKilledProcessesGo() throws {
    let living = ["run.new-1", "run.new-", "run.new-12x", "999999999", "run.json"]
    for name in living + ["run.new-999999999"] { _ = try folder.file(name, [1]) }
    DurableFile.removeLeftovers(in: folder.path)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    #expect(names == living.sorted())
    DurableFile.removeLeftovers(in: folder.path + "/none")
  }

  @Test func theBytesAreTheOnesWrittenDown() throws {
    var writer = SafetensorsWriter()
    try writer.add(name: "w", shape: [2], floats: [1, -2], as: .bf16)
    let header = #"{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}"#
    let expected =
      [UInt8(header.utf8.count + 1), 0, 0, 0, 0, 0, 0, 0] + Array((header + " ").utf8)
      + [0x80, 0x3F, 0x00, 0xC0]
    #expect(header.utf8.count == 55)
    #expect(try writer.serialized() == expected)
  }

  @Test func whatIsWrittenIsRead() throws {
    var writer = SafetensorsWriter(metadata: ["kind": "test"])
    try writer.add(name: "halves", shape: [3], floats: [0.5, -65504, 6e-8], as: .f16)
    try writer.add(name: "floats", shape: [1, 2], floats: [.pi, -0.0])
    try writer.add(name: "steps", elementType: .i64, shape: [1]) { [1, 0, 0, 0, 0, 0, 0, 0] }
    let path = folder.path + "/x.safetensors"
    try writer.write(to: path)
    #expect(try contents(path) == writer.serialized())
    let file = try TensorFile.open(path)
    #expect(file.metadata == ["kind": .string("test")])
    // Wide elements first, so that each tensor is aligned.
    #expect(file.tensors.map(\.name) == ["steps", "floats", "halves"])
    #expect(file.tensors.allSatisfy { $0.byteRange.lowerBound % $0.elementType.blockBytes == 0 })
    #expect(try file.floats(of: file.require("floats")) == [.pi, -0.0])
    #expect(try file.floats(of: file.require("halves")) == [0.5, -65504, Float(Float16(6e-8))])
  }

  @Test func bfloat16RoundsToEven() {
    #expect(bfloat16Bits(1) == 0x3F80)
    #expect(bfloat16Bits(Float(bitPattern: 0x3F80_8000)) == 0x3F80)
    #expect(bfloat16Bits(Float(bitPattern: 0x3F81_8000)) == 0x3F82)
    #expect(bfloat16Bits(Float(bitPattern: 0x3F80_8001)) == 0x3F81)
    #expect(bfloat16Bits(.greatestFiniteMagnitude) == 0x7F80)
    #expect(bfloat16Bits(.nan) & 0x7FFF > 0x7F80)
    #expect(bfloat16Bits(Float(bitPattern: 0x7F80_0001)) & 0x7FFF > 0x7F80)
  }

  @Test func misfitsAreRefused() throws {
    var writer = SafetensorsWriter()
    #expect(throws: ContainerError.self) { try writer.add(name: "x", shape: [3], floats: [1]) }
    #expect(throws: ContainerError.self) {
      try writer.add(name: "x", elementType: .q4_0, shape: [32]) { [] }
    }
    #expect(throws: ContainerError.self) {
      try writer.add(name: "x", elementType: .f32, shape: [.max, 8]) { [] }
    }
    try writer.add(name: "x", shape: [1], floats: [1])
    try writer.add(name: "x", shape: [1], floats: [1])
    #expect(throws: ContainerError.self) { try writer.serialized() }
  }

  @Test func aFailedWriteLeavesTheOldFile() throws {
    let path = try folder.file("x.safetensors", [1, 2, 3])
    var writer = SafetensorsWriter()
    try writer.add(name: "x", elementType: .u8, shape: [4]) { [1] }
    #expect(throws: ContainerError.self) { try writer.write(to: path) }
    #expect(try contents(path) == [1, 2, 3])
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["x.safetensors"])
  }

  @Test func aFolderThatIsNotThereIsNamed() throws {
    let path = folder.path + "/nowhere/x"
    let error = #expect(throws: ContainerError.self) { try DurableFile.write([1], to: path) }
    #expect(error?.description.contains(path) == true)
  }

  @Test func writtenGGUFIsRead() throws {
    var writer = GGUFWriter()
    writer.add(key: "general.architecture", .string("llama"))
    writer.add(key: "u", .u32(7))
    writer.add(key: "i", .i32(-7))
    writer.add(key: "f", .f32(0.5))
    writer.add(key: "l", .u64(1 << 40))
    writer.add(key: "b", .bool(true))
    writer.add(key: "s", .strings(["a", "ß"]))
    writer.add(key: "n", .i32s([1, -1]))
    writer.add(key: "r", .f32s([0.25]))
    writer.add(key: "t", .bools([true, false]))
    try writer.add(name: "odd", shape: [3, 1], floats: [1, 2, 3])
    try writer.add(name: "q", elementType: .q8_0, shape: [2, 32]) {
      let ones = [0x00, 0x3C] + (0..<32).map { UInt8($0) }
      return ones + [0x00, 0x40] + [UInt8](repeating: 255, count: 32)
    }
    try writer.add(name: "h", shape: [2], floats: [1, 2], as: .bf16)
    let path = folder.path + "/x.gguf"
    try writer.write(to: path)
    #expect(try contents(path) == writer.serialized())
    let file = try TensorFile.open(path)
    #expect(file.metadata.count == 10)
    #expect(file.metadata["i"] == .signed(-7))
    #expect(file.metadata["s"]?.strings == ["a", "ß"])
    #expect(file.metadata["t"]?.array == [.bool(true), .bool(false)])
    #expect(try file.require("odd").shape == [3, 1])
    #expect(try file.floats(of: file.require("odd")) == [1, 2, 3])
    #expect(
      try file.floats(of: file.require("q"))
        == (0..<32).map(Float.init) + [Float](repeating: -2, count: 32))
    #expect(try file.floats(of: file.require("h")) == [1, 2])
  }

  @Test func randomTensorsSurviveARoundTrip() throws {
    var generator = SeededGenerator(seed: 5)
    for _ in 0..<50 {
      var writer = SafetensorsWriter()
      var expected: [String: [Float]] = [:]
      for index in 0..<Int.random(in: 0..<6, using: &generator) {
        let shape = (0..<Int.random(in: 0..<4, using: &generator)).map { _ in
          Int.random(in: 0..<5, using: &generator)
        }
        let floats = (0..<shape.reduce(1, *)).map { _ in
          Float.random(in: -1...1, using: &generator)
        }
        try writer.add(name: "t\(index)", shape: shape, floats: floats)
        expected["t\(index)"] = floats
      }
      let file = try TensorFile.open(folder.file("r.safetensors", writer.serialized()))
      #expect(file.tensors.count == expected.count)
      for entry in file.tensors { #expect(try file.floats(of: entry) == expected[entry.name]) }
    }
  }
}
