import FoundationEssentials
import GRDB
import Identities

/// What an object is made of: its size and the hash of every block, as plain values.
public struct ObjectList: Sendable, Hashable {
  /// The object's name: content id of its canonical block list, which the caller has checked.
  public var id: ContentID
  /// Bytes in all.
  public var size: UInt64
  /// Bytes of every block but the last, which may be shorter.
  public var blockSize: Int
  /// Content ids, kind block, in order.
  public var blocks: [ContentID]

  /// Bytes of a block unless the protocol says otherwise.
  public static let defaultBlockSize = 256 << 10

  /// A list from its parts.
  public init(
    id: ContentID, size: UInt64, blockSize: Int = defaultBlockSize, blocks: [ContentID]
  ) {
    self.id = id
    self.size = size
    self.blockSize = blockSize
    self.blocks = blocks
  }

  /// Bytes of the block at `index`.
  public func byteCount(of index: Int) -> Int {
    index < blocks.count - 1 ? blockSize : Int(size) - blockSize * (blocks.count - 1)
  }

  func offset(of index: Int) -> Int { index * blockSize }

  /// Throws unless the number of blocks is the one that the size asks for.
  func validate() throws(StorageError) {
    func refuse(_ reason: String) -> StorageError { .badList(object: id.short, reason: reason) }
    guard (1...(16 << 20)).contains(blockSize) else {
      throw refuse("blocks of \(blockSize) bytes, not 1 to 16 MiB")
    }
    guard size > 0, size <= 1 << 44 else { throw refuse("\(size) bytes, not 1 to 16 TiB") }
    let needed = (Int(size) + blockSize - 1) / blockSize
    guard blocks.count == needed else {
      throw refuse("\(blocks.count) blocks for \(size) bytes, which are \(needed)")
    }
  }
}

/// One bit a block, lowest bit first.
struct BlockBits: Sendable, Equatable {
  private(set) var bytes: [UInt8]
  let count: Int

  init(count: Int) {
    self.count = count
    bytes = [UInt8](repeating: 0, count: (count + 7) / 8)
  }

  /// Bits as they were stored; wrong lengths give none set.
  init(count: Int, stored: Data) {
    self.init(count: count)
    if stored.count == bytes.count { bytes = [UInt8](stored) }
  }

  subscript(index: Int) -> Bool {
    get { bytes[index / 8] >> UInt8(index % 8) & 1 == 1 }
    set {
      if newValue {
        bytes[index / 8] |= 1 << UInt8(index % 8)
      } else {
        bytes[index / 8] &= ~(1 << UInt8(index % 8))
      }
    }
  }

  var missing: [Int] { (0..<count).filter { !self[$0] } }

  var isFull: Bool { (0..<count).allSatisfy { self[$0] } }
}

/// A row of the table of objects.
struct ObjectRow {
  var list: ObjectList
  var held: BlockBits
  var complete: Bool

  static let columns = "id, size, block_size, blocks, held, complete"

  init(_ row: Row) throws {
    let hashes = [UInt8](row[3] as Data)
    guard let id = ContentID(bytes: row[0] as Data), hashes.count % ContentID.byteCount == 0 else {
      throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "an object's list is damaged")
    }
    let blocks = stride(from: 0, to: hashes.count, by: ContentID.byteCount).compactMap {
      ContentID(bytes: hashes[$0..<$0 + ContentID.byteCount])
    }
    list = ObjectList(
      id: id, size: UInt64(bitPattern: row[1] as Int64), blockSize: Int(row[2] as Int64),
      blocks: blocks)
    held = BlockBits(count: blocks.count, stored: row[4] as Data)
    complete = row[5] as Bool
  }

  static func insert(
    _ list: ObjectList, held: BlockBits, complete: Bool, _ database: Database
  ) throws {
    try database.execute(
      sql: """
        INSERT INTO objects (id, size, block_size, blocks, held, complete, begun)
        VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE
        SET held = excluded.held, complete = excluded.complete
        """,
      arguments: [
        Data(list.id.bytes), Int64(clamping: list.size), Int64(list.blockSize),
        Data(list.blocks.flatMap(\.bytes)), Data(held.bytes), complete, Store.now(),
      ])
  }

  static func update(
    _ id: ContentID, held: BlockBits, complete: Bool, _ database: Database
  ) throws {
    try database.execute(
      sql: "UPDATE objects SET held = ?, complete = ? WHERE id = ?",
      arguments: [Data(held.bytes), complete, Data(id.bytes)])
  }
}
