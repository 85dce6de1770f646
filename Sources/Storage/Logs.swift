import FoundationEssentials
import GRDB
import Identities

/// One thing that a transaction writes.
public enum Change: Sendable {
  /// An entry of a log. It is no error when the same entry is there already.
  case append(StoredEntry)
  /// A second entry at a place of a log that has another: the proof of equivocation.
  case fork(StoredEntry)
  /// The node's own value under a name; nil takes it away.
  case value(name: String, bytes: [UInt8]?)
}

extension Store {
  /// Writes everything or nothing, durably: what a step signs and the position it leads to go
  /// together, so a crash between the two cannot make a node sign twice.
  ///
  /// Throws ``StorageError/occupied(lab:sequence:)`` for an append where another entry is.
  public func commit(_ changes: [Change]) throws(StorageError) {
    try writing { database in
      for change in changes {
        switch change {
        case .append(let entry): try Self.append(entry, database)
        case .fork(let entry): try Self.insert(entry, into: "forks", database)
        case .value(let name, let bytes): try Self.set(name, bytes, database)
        }
      }
    }
  }

  /// Adds one entry to its log, durably.
  public func append(_ entry: StoredEntry) throws(StorageError) {
    try commit([.append(entry)])
  }

  /// Keeps the other branch of an equivocation.
  public func addFork(_ entry: StoredEntry) throws(StorageError) {
    try commit([.fork(entry)])
  }

  private static func append(_ entry: StoredEntry, _ database: Database) throws {
    let found = try Data.fetchOne(
      database, sql: "SELECT id FROM entries WHERE lab = ? AND sequence = ?",
      arguments: [Data(entry.lab.bytes), Int64(bitPattern: entry.sequence)])
    guard let found else { return try insert(entry, into: "entries", database) }
    guard found == Data(entry.id.bytes) else {
      throw StorageError.occupied(lab: entry.lab.short, sequence: entry.sequence)
    }
  }

  private static func insert(
    _ entry: StoredEntry, into table: String, _ database: Database
  ) throws {
    try database.execute(
      sql: """
        INSERT INTO \(table) (lab, sequence, id, body, signature, received)
        VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
        """,
      arguments: [
        Data(entry.lab.bytes), Int64(bitPattern: entry.sequence), Data(entry.id.bytes),
        Data(entry.body), Data(entry.signature), now(),
      ])
  }

  // MARK: reading

  /// Entries of one log after a sequence, in order, at most `limit`.
  public func entries(
    of lab: LabID, after sequence: UInt64 = 0, limit: Int = .max
  ) throws(StorageError) -> [StoredEntry] {
    try reading { database in
      try Self.fetch(
        database,
        sql: "SELECT \(StoredEntry.columns) FROM entries WHERE lab = ? AND sequence > ? "
          + "ORDER BY sequence LIMIT ?",
        [Data(lab.bytes), Int64(clamping: sequence), Int64(limit)])
    }
  }

  /// Hands every entry of every log to `body`, in the order in which they arrived here.
  public func forEachEntry(_ body: (StoredEntry) throws -> Void) throws {
    try queue.read { database in
      let rows = try Row.fetchCursor(
        database, sql: "SELECT \(StoredEntry.columns) FROM entries ORDER BY arrival")
      while let row = try rows.next() { try body(StoredEntry(row)) }
    }
  }

  /// Every entry of every log, in the order in which they arrived here.
  public func allEntries() throws(StorageError) -> [StoredEntry] {
    try reading { database in
      try Self.fetch(
        database, sql: "SELECT \(StoredEntry.columns) FROM entries ORDER BY arrival", [])
    }
  }

  /// The other branches that were kept, in the order in which they arrived here.
  public func forks() throws(StorageError) -> [StoredEntry] {
    try reading { database in
      try Self.fetch(
        database, sql: "SELECT \(StoredEntry.columns) FROM forks ORDER BY arrival", [])
    }
  }

  /// The entry with an id, among the logs and the forks; nil when there is none.
  public func entry(_ id: ContentID) throws(StorageError) -> StoredEntry? {
    try entries(idPrefix: id.description, limit: 1).first
  }

  /// Entries, forks included, whose id's text begins so, by id, at most `limit`.
  public func entries(idPrefix: String, limit: Int) throws(StorageError) -> [StoredEntry] {
    guard let (low, high) = Self.range(ofPrefix: idPrefix) else { return [] }
    return try reading { database in
      try Self.fetch(
        database,
        sql: """
          SELECT \(StoredEntry.columns) FROM entries WHERE id >= ?1 AND id <= ?2
          UNION ALL
          SELECT \(StoredEntry.columns) FROM forks WHERE id >= ?1 AND id <= ?2
          ORDER BY 3 LIMIT ?3
          """,
        [low, high, Int64(limit)])
    }
  }

  /// The last entry of every log, by lab.
  public func heads() throws(StorageError) -> [LogHead] {
    try reading { database in
      let rows = try Row.fetchAll(
        database,
        // SQLite gives the bare column of the row that has the maximum.
        sql: "SELECT lab, MAX(sequence), id FROM entries GROUP BY lab ORDER BY lab")
      return rows.compactMap { row in
        guard let lab = LabID(bytes: row[0] as Data), let id = ContentID(bytes: row[2] as Data)
        else { return nil }
        return LogHead(lab: lab, sequence: UInt64(bitPattern: row[1] as Int64), entry: id)
      }
    }
  }

  /// Takes a log's entries from a sequence on away, so that they are fetched again.
  public func truncate(_ lab: LabID, from sequence: UInt64) throws(StorageError) {
    try writing { database in
      try database.execute(
        sql: "DELETE FROM entries WHERE lab = ? AND sequence >= ?",
        arguments: [Data(lab.bytes), Int64(clamping: sequence)])
    }
  }

  private static func fetch(
    _ database: Database, sql: String, _ arguments: [any DatabaseValueConvertible]
  ) throws -> [StoredEntry] {
    try Row.fetchAll(database, sql: sql, arguments: StatementArguments(arguments))
      .map(StoredEntry.init)
  }

  /// The lowest and the highest id whose text begins so; nil when no id's does.
  static func range(ofPrefix text: String) -> (low: Data, high: Data)? {
    let length = 52
    guard text.utf8.count <= length else { return nil }
    let missing = length - text.utf8.count
    // The last of 52 characters carries one bit: only `a` and `q` end an id.
    let lows = text + String(repeating: "a", count: missing)
    let highs = text + String(repeating: "7", count: max(0, missing - 1)) + (missing > 0 ? "q" : "")
    guard let low = ContentID(text: lows), let high = ContentID(text: highs) else { return nil }
    return (Data(low.bytes), Data(high.bytes))
  }
}
