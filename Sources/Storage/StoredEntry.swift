import FoundationEssentials
import GRDB
import Identities
import Records

/// A log entry as it is kept: the bytes that were signed, the signature, and where it belongs.
///
/// The store does not verify; whoever appends has. `check` looks again at what the disk gave back.
public struct StoredEntry: Sendable, Hashable {
  /// Whose log.
  public var lab: LabID
  /// Its place in the log: 1, 2, 3, …
  public var sequence: UInt64
  /// Content id of `body`, kind entry.
  public var id: ContentID
  /// The signed bytes, as carried.
  public var body: [UInt8]
  /// 64 bytes.
  public var signature: [UInt8]

  /// An entry to keep.
  public init(
    lab: LabID, sequence: UInt64, id: ContentID, body: [UInt8], signature: [UInt8]
  ) {
    self.lab = lab
    self.sequence = sequence
    self.id = id
    self.body = body
    self.signature = signature
  }

  /// What is kept of a verified entry.
  public init(_ entry: Entry) {
    self.init(
      lab: entry.lab, sequence: entry.sequence, id: entry.id, body: entry.body,
      signature: entry.signature)
  }

  /// The entry, read again from its bytes.
  public func entry() throws(Records.RecordError) -> Entry {
    try Entry(body: body, signature: signature)
  }

  static let columns = "lab, sequence, id, body, signature"

  init(_ row: Row) throws {
    guard let lab = LabID(bytes: row[0] as Data), let id = ContentID(bytes: row[2] as Data) else {
      throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "an entry's lab or id is damaged")
    }
    self.init(
      lab: lab, sequence: UInt64(bitPattern: row[1] as Int64), id: id,
      body: [UInt8](row[3] as Data),
      signature: [UInt8](row[4] as Data))
  }
}

/// The last entry of a lab's log.
public struct LogHead: Sendable, Hashable {
  /// Whose log.
  public var lab: LabID
  /// How many entries it has.
  public var sequence: UInt64
  /// The last one's id.
  public var entry: ContentID
}
