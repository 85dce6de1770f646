import Containers
import Testing

/// Files written by the reference implementations; Tests/Tools/container_fixtures.py makes them.
@Suite struct ReferenceFilesTests {
  @Test(arguments: [
    "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "f16", "bf16",
    "f64",
  ])
  func dequantisedNumbersEqualTheReferenceBitForBit(name: String) throws {
    let file = try TensorFile.open(fixture("quants.gguf"))
    let entry = try file.require(name)
    let expected = try file.floats(of: file.require(name + ".expected"))
    let numbers = try file.floats(of: entry)
    #expect(entry.elementType.rawValue == name)
    #expect(numbers.count == expected.count)
    #expect(numbers.map(\.bitPattern) == expected.map(\.bitPattern))
  }

  @Test func everyTypeOfMetadataIsRead() throws {
    let metadata = try TensorFile.open(fixture("quants.gguf")).metadata
    #expect(metadata["general.architecture"] == .string("llama"))
    #expect(metadata["test.uint8"] == .unsigned(200))
    #expect(metadata["test.int8"] == .signed(-100))
    #expect(metadata["test.uint16"] == .unsigned(60000))
    #expect(metadata["test.int16"] == .signed(-30000))
    #expect(metadata["test.uint32"] == .unsigned(4_000_000_000))
    #expect(metadata["test.int32"] == .signed(-2_000_000_000))
    #expect(metadata["test.float32"] == .real(Double(Float(0.1))))
    #expect(metadata["test.uint64"] == .unsigned(1 << 63 + 1))
    #expect(metadata["test.uint64"]?.integer == nil)
    #expect(metadata["test.int64"] == .signed(-(1 << 62)))
    #expect(metadata["test.float64"] == .real(0.1))
    #expect(metadata["test.bool"]?.bool == true)
    #expect(metadata["test.string"]?.string == "Größe ✓")
    #expect(metadata["test.strings"]?.strings == ["eins", "zwei", ""])
    #expect(metadata["test.integers"]?.integers == [1, -2, 3])
    #expect(metadata["test.reals"]?.array?.compactMap(\.real) == [0.5, -1.25])
    #expect(metadata["test.nested"]?.array?.map(\.integers) == [[1, 2], [3]])
  }

  @Test func shapesAreOutermostFirst() throws {
    let file = try TensorFile.open(fixture("quants.gguf"))
    #expect(try file.require("f64").shape == [3, 5, 7])
    #expect(try file.require("q4_k").shape == [2, 512])
  }

  @Test func wholeNumbersAreNotWeights() throws {
    let file = try TensorFile.open(fixture("quants.gguf"))
    let entry = try file.require("i32")
    #expect(throws: ContainerError.self) { try file.floats(of: entry) }
    #expect(file.bytes(of: entry).first == 0xFD)
  }

  @Test func safetensorsOfTheReferenceAreRead() throws {
    let file = try TensorFile.open(fixture("plain.safetensors"))
    #expect(file.format == .safetensors)
    #expect(file.tensors.count == 6)
    #expect(file.metadata == ["format": .string("np"), "näme": .string("wert\n")])
    let embed = try file.require("embed.weight")
    #expect(embed.shape == [3, 4])
    #expect(try file.floats(of: embed) == (0..<12).map { Float($0) / 8 })
    #expect(try file.floats(of: file.require("halves")) == [1.5, -2.25, 65504])
    #expect(try file.floats(of: file.require("scalar")) == [7])
    #expect(try file.floats(of: file.require("layer.é.bias")) == [])
    #expect(try file.require("mask").elementType == .bool)
  }

  @Test func aMissingTensorIsNamed() throws {
    let file = try TensorFile.open(fixture("plain.safetensors"))
    let error = #expect(throws: ContainerError.self) { try file.require("nirgends") }
    #expect(error?.description.contains("nirgends") == true)
  }

  @Test func aBufferOfTheWrongSizeIsRefused() throws {
    let file = try TensorFile.open(fixture("plain.safetensors"))
    let entry = try file.require("halves")
    var buffer: [Float] = [9, 9]
    #expect(throws: ContainerError.self) {
      try buffer.withUnsafeMutableBufferPointer { try file.readFloats(of: entry, into: $0) }
    }
    #expect(buffer == [9, 9])
  }
}
