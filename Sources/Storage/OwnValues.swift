import FoundationEssentials
import GRDB
import Identities

/// The node's own position: small values in the database, large ones as checked files in `work`.
extension Store {
  /// The value under a name; nil when there is none. Throws when the disk gave back other bytes.
  public func value(_ name: String) throws(StorageError) -> [UInt8]? {
    let row = try reading { database in
      try Row.fetchOne(
        database, sql: "SELECT value, sum FROM own_values WHERE name = ?", arguments: [name])
    }
    guard let row else { return nil }
    let bytes = [UInt8](row[0] as Data)
    guard Self.sum(name, bytes) == row[1] as Data else {
      throw .damaged(path: home.database, reason: "the value \(name)")
    }
    return bytes
  }

  /// The names that have a value, sorted.
  public func valueNames() throws(StorageError) -> [String] {
    try reading { try String.fetchAll($0, sql: "SELECT name FROM own_values ORDER BY name") }
  }

  /// Sets a value durably; nil takes it away.
  public func setValue(_ name: String, _ bytes: [UInt8]?) throws(StorageError) {
    try commit([.value(name: name, bytes: bytes)])
  }

  static func set(_ name: String, _ bytes: [UInt8]?, _ database: Database) throws {
    guard let bytes else {
      return try database.execute(
        sql: "DELETE FROM own_values WHERE name = ?", arguments: [name])
    }
    try database.execute(
      sql: """
        INSERT INTO own_values (name, value, sum) VALUES (?, ?, ?)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value, sum = excluded.sum
        """,
      arguments: [name, Data(bytes), sum(name, bytes)])
  }

  /// The name goes into the sum too: a value under another's name is no less damaged.
  private static func sum(_ name: String, _ bytes: [UInt8]) -> Data {
    Data(ContentID(of: Array("\(name)\0".utf8) + bytes, kind: .file).bytes.prefix(8))
  }

  // MARK: checked files

  /// Writes a large own value, such as an error-feedback buffer, as a file that knows its hash.
  ///
  /// - Parameter produce: calls its argument with one piece after the other.
  public func writeWork(
    _ name: String, _ produce: (_ append: (UnsafeRawBufferPointer) -> Void) -> Void
  ) throws(StorageError) {
    if readOnly { throw .readOnly }
    try CheckedFile.write(to: try workPath(name), produce)
  }

  /// What `body` makes of such a file; nil when there is none. Throws
  /// ``StorageError/damaged(path:reason:)`` when it is not what was written.
  public func readWork<Value>(
    _ name: String, _ body: (inout CheckedReader) throws -> Value
  ) throws -> Value? {
    try CheckedFile.read(try workPath(name), body)
  }

  /// The names of the files that were written so, sorted.
  public func workNames() throws(StorageError) -> [String] {
    try DurableFile.names(in: home.work).filter { $0.hasSuffix(CheckedFile.suffix) }
      .map { String($0.dropLast(CheckedFile.suffix.utf8.count)) }
  }

  /// Takes such a file away; it is no error when there is none.
  public func removeWork(_ name: String) throws(StorageError) {
    if readOnly { throw .readOnly }
    try CheckedFile.remove(try workPath(name))
  }

  func workPath(_ name: String) throws(StorageError) -> String {
    let allowed = name.utf8.allSatisfy {
      ($0 >= 97 && $0 <= 122) || ($0 >= 48 && $0 <= 57) || $0 == 45 || $0 == 95
    }
    guard allowed, !name.isEmpty, name.utf8.count <= 100 else {
      throw .badName(name: name, reason: "not lower-case letters, digits, - and _")
    }
    return home.work + "/" + name + CheckedFile.suffix
  }
}
