import FoundationEssentials
import Glibc
import Identities
import Storage
import Testing

/// Needs root, to mount a small file system; part of the full suite.
@Suite(
  .enabled(
    if: geteuid() == 0 && getenv("HANSE_TESTS").map { String(cString: $0) } == "full",
    "HANSE_TESTS=full as root"))
struct FullDiskTests {
  @Test func aFullDiskIsSaidClearlyLosesNothingAndHealsByItself() throws {
    let home = TemporaryHome()
    try #require(mount("tmpfs", home.layout.path, "tmpfs", 0, "size=2m") == 0)
    defer { umount2(home.layout.path, Int32(MNT_DETACH)) }
    var writer = Writer(seed: 1)
    let store = try home.open()
    let kept = try writer.next()
    try store.append(kept)
    let (list, bytes) = makeObject(bytes: 4 << 20, blockSize: 256 << 10, seed: 1)
    #expect(throws: StorageError.full(path: home.layout.object(list.id.description))) {
      try store.addObject(list, bytes)
    }
    try store.beginObject(list)
    #expect(throws: StorageError.full(path: home.layout.partial(list.id.description))) {
      for index in list.blocks.indices {
        _ = try store.storeBlock(index, of: list.id, block(index, of: bytes, list))
      }
    }
    let refused = #expect(throws: StorageError.self) {
      for number in 0..<2000 {
        try store.append(try writer.next(name: String(repeating: "x", count: 60) + "\(number % 9)"))
      }
    }
    #expect(refused == .full(path: home.layout.database))
    let before = try store.allEntries()
    #expect(before.first == kept)
    try store.removeObject(list.id)
    let next = try store.entries(of: writer.lab).last!.sequence
    #expect(throws: Never.self) { try store.setValue("round", [1]) }
    #expect(try store.entries(of: writer.lab).last!.sequence == next)
    #expect(try store.check(verify: Writer.verify([writer])).filter { $0.thing != .key } == [])
  }
}
