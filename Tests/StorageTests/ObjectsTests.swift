import Determinism
import FoundationEssentials
import Glibc
import Identities
import Storage
import Testing

@Suite struct ObjectsTests {
  @Test func blocksInAnyOrderMakeTheObject() throws {
    let home = TemporaryHome()
    let store = try home.open()
    let (list, bytes) = makeObject(bytes: 10_300, seed: 1)
    #expect(try store.beginObject(list).missing == Array(0..<11))
    var order = Array(0..<11)
    var generator = SeededGenerator(seed: 5)
    order.shuffle(using: &generator)
    for (count, index) in order.enumerated() {
      let isComplete = try store.storeBlock(index, of: list.id, block(index, of: bytes, list))
      #expect(isComplete == (count == 10))
      #expect(try store.readBlock(index, of: list.id) == block(index, of: bytes, list))
    }
    let status = try #require(try store.object(list.id))
    let path = try #require(status.path)
    #expect(status.missing.isEmpty)
    #expect([UInt8](FileManager.default.contents(atPath: path) ?? Data()) == bytes)
    #expect(try store.readObject(list.id) == bytes)
    #expect(try store.readBlock(10, of: list.id)?.count == 60)
    #expect(try store.readBlock(11, of: list.id) == nil)
    #expect(try store.readBlock(-1, of: list.id) == nil)
  }

  @Test func aWrongBlockIsRefusedAndLeavesNothing() throws {
    let home = TemporaryHome()
    let store = try home.open()
    let (list, bytes) = makeObject(bytes: 3000, seed: 2)
    try store.beginObject(list)
    var bad = block(0, of: bytes, list)
    bad[7] ^= 1
    for (index, content) in [
      (0, bad), (0, Array(bad.dropLast())), (1, block(0, of: bytes, list)), (3, bad), (-1, bad),
    ] {
      #expect(throws: StorageError.self) { try store.storeBlock(index, of: list.id, content) }
    }
    #expect(try store.object(list.id)?.missing == [0, 1, 2])
    #expect(try store.readBlock(0, of: list.id) == nil)
  }

  @Test func listsThatCannotBeAreRefused() throws {
    let store = try TemporaryHome().open()
    let (list, _) = makeObject(bytes: 3000, seed: 2)
    var short = list
    short.blocks.removeLast()
    var huge = list
    huge.size = .max
    var empty = list
    empty.size = 0
    empty.blocks = []
    var zero = list
    zero.blockSize = 0
    for bad in [short, huge, empty, zero] {
      #expect(throws: StorageError.self) { try store.beginObject(bad) }
    }
    #expect(throws: StorageError.unknownObject(id: list.id.short)) {
      try store.storeBlock(0, of: list.id, [1])
    }
  }

  @Test func aDownloadGoesOnWhereItWas() throws {
    let home = TemporaryHome()
    let (list, bytes) = makeObject(bytes: 20_000, seed: 3)
    do {
      let store = try home.open()
      try store.beginObject(list)
      for index in [0, 3, 4, 17] {
        _ = try store.storeBlock(index, of: list.id, block(index, of: bytes, list))
      }
      // No close: the process is gone, and the database never heard of these blocks.
    }
    let store = try home.open()
    let missing = try #require(try store.object(list.id)?.missing)
    #expect(missing == Array(0..<20).filter { ![0, 3, 4, 17].contains($0) })
    for index in missing {
      _ = try store.storeBlock(index, of: list.id, block(index, of: bytes, list))
    }
    #expect(try store.readObject(list.id) == bytes)
  }

  /// Killed after the last block was written and before the object had its name.
  @Test func anObjectWhoseLastBlockWasItsLastWriteIsWhole() throws {
    let home = TemporaryHome()
    let (list, bytes) = makeObject(bytes: 10_300, seed: 6)
    do {
      let store = try home.open()
      try store.beginObject(list)
      _ = try store.storeBlock(0, of: list.id, block(0, of: bytes, list))
    }
    try Data(bytes).write(to: URL(filePath: home.layout.partial(list.id.description)))
    let store = try home.open()
    #expect(try store.object(list.id)?.missing == [])
    #expect(try store.readObject(list.id) == bytes)
    #expect(try store.readBlock(10, of: list.id)?.count == 60)
  }

  @Test func bitsThatWereKeptSurviveALostTail() throws {
    let home = TemporaryHome()
    let (list, bytes) = makeObject(bytes: 20_000, seed: 4)
    do {
      let store = try home.open()
      try store.beginObject(list)
      for index in 0..<10 {
        _ = try store.storeBlock(index, of: list.id, block(index, of: bytes, list))
      }
      try store.flushObjects()
      for index in 10..<15 {
        _ = try store.storeBlock(index, of: list.id, block(index, of: bytes, list))
      }
    }
    // A power cut takes what was not synced.
    truncate(home.layout.partial(list.id.description), 10_240)
    #expect(try home.open().object(list.id)?.missing == Array(10..<20))
  }

  @Test func aCrashBetweenRenameAndRecordIsPutRight() throws {
    let home = TemporaryHome()
    let (whole, bytes) = makeObject(bytes: 5000, seed: 5)
    let (other, otherBytes) = makeObject(bytes: 5000, seed: 6)
    do {
      let store = try home.open()
      try store.beginObject(whole)
      try store.beginObject(other)
      _ = try store.storeBlock(0, of: whole.id, block(0, of: bytes, whole))
      _ = try store.storeBlock(0, of: other.id, block(0, of: otherBytes, other))
      try store.close()
    }
    var damaged = otherBytes
    damaged[4500] ^= 1
    for (list, content) in [(whole, bytes), (other, damaged)] {
      try DurableFile.write(content, to: home.layout.object(list.id.description))
    }
    let orphan = home.layout.objects + "/zz/nothing"
    try DurableFile.makeFolder(home.layout.objects + "/zz")
    try DurableFile.write([1], to: orphan)
    try DurableFile.write([1], to: home.layout.snapshots + "/half.new.123")
    let store = try home.open()
    #expect(try store.readObject(whole.id) == bytes)
    #expect(try store.object(other.id)?.missing == [1, 2, 3, 4])
    #expect(!DurableFile.exists(orphan))
    #expect(!DurableFile.exists(home.layout.snapshots + "/half.new.123"))
  }

  @Test func ownObjectsAreAddedWhole() throws {
    let home = TemporaryHome()
    let store = try home.open()
    let (list, bytes) = makeObject(bytes: 700_000, blockSize: 256 << 10, seed: 7)
    var wrong = bytes
    wrong[600_000] ^= 1
    #expect(throws: StorageError.self) { try store.addObject(list, wrong) }
    #expect(try store.object(list.id) == nil)
    try store.addObject(list, bytes)
    try store.addObject(list, bytes)
    #expect(try store.readObject(list.id) == bytes)
    #expect(try store.objects() == [list.id])
    try store.removeObject(list.id)
    try store.removeObject(list.id)
    #expect(try store.object(list.id) == nil)
    #expect(!DurableFile.exists(home.layout.object(list.id.description)))
  }

  @Test func anObjectWhoseFileIsGoneIsAskedForAgain() throws {
    let home = TemporaryHome()
    let (list, bytes) = makeObject(bytes: 5000, seed: 8)
    let store = try home.open()
    try store.addObject(list, bytes)
    try store.close()
    unlink(home.layout.object(list.id.description))
    #expect(throws: Never.self) { _ = try home.open(readOnly: true).object(list.id) }
    #expect(try home.open().object(list.id)?.missing == [0, 1, 2, 3, 4])
  }
}
