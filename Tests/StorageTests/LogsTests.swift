import Identities
import Records
import Storage
import Testing

@Suite struct LogsTests {
  @Test func entriesComeBackInOrderAfterReopening() throws {
    let home = TemporaryHome()
    var (bremen, luebeck) = (Writer(seed: 1), Writer(seed: 2))
    var arrived: [StoredEntry] = []
    do {
      let store = try home.open()
      for round in 0..<5 {
        arrived.append(try bremen.next(name: "b\(round)"))
        if round % 2 == 0 { arrived.append(try luebeck.next(name: "l\(round)")) }
      }
      for entry in arrived { try store.append(entry) }
      try store.close()
    }
    let store = try home.open()
    #expect(try store.allEntries() == arrived)
    #expect(try store.entries(of: bremen.lab, after: 2, limit: 2).map(\.sequence) == [3, 4])
    #expect(try store.entries(of: luebeck.lab).count == 3)
    let heads = try store.heads()
    #expect(heads.map(\.sequence).sorted() == [3, 5])
    #expect(heads.first { $0.lab == bremen.lab }?.entry == bremen.last?.id)
    #expect(try store.entry(arrived[3].id) == arrived[3])
  }

  @Test func anEntryIsAppendedOnceAndItsPlaceIsTakenForGood() throws {
    let home = TemporaryHome()
    var writer = Writer(seed: 1)
    let store = try home.open()
    let other = try writer.other(name: "other")
    let entry = try writer.next()
    try store.append(entry)
    try store.append(entry)
    #expect(try store.allEntries().count == 1)
    #expect(throws: StorageError.occupied(lab: writer.lab.short, sequence: 1)) {
      try store.append(other)
    }
    try store.addFork(other)
    try store.addFork(other)
    #expect(try store.forks() == [other])
    #expect(try store.entry(other.id) == other)
  }

  @Test func aCommitIsWholeOrNothing() throws {
    let home = TemporaryHome()
    var writer = Writer(seed: 1)
    let store = try home.open()
    let first = try writer.other(name: "first")
    let second = try writer.other(name: "second")
    #expect(throws: StorageError.self) {
      try store.commit([
        .value(name: "position", bytes: [7]), .append(first), .append(second),
      ])
    }
    #expect(try store.allEntries().isEmpty)
    #expect(try store.value("position") == nil)
    try store.commit([.append(first), .value(name: "position", bytes: [7])])
    #expect(try store.value("position") == [7])
  }

  @Test func idsAreFoundByTheirBeginning() throws {
    let home = TemporaryHome()
    var writer = Writer(seed: 3)
    let store = try home.open()
    let entries = try (0..<200).map { try writer.next(name: "n\($0)") }
    try store.commit(entries.map { .append($0) })
    for entry in entries {
      let text = entry.id.description
      for length in [1, 2, 3, 5, 10, 51, 52] {
        let prefix = String(text.prefix(length))
        let expected = entries.map(\.id).filter { $0.description.hasPrefix(prefix) }.sorted()
        #expect(try store.entries(idPrefix: prefix, limit: 1000).map(\.id) == expected)
      }
    }
    #expect(try store.entries(idPrefix: "1", limit: 10).isEmpty)
    #expect(try store.entries(idPrefix: "A", limit: 10).isEmpty)
    #expect(try store.entries(idPrefix: String(repeating: "a", count: 53), limit: 10).isEmpty)
    #expect(try store.entries(idPrefix: "", limit: 1000).count == 200)
  }

  @Test func valuesAreKeptAndTakenAway() throws {
    let home = TemporaryHome()
    let store = try home.open()
    try store.setValue("round", [1, 2, 3])
    try store.setValue("round", [4])
    try store.setValue("empty", [])
    #expect(try store.value("round") == [4])
    #expect(try store.value("empty") == [])
    #expect(try store.value("missing") == nil)
    #expect(try store.valueNames() == ["empty", "round"])
    try store.setValue("round", nil)
    #expect(try store.value("round") == nil)
  }

  @Test func aReadOnlyStoreReadsBesideAWriterAndWritesNothing() throws {
    let home = TemporaryHome()
    var writer = Writer(seed: 1)
    let store = try home.open()
    let entry = try writer.next()
    try store.append(entry)
    let reader = try home.open(readOnly: true)
    #expect(try reader.allEntries() == [entry])
    #expect(throws: StorageError.readOnly) { try reader.setValue("x", [1]) }
    #expect(throws: StorageError.readOnly) { try reader.writeWork("x", [1]) }
    try store.append(try writer.next())
    #expect(try reader.allEntries().count == 2)
    try store.close()
    #expect(try home.open(readOnly: true).allEntries().count == 2)
  }
}
