import FoundationEssentials
import GRDB
import Glibc
import Identities

/// What a crash can leave between two steps, put in order when the store is opened.
extension Store {
  func reconcile() throws(StorageError) {
    try removeSiblings()
    let rows = try reading { database in
      try Row.fetchAll(database, sql: "SELECT \(ObjectRow.columns) FROM objects")
        .map(ObjectRow.init)
    }
    for row in rows { try reconcile(row) }
    try removeOrphans(known: Set(rows.map { $0.list.id.description }))
  }

  /// Files that were being written when the process ended.
  private func removeSiblings() throws(StorageError) {
    for folder in [home.path, home.identity, home.snapshots, home.work] + (try objectFolders()) {
      for name in try DurableFile.names(in: folder)
      where name.contains(DurableFile.siblingMark) { unlink(folder + "/" + name) }
    }
  }

  private func objectFolders() throws(StorageError) -> [String] {
    try DurableFile.names(in: home.objects).map { home.objects + "/" + $0 }
  }

  private func reconcile(_ row: ObjectRow) throws(StorageError) {
    let id = row.list.id
    let isThere = DurableFile.exists(home.object(id.description))
    switch (row.complete, isThere) {
    case (true, false):
      // Somebody took the file away: it is asked for again.
      try mark(row, complete: false)
    case (false, true):
      // The file got its name, then the process ended before the database heard of it.
      let isWhole = hashes(home.object(id.description), row.list)
      unlink(isWhole ? home.partial(id.description) : home.object(id.description))
      try mark(row, complete: isWhole)
    default: break
    }
  }

  private func mark(_ row: ObjectRow, complete: Bool) throws(StorageError) {
    let held = BlockBits(count: row.list.blocks.count)
    try writing { try ObjectRow.update(row.list.id, held: held, complete: complete, $0) }
  }

  /// Whether a file is exactly what a list says.
  func hashes(_ path: String, _ list: ObjectList) -> Bool {
    damagedBlocks(path, list)?.isEmpty ?? false
  }

  /// The blocks of a file that do not hash to what the list says; nil when its size is another.
  func damagedBlocks(_ path: String, _ list: ObjectList) -> [Int]? {
    guard let descriptor = try? DurableFile.open(path, O_RDONLY) else { return nil }
    defer { Glibc.close(descriptor) }
    guard let size = try? DurableFile.size(of: descriptor, path: path), UInt64(size) == list.size
    else { return nil }
    return list.blocks.indices.filter { index in
      let bytes = try? DurableFile.read(
        descriptor, at: list.offset(of: index), count: list.byteCount(of: index), path: path)
      return bytes.map { ContentID(of: $0, kind: .block) } != list.blocks[index]
    }
  }

  /// Object files that no row names: written just before the process ended.
  private func removeOrphans(known: Set<String>) throws(StorageError) {
    for folder in try objectFolders() {
      for name in try DurableFile.names(in: folder) {
        let id = name.hasSuffix(".partial") ? String(name.dropLast(8)) : name
        if !known.contains(id) { unlink(folder + "/" + name) }
      }
    }
  }
}
