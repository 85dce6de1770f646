import FoundationEssentials
import GRDB
import Glibc
import Identities
import Synchronization

/// What the store knows of an object.
public struct ObjectStatus: Sendable, Hashable {
  /// What it is made of.
  public var list: ObjectList
  /// Blocks that are not here, in order; empty when it is complete.
  public var missing: [Int]
  /// Where its bytes lie, once it is complete.
  public var path: String?
}

/// Payloads, gathered block by block, each verified before it is kept and again when it is read.
extension Store {
  /// Bytes that may be lost to a power cut while an object arrives.
  static let unsyncedLimit = 8 << 20
  /// Bytes that may have to be hashed again after any cut, since the database was not told of them.
  static let unrecordedLimit = 64 << 20

  /// Makes room for an object; what is there of it already stays. Says what is missing.
  @discardableResult
  public func beginObject(_ list: ObjectList) throws(StorageError) -> ObjectStatus {
    try list.validate()
    if let status = try object(list.id) { return status }
    let none = BlockBits(count: list.blocks.count)
    try writing { try ObjectRow.insert(list, held: none, complete: false, $0) }
    return ObjectStatus(list: list, missing: Array(0..<list.blocks.count))
  }

  /// What is here of an object; nil when it was never begun.
  public func object(_ id: ContentID) throws(StorageError) -> ObjectStatus? {
    guard let row = try row(id) else { return nil }
    if row.complete {
      return ObjectStatus(list: row.list, missing: [], path: home.object(id.description))
    }
    if readOnly { return ObjectStatus(list: row.list, missing: row.held.missing) }
    let partial = try partial(row)
    guard partial.missing.isEmpty else {
      return ObjectStatus(list: row.list, missing: partial.missing)
    }
    // The process was killed between the last block and the name: nothing else would give it one,
    // and whoever is told that nothing is missing expects to read it.
    try complete(partial)
    return ObjectStatus(list: row.list, missing: [], path: home.object(id.description))
  }

  /// Every object that was begun, by id.
  public func objects() throws(StorageError) -> [ContentID] {
    try reading { try Data.fetchAll($0, sql: "SELECT id FROM objects ORDER BY id") }
      .compactMap { ContentID(bytes: $0) }
  }

  /// Keeps a block. Returns whether the object is complete, which is then durable under its name.
  ///
  /// Throws ``StorageError/wrongBlock(object:index:reason:)`` for a block that does not hash to
  /// what the list says; nothing of it is kept.
  public func storeBlock(
    _ index: Int, of id: ContentID, _ bytes: [UInt8]
  ) throws(StorageError) -> Bool {
    try bytes.withUnsafeBytesTyped { buffer throws(StorageError) in
      try storeBlock(index, of: id, buffer)
    }
  }

  /// Keeps a block that lies anywhere, as the call for an array does.
  public func storeBlock(
    _ index: Int, of id: ContentID, _ bytes: UnsafeRawBufferPointer
  ) throws(StorageError) -> Bool {
    if readOnly { throw .readOnly }
    let partial: PartialObject
    if let open = partials.withLock({ $0[id] }) {
      partial = open
    } else {
      guard let row = try row(id) else { throw .unknownObject(id: id.short) }
      if row.complete { return true }
      partial = try self.partial(row)
    }
    try Self.verify(bytes, index, partial.list)
    let waiting = try partial.write(index, bytes)
    if partial.isFull {
      try complete(partial)
      return true
    }
    if partial.unrecordedBytes >= Self.unrecordedLimit {
      try save(partial)
    } else if waiting >= Self.unsyncedLimit {
      _ = try partial.sync()
    }
    return false
  }

  /// Keeps a whole object at once, durably. Throws when its bytes are not the list's.
  public func addObject(_ list: ObjectList, _ bytes: [UInt8]) throws(StorageError) {
    if readOnly { throw .readOnly }
    try list.validate()
    if try row(list.id)?.complete == true { return }
    guard UInt64(bytes.count) == list.size else {
      throw .badList(object: list.id.short, reason: "\(bytes.count) bytes for \(list.size)")
    }
    for index in list.blocks.indices {
      let start = list.offset(of: index)
      let end = start + list.byteCount(of: index)
      try bytes.withUnsafeBytesTyped { buffer throws(StorageError) in
        try Self.verify(UnsafeRawBufferPointer(rebasing: buffer[start..<end]), index, list)
      }
    }
    let path = home.object(list.id.description)
    let folder = String(path[..<path.lastIndex(of: "/")!])
    if !DurableFile.exists(folder) {
      try DurableFile.makeFolder(folder, mode: 0o750)
      try DurableFile.syncFolder(of: folder)
    }
    try DurableFile.write(bytes, to: path, mode: 0o640)
    try forget(list.id)
    try writing {
      try ObjectRow.insert(
        list, held: BlockBits(count: list.blocks.count), complete: true, $0)
    }
  }

  /// A block's bytes, verified; nil when it is not here.
  public func readBlock(_ index: Int, of id: ContentID) throws(StorageError) -> [UInt8]? {
    if let partial = partials.withLock({ $0[id] }) {
      guard partial.list.blocks.indices.contains(index), !partial.missing.contains(index) else {
        return nil
      }
      return try Self.verified(partial.read(index), index, partial.list, path: partial.path)
    }
    guard let row = try row(id), row.list.blocks.indices.contains(index) else { return nil }
    guard row.complete || row.held[index] else { return nil }
    let path = row.complete ? home.object(id.description) : home.partial(id.description)
    let descriptor = try DurableFile.open(path, O_RDONLY)
    defer { Glibc.close(descriptor) }
    let bytes = try DurableFile.read(
      descriptor, at: row.list.offset(of: index), count: row.list.byteCount(of: index), path: path)
    return try Self.verified(bytes, index, row.list, path: path)
  }

  /// A complete object's bytes, every block verified; nil when it is not complete.
  public func readObject(_ id: ContentID) throws(StorageError) -> [UInt8]? {
    guard let row = try row(id), row.complete else { return nil }
    let path = home.object(id.description)
    let bytes = try DurableFile.read(path, limit: Int(row.list.size))
    guard UInt64(bytes.count) == row.list.size else {
      throw .damaged(path: path, reason: "\(bytes.count) bytes of \(row.list.size)")
    }
    for index in row.list.blocks.indices {
      let start = row.list.offset(of: index)
      let block = Array(bytes[start..<start + row.list.byteCount(of: index)])
      _ = try Self.verified(block, index, row.list, path: path)
    }
    return bytes
  }

  /// Takes an object away, complete or not; it is no error when it is not here.
  public func removeObject(_ id: ContentID) throws(StorageError) {
    if readOnly { throw .readOnly }
    try writing {
      try $0.execute(sql: "DELETE FROM objects WHERE id = ?", arguments: [Data(id.bytes)])
    }
    try forget(id)
    let path = home.object(id.description)
    guard unlink(path) == 0 || errno == ENOENT else { throw .last("remove", path) }
  }

  /// Makes every block that has arrived durable, before a planned stop.
  public func flushObjects() throws(StorageError) {
    for partial in partials.withLock({ Array($0.values) }) { try save(partial) }
  }

  // MARK: within

  func row(_ id: ContentID) throws(StorageError) -> ObjectRow? {
    try reading { database in
      try Row.fetchOne(
        database, sql: "SELECT \(ObjectRow.columns) FROM objects WHERE id = ?",
        arguments: [Data(id.bytes)]
      ).map(ObjectRow.init)
    }
  }

  private func partial(_ row: ObjectRow) throws(StorageError) -> PartialObject {
    if let open = partials.withLock({ $0[row.list.id] }) { return open }
    let partial = try PartialObject(row, home: home)
    return partials.withLock { open in
      if let other = open[row.list.id] { return other }
      open[row.list.id] = partial
      return partial
    }
  }

  /// The bits follow the bytes: first the file is synced, then the database says what it holds.
  func save(_ partial: PartialObject) throws(StorageError) {
    let held = try partial.sync()
    try writing { try ObjectRow.update(partial.list.id, held: held, complete: false, $0) }
    partial.recorded()
  }

  private func complete(_ partial: PartialObject) throws(StorageError) {
    let held = try partial.sync()
    guard held.missing.isEmpty else { return }
    let path = home.object(partial.list.id.description)
    guard rename(partial.path, path) == 0 else { throw .last("rename to", path) }
    try DurableFile.syncFolder(of: path)
    try writing { try ObjectRow.update(partial.list.id, held: held, complete: true, $0) }
    partials.withLock { $0[partial.list.id] = nil }
  }

  private func forget(_ id: ContentID) throws(StorageError) {
    partials.withLock { $0[id] = nil }
    let path = home.partial(id.description)
    guard unlink(path) == 0 || errno == ENOENT else { throw .last("remove", path) }
  }

  private static func verify(
    _ bytes: UnsafeRawBufferPointer, _ index: Int, _ list: ObjectList
  ) throws(StorageError) {
    func refuse(_ reason: String) -> StorageError {
      .wrongBlock(object: list.id.short, index: index, reason: reason)
    }
    guard list.blocks.indices.contains(index) else {
      throw refuse("the object has \(list.blocks.count) blocks")
    }
    guard bytes.count == list.byteCount(of: index) else {
      throw refuse("\(bytes.count) bytes, it has \(list.byteCount(of: index))")
    }
    guard ContentID(of: bytes, kind: .block) == list.blocks[index] else {
      throw refuse("its hash is another than the list's")
    }
  }

  private static func verified(
    _ bytes: [UInt8], _ index: Int, _ list: ObjectList, path: String
  ) throws(StorageError) -> [UInt8] {
    guard ContentID(of: bytes, kind: .block) == list.blocks[index] else {
      throw .damaged(path: path, reason: "block \(index) of object \(list.id.short)")
    }
    return bytes
  }
}
