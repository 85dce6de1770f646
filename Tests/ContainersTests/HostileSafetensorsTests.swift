import Containers
import Determinism
import Testing

/// Every rule of the format, broken one at a time.
@Suite struct HostileSafetensorsTests {
  struct Attack: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let header: String
    var data = 8
    /// What the message must say.
    let says: String
  }

  private static let one = #""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#

  static let attacks = [
    Attack(testDescription: "not an object", header: "[]", says: "{"),
    Attack(testDescription: "white space first", header: " {\(one)}", says: "{"),
    Attack(testDescription: "cut short", header: "{\(one)", says: "ends early"),
    Attack(testDescription: "text behind", header: "{\(one)}x", says: "after the value"),
    Attack(testDescription: "name twice", header: "{\(one),\(one)}", says: "twice"),
    Attack(
      testDescription: "member twice",
      header: #"{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
      says: "twice"),
    Attack(
      testDescription: "unknown type",
      header: #"{"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}"#, says: "F8_E4M3"),
    Attack(
      testDescription: "no type", header: #"{"a":{"shape":[2],"data_offsets":[0,8]}}"#,
      says: "dtype"),
    Attack(
      testDescription: "unknown member",
      header: #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}}"#, says: "member"),
    Attack(
      testDescription: "shape too large",
      header: #"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, says: "12 bytes"),
    Attack(
      testDescription: "shape overflows",
      header: #"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#,
      says: "overflows"),
    Attack(
      testDescription: "shape overflows in bytes",
      header: #"{"a":{"dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8]}}"#,
      says: "overflows"),
    Attack(
      testDescription: "negative dimension",
      header: #"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, says: "whole number"),
    Attack(
      testDescription: "broken dimension",
      header: #"{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}"#, says: "whole number"),
    Attack(
      testDescription: "number out of range",
      header: #"{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}}"#,
      says: "whole number"),
    Attack(
      testDescription: "offsets backwards",
      header: #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, says: "outside"),
    Attack(
      testDescription: "negative offset",
      header: #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}"#, says: "outside"),
    Attack(
      testDescription: "three offsets",
      header: #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}"#, says: "data_offsets"),
    Attack(testDescription: "data cut short", header: "{\(one)}", data: 7, says: "outside"),
    Attack(testDescription: "data behind", header: "{\(one)}", data: 9, says: "belong to none"),
    Attack(
      testDescription: "hole before",
      header: #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, says: "begins at"),
    Attack(
      testDescription: "overlap",
      header: """
        {"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},\
        "b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}
        """, says: "begins at"),
    Attack(
      testDescription: "same bytes twice",
      header: """
        {"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},\
        "b":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}
        """, says: "begins at"),
    Attack(
      testDescription: "metadata not text", header: #"{"__metadata__":{"a":1}}"#, data: 0,
      says: "not a text"),
    Attack(
      testDescription: "nested too deeply",
      header: #"{"a":"# + String(repeating: "[", count: 100_000), says: "too deeply"),
    Attack(
      testDescription: "control characters in a name",
      header: #"{"a\u001b[2J":{"dtype":"X","shape":[],"data_offsets":[0,8]}}"#, says: "\\u{1b}"),
  ]

  @Test(arguments: attacks) func isRefusedAndSaysWhy(attack: Attack) throws {
    let folder = try TemporaryFolder()
    let bytes = Self.file(attack.header, data: attack.data)
    let path = try folder.file("x.safetensors", bytes)
    let error = #expect(throws: ContainerError.self) { try TensorFile.open(path) }
    #expect(error?.description.contains(attack.says) == true, "\(error?.description ?? "")")
  }

  @Test func theUnbrokenFileIsRead() throws {
    let folder = try TemporaryFolder()
    let path = try folder.file("x.safetensors", Self.file("{\(Self.one)}  ", data: 8))
    #expect(try TensorFile.open(path).tensors.count == 1)
  }

  @Test(arguments: [0, 1, 7, 8, 9]) func tinyFilesAreRefused(size: Int) throws {
    let folder = try TemporaryFolder()
    let path = try folder.file("x", [UInt8](repeating: 0, count: size))
    #expect(throws: ContainerError.self) { try TensorFile.open(path) }
  }

  @Test(arguments: [UInt64.max, 1 << 63, 100_000_001, 9]) func hugeHeadersAreRefused(
    length: UInt64
  ) throws {
    let folder = try TemporaryFolder()
    let path = try folder.file(
      "x", withUnsafeBytes(of: length.littleEndian) { Array($0) } + Array("{}".utf8))
    #expect(throws: ContainerError.self) { try TensorFile.open(path) }
  }

  @Test func aPickleIsRefusedByName() throws {
    let folder = try TemporaryFolder()
    let path = try folder.file("pytorch_model.bin", [0x50, 0x4B, 3, 4, 0, 0, 0, 0, 0, 0])
    let error = #expect(throws: ContainerError.self) { try TensorFile.open(path) }
    #expect(error?.description.contains("pickle") == true)
  }

  @Test func missingFilesAndFoldersAreNamed() throws {
    let folder = try TemporaryFolder()
    #expect(throws: ContainerError.self) { try TensorFile.open(folder.path + "/none") }
    #expect(throws: ContainerError.self) { try TensorFile.open(folder.path) }
    #expect(throws: ContainerError.self) { try TensorFile.open("/dev/null") }
  }

  /// Damage of every kind to a sound file: an error or a file, never a trap.
  @Test func damagedBytesNeverTrap() throws {
    let folder = try TemporaryFolder()
    let sound = try contents(fixture("plain.safetensors"))
    var generator = SeededGenerator(seed: 1)
    for _ in 0..<Slow.rounds(1000) {
      let path = try folder.file("x", damaged(sound, &generator))
      readEverything(path)
    }
  }

  static func file(_ header: String, data: Int) -> [UInt8] {
    withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) } + Array(header.utf8)
      + [UInt8](repeating: 0, count: data)
  }
}

/// A file with a few bytes changed, a piece cut out, or its end cut off.
func damaged(_ sound: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
  var bytes = sound
  for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
    let place = Int.random(in: 0..<bytes.count, using: &generator)
    switch Int.random(in: 0..<8, using: &generator) {
    case 0: bytes.removeSubrange(place...)
    case 1: bytes.removeSubrange(place..<min(place + 8, bytes.count))
    case 2: bytes.insert(contentsOf: [0xFF, 0xFF, 0xFF, 0xFF], at: place)
    case 3:
      for index in place..<min(place + 8, bytes.count) { bytes[index] = 0xFF }
    default: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
    }
  }
  return bytes
}

/// Opens a file that may be anything and, if that works, touches every number in it.
func readEverything(_ path: String) {
  guard let file = try? TensorFile.open(path) else { return }
  for entry in file.tensors {
    _ = file.bytes(of: entry).last
    _ = try? file.floats(of: entry)
  }
}
