import FoundationEssentials
import GRDB
import Glibc
import Identities
import Storage
import Testing

@Suite struct CheckTests {
  @Test func aSoundHomeHasNoDamage() throws {
    let home = TemporaryHome()
    let made = try Made(home)
    #expect(try made.check() == [])
  }

  @Test func everyDamagedEntryIsNamed() throws {
    for column in ["body", "signature", "id"] {
      let home = TemporaryHome()
      let made = try Made(home)
      try made.damage("entries", column, where: "sequence = 2")
      let damages = try made.check()
      #expect(
        damages.map(\.thing) == [.entry(lab: made.writer.lab, sequence: 2)],
        "\(column): \(damages)")
    }
  }

  @Test func aMissingEntryShowsInWhatFollows() throws {
    let home = TemporaryHome()
    let made = try Made(home)
    try made.execute("DELETE FROM entries WHERE sequence = 2")
    #expect(try made.check().map(\.thing) == [.entry(lab: made.writer.lab, sequence: 3)])
  }

  @Test func everyFlippedByteOfAnObjectIsFoundAndItsBlockFetchedAgain() throws {
    let home = TemporaryHome()
    let made = try Made(home)
    let path = home.layout.object(made.list.id.description)
    for offset in [0, 1023, 1024, 4999] {
      try flip(path, at: offset)
      let store = try home.open()
      let damages = try store.check(verify: Writer.verify([made.writer]))
      #expect(damages.map(\.thing) == [.object(id: made.list.id, blocks: [offset / 1024])])
      #expect(throws: StorageError.self) { try store.readBlock(offset / 1024, of: made.list.id) }
      try store.repair(damages)
      let missing = try #require(try store.object(made.list.id)?.missing)
      #expect(missing == [offset / 1024])
      let isComplete = try store.storeBlock(
        missing[0], of: made.list.id, block(missing[0], of: made.bytes, made.list))
      #expect(isComplete)
      try store.close()
    }
    #expect(try made.check() == [])
  }

  @Test func aCutOrMissingObjectIsFound() throws {
    let home = TemporaryHome()
    let made = try Made(home)
    truncate(home.layout.object(made.list.id.description), 3000)
    #expect(try made.check().map(\.thing) == [.object(id: made.list.id, blocks: [])])
    unlink(home.layout.object(made.list.id.description))
    #expect(try made.check().map(\.thing) == [.object(id: made.list.id, blocks: [])])
  }

  @Test func damagedStatesValuesAndKeysAreFound() throws {
    let home = TemporaryHome()
    let made = try Made(home)
    try flip(home.layout.snapshot(made.root.description), at: 1)
    try made.damage("own_values", "value", where: "name = 'position'")
    try flip(home.layout.work + "/feedback.checked", at: 0)
    chmod(home.layout.key, 0o644)
    let things = try made.check().map(\.thing)
    #expect(
      things == [
        .key, .snapshot(root: made.root), .value(name: "position"), .value(name: "feedback"),
      ])
  }

  @Test func aRepairedLogIsCutBeforeItsFirstBadEntry() throws {
    let home = TemporaryHome()
    let made = try Made(home)
    try made.damage("entries", "body", where: "sequence = 2")
    let store = try home.open()
    try store.repair(try store.check(verify: Writer.verify([made.writer])))
    #expect(try store.entries(of: made.writer.lab).map(\.sequence) == [1])
    #expect(try store.check(verify: Writer.verify([made.writer])) == [])
  }

  @Test func randomFlipsInTheDatabaseNeverGoUnnoticedOrTrap() throws {
    let home = TemporaryHome()
    let made = try Made(home)
    let sound = try #require(FileManager.default.contents(atPath: home.layout.database))
    let expected = try home.open(readOnly: true).allEntries()
    var unnoticed = 0
    for trial in 0..<200 {
      var damaged = sound
      damaged[(trial * 7919 + 13) % damaged.count] ^= 1 << UInt8(trial % 8)
      _ = FileManager.default.createFile(atPath: home.layout.database, contents: damaged)
      do {
        let damages = try made.check()
        let entries = try home.open(readOnly: true).allEntries()
        if damages.isEmpty && entries != expected { unnoticed += 1 }
      } catch is StorageError {
        continue
      }
    }
    #expect(unnoticed == 0)
  }
}

/// A home with one of everything.
private struct Made {
  let home: TemporaryHome
  var writer = Writer(seed: 1)
  let list: ObjectList
  let bytes: [UInt8]
  let root = ContentID(of: [9], kind: .state)

  init(_ home: TemporaryHome) throws {
    self.home = home
    (list, bytes) = makeObject(bytes: 5000, seed: 1)
    try KeyFile.create(SigningKey.generate(), in: home.layout)
    let store = try home.open()
    for _ in 0..<3 { try store.append(try writer.next()) }
    try store.addObject(list, bytes)
    try store.writeSnapshot(root, [1, 2, 3])
    try store.setValue("position", [1, 2, 3])
    try store.writeWork("feedback", [4, 5])
    try store.close()
  }

  func check() throws -> [Damage] {
    try home.open(readOnly: true).check(verify: Writer.verify([writer]))
  }

  /// Flips a bit in a column, as a disk would.
  func damage(_ table: String, _ column: String, where condition: String) throws {
    let queue = try DatabaseQueue(path: home.layout.database)
    try queue.write { database in
      var value = try Data.fetchOne(
        database, sql: "SELECT \(column) FROM \(table) WHERE \(condition)")!
      value[value.startIndex + value.count / 2] ^= 0x10
      try database.execute(
        sql: "UPDATE \(table) SET \(column) = ? WHERE \(condition)", arguments: [value])
    }
    try queue.close()
  }

  func execute(_ sql: String) throws {
    let queue = try DatabaseQueue(path: home.layout.database)
    try queue.write { try $0.execute(sql: sql) }
    try queue.close()
  }
}
