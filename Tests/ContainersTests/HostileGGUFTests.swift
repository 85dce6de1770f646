import Containers
import Determinism
import Glibc
import Testing

/// GGUF files that lie about themselves.
@Suite struct HostileGGUFTests {
  /// Builds a header by hand, so that every field can be wrong.
  struct Forge {
    var bytes: [UInt8] = Array("GGUF".utf8)

    init(version: UInt32 = 3, tensors: UInt64 = 0, pairs: UInt64 = 0) {
      word(version)
      word(tensors)
      word(pairs)
    }

    mutating func word<Word: FixedWidthInteger>(_ word: Word) {
      withUnsafeBytes(of: word.littleEndian) { bytes += $0 }
    }

    mutating func text(_ text: String) {
      word(UInt64(text.utf8.count))
      bytes += Array(text.utf8)
    }

    mutating func tensor(_ name: String, _ shape: [UInt64], type: UInt32 = 0, at offset: UInt64) {
      text(name)
      word(UInt32(shape.count))
      for dimension in shape { word(dimension) }
      word(type)
      word(offset)
    }

    mutating func data(_ count: Int) {
      bytes += [UInt8](repeating: 0, count: (32 - bytes.count % 32) % 32 + count)
    }
  }

  private func expectRefusal(
    _ forge: Forge, saying words: String, _ location: SourceLocation = #_sourceLocation
  ) throws {
    let folder = try TemporaryFolder()
    let path = try folder.file("x.gguf", forge.bytes)
    let error = #expect(throws: ContainerError.self, sourceLocation: location) {
      try TensorFile.open(path)
    }
    #expect(
      error?.description.contains(words) == true, "\(error?.description ?? "")",
      sourceLocation: location)
  }

  @Test func theUnbrokenFileIsRead() throws {
    var forge = Forge(tensors: 2, pairs: 1)
    forge.text("key")
    forge.word(UInt32(8))
    forge.text("value")
    forge.tensor("a", [2], at: 0)
    forge.tensor("b", [3], at: 32)
    forge.data(44)
    let folder = try TemporaryFolder()
    let file = try TensorFile.open(folder.file("x.gguf", forge.bytes))
    #expect(file.tensors.map(\.name) == ["a", "b"])
  }

  @Test func versionsThatAreNotReadAreNamed() throws {
    try expectRefusal(Forge(version: 1), saying: "version 1")
    try expectRefusal(Forge(version: 4), saying: "version 4")
    try expectRefusal(Forge(version: UInt32(3).byteSwapped), saying: "big-endian")
  }

  @Test func countsBeyondTheFileAreRefused() throws {
    try expectRefusal(Forge(tensors: .max), saying: "tensor count")
    try expectRefusal(Forge(tensors: 1000), saying: "does not fit")
    try expectRefusal(Forge(pairs: .max), saying: "pair count")
    try expectRefusal(Forge(pairs: 60_000), saying: "does not fit")
  }

  @Test(arguments: [UInt64.max, 1 << 62, 1000]) func longTextsAreRefused(length: UInt64) throws {
    var forge = Forge(pairs: 1)
    forge.word(length)
    forge.bytes += [UInt8](repeating: 65, count: 40)
    try expectRefusal(forge, saying: "a key of \(length) bytes")
  }

  @Test(arguments: [UInt64.max, 1 << 61, 8_388_609, 1000]) func longArraysAreRefused(
    count: UInt64
  ) throws {
    var forge = Forge(pairs: 1)
    forge.text("list")
    forge.word(UInt32(9))
    forge.word(UInt32(8))
    forge.word(count)
    forge.bytes += [UInt8](repeating: 0, count: 64)
    try expectRefusal(forge, saying: "key list")
  }

  /// Files full of holes: the bytes that they claim to have are there and cost nothing.
  @Test func arraysAreBoundedTogetherInFilesFullOfHoles() throws {
    let folder = try TemporaryFolder()
    var forge = Forge(pairs: 3)
    var starts: [Int] = []
    let path = try folder.file("x.gguf", [])
    for key in ["one", "two", "three"] {
      forge.text(key)
      forge.word(UInt32(9))
      forge.word(UInt32(0))
      forge.word(UInt64(8_388_608))
      starts.append(forge.bytes.count)
    }
    let file = try #require(fopen(path, "wb"))
    defer { fclose(file) }
    var written = 0
    for (index, start) in starts.enumerated() {
      #expect(fseek(file, written + index * 8_388_608, SEEK_SET) == 0)
      fwrite(Array(forge.bytes[written..<start]), 1, start - written, file)
      written = start
    }
    fflush(file)
    #expect(truncate(path, 1 << 40) == 0)
    let error = #expect(throws: ContainerError.self) { try TensorFile.open(path) }
    let text = error?.description ?? ""
    #expect(text.contains("key two") && text.contains("together"), "\(text)")
  }

  @Test func textsAreBoundedTogetherInFilesFullOfHoles() throws {
    var forge = Forge(pairs: 1)
    forge.text("key")
    forge.word(UInt32(8))
    forge.word(UInt64(1) << 38)
    let folder = try TemporaryFolder()
    let path = try folder.file("x.gguf", forge.bytes)
    #expect(truncate(path, 1 << 40) == 0)
    let error = #expect(throws: ContainerError.self) { try TensorFile.open(path) }
    #expect(error?.description.contains("does not fit") == true, "\(error?.description ?? "")")
  }

  @Test func arraysWithoutEndAreRefused() throws {
    var forge = Forge(pairs: 1)
    forge.text("list")
    forge.word(UInt32(9))
    for _ in 0..<10_000 {
      forge.word(UInt32(9))
      forge.word(UInt64(1))
    }
    try expectRefusal(forge, saying: "nested")
  }

  @Test func keysThatOccurTwiceAreRefused() throws {
    var forge = Forge(pairs: 2)
    for _ in 0..<2 {
      forge.text("same")
      forge.word(UInt32(4))
      forge.word(UInt32(1))
    }
    try expectRefusal(forge, saying: "twice")
  }

  @Test func unknownTypesOfValuesAreRefused() throws {
    var forge = Forge(pairs: 1)
    forge.text("key")
    forge.word(UInt32(13))
    forge.word(UInt32(1))
    try expectRefusal(forge, saying: "type 13")
  }

  @Test func textThatIsNotUTF8IsRefused() throws {
    var forge = Forge(pairs: 1)
    forge.word(UInt64(2))
    forge.bytes += [0xC3, 0x28] + [UInt8](repeating: 0, count: 16)
    try expectRefusal(forge, saying: "UTF-8")
  }

  @Test func tensorsOutsideTheFileAreRefused() throws {
    var forge = Forge(tensors: 1)
    forge.tensor("wide", [9], at: 0)
    forge.data(32)
    try expectRefusal(forge, saying: "tensor wide")
    forge = Forge(tensors: 1)
    forge.tensor("far", [1], at: 1 << 63)
    forge.data(32)
    try expectRefusal(forge, saying: "tensor far")
  }

  @Test func tensorsThatOverlapAreRefused() throws {
    var forge = Forge(tensors: 2)
    forge.tensor("a", [16], at: 0)
    forge.tensor("b", [8], at: 32)
    forge.data(128)
    try expectRefusal(forge, saying: "overlaps tensor a")
  }

  @Test func tensorsOffTheGridAreRefused() throws {
    var forge = Forge(tensors: 1)
    forge.tensor("a", [1], at: 4)
    forge.data(64)
    try expectRefusal(forge, saying: "multiple of 32")
  }

  @Test func shapesThatOverflowAreRefused() throws {
    for shape in [[UInt64.max], [1 << 32, 1 << 32], [1 << 61, 2]] as [[UInt64]] {
      var forge = Forge(tensors: 1)
      forge.tensor("big", shape, at: 0)
      forge.data(64)
      try expectRefusal(forge, saying: "tensor big")
    }
  }

  @Test func tooManyDimensionsAreRefused() throws {
    var forge = Forge(tensors: 1)
    forge.tensor("a", [1, 1, 1, 1, 1], at: 0)
    forge.data(64)
    try expectRefusal(forge, saying: "5 dimensions")
  }

  @Test func typesThatAreNotReadAreNamed() throws {
    var forge = Forge(tensors: 1)
    forge.tensor("a", [256], type: 16, at: 0)
    forge.data(512)
    try expectRefusal(forge, saying: "IQ2_XXS")
  }

  @Test func rowsThatDoNotFillBlocksAreRefused() throws {
    var forge = Forge(tensors: 1)
    forge.tensor("a", [33], type: 8, at: 0)
    forge.data(512)
    try expectRefusal(forge, saying: "q8_0")
  }

  @Test func namesThatOccurTwiceAreRefused() throws {
    var forge = Forge(tensors: 2)
    forge.tensor("a", [8], at: 0)
    forge.tensor("a", [8], at: 32)
    forge.data(64)
    try expectRefusal(forge, saying: "twice")
  }

  @Test(arguments: [0, 3, 1 << 30] as [UInt32]) func oddAlignmentsAreRefused(
    alignment: UInt32
  ) throws {
    var forge = Forge(pairs: 1)
    forge.text("general.alignment")
    forge.word(UInt32(4))
    forge.word(alignment)
    try expectRefusal(forge, saying: "general.alignment")
  }

  @Test func everyShorterFileIsRefused() throws {
    var forge = Forge(tensors: 1, pairs: 1)
    forge.text("key")
    forge.word(UInt32(8))
    forge.text("value")
    forge.tensor("a", [2], at: 0)
    forge.data(8)
    let folder = try TemporaryFolder()
    for length in 0..<forge.bytes.count {
      let path = try folder.file("x.gguf", Array(forge.bytes[..<length]))
      #expect(throws: ContainerError.self, "length \(length)") { try TensorFile.open(path) }
    }
  }

  /// Damage of every kind to the header of a sound file: an error or a file, never a trap.
  @Test func damagedBytesNeverTrap() throws {
    let folder = try TemporaryFolder()
    let sound = try contents(fixture("quants.gguf"))
    var generator = SeededGenerator(seed: 2)
    for _ in 0..<Slow.rounds(500) {
      // The header is the first few kilobytes; that is where damage is interesting.
      let header = Array(sound[..<3000])
      let path = try folder.file("x.gguf", damaged(header, &generator) + sound[3000...])
      readEverything(path)
    }
  }
}
