import CLinux
import Glibc
import Identities
import Synchronization

/// An object whose blocks are still arriving: the file they are gathered in and which are there.
final class PartialObject: Sendable {
  struct State {
    /// Blocks that are in the file, synced or not.
    var held: BlockBits
    /// Blocks written since the last sync.
    var unsynced: [Int] = []
    var unsyncedBytes = 0
    /// Bytes that the disk has not even been told of.
    var unstartedBytes = 0
    /// Bytes whose bits the database does not have.
    var unrecordedBytes = 0
  }

  let list: ObjectList
  let path: String
  let descriptor: Int32
  let state: Mutex<State>

  /// Opens or makes the file. Blocks that are in it although their bits were not kept, because the
  /// process was killed first, are found by their hashes and not fetched again.
  init(_ row: ObjectRow, home: HomeLayout) throws(StorageError) {
    list = row.list
    path = home.partial(row.list.id.description)
    let folder = String(path[..<path.lastIndex(of: "/")!])
    if !DurableFile.exists(folder) {
      try DurableFile.makeFolder(folder, mode: 0o750)
      try DurableFile.syncFolder(of: folder)
    }
    let isNew = !DurableFile.exists(path)
    descriptor = try DurableFile.open(path, O_RDWR | O_CREAT, mode: 0o640)
    state = Mutex(State(held: isNew ? BlockBits(count: row.list.blocks.count) : row.held))
    if isNew {
      try DurableFile.syncFolder(of: path)
    } else {
      try recover()
    }
  }

  deinit { close(descriptor) }

  private func recover() throws(StorageError) {
    let size = try DurableFile.size(of: descriptor, path: path)
    for index in state.withLock({ $0.held.missing }) {
      let count = list.byteCount(of: index)
      guard list.offset(of: index) + count <= size else { break }
      guard let bytes = try? read(index), ContentID(of: bytes, kind: .block) == list.blocks[index]
      else { continue }
      state.withLock {
        $0.held[index] = true
        $0.unsynced.append(index)
        $0.unsyncedBytes += count
        $0.unrecordedBytes += count
      }
    }
  }

  func read(_ index: Int) throws(StorageError) -> [UInt8] {
    try DurableFile.read(
      descriptor, at: list.offset(of: index), count: list.byteCount(of: index), path: path)
  }

  /// Puts a verified block in its place; says how many bytes wait for a sync.
  func write(_ index: Int, _ bytes: UnsafeRawBufferPointer) throws(StorageError) -> Int {
    try DurableFile.writeAll(bytes, to: descriptor, at: list.offset(of: index), path: path)
    let (unsynced, isStarting) = state.withLock { state in
      if !state.held[index] {
        state.held[index] = true
        state.unsynced.append(index)
        state.unsyncedBytes += bytes.count
        state.unstartedBytes += bytes.count
        state.unrecordedBytes += bytes.count
      }
      let isStarting = state.unstartedBytes >= Self.startedBytes
      if isStarting { state.unstartedBytes = 0 }
      return (state.unsyncedBytes, isStarting)
    }
    // The disk works while more arrives.
    if isStarting { hanse_begin_writing(descriptor) }
    return unsynced
  }

  /// Bytes after which the disk begins to write them.
  static let startedBytes = 2 << 20

  /// Makes what was written durable and gives the bits that may be kept.
  ///
  /// When the sync fails the blocks written since the last one count as missing: the kernel may
  /// have dropped them and would call the next sync a success.
  func sync() throws(StorageError) -> BlockBits {
    let waiting = state.withLock { $0.unsynced }
    guard !waiting.isEmpty else { return state.withLock { $0.held } }
    let failed = fdatasync(descriptor) != 0
    let error = StorageError.last("sync", path)
    let held = state.withLock { state in
      if failed { for index in waiting { state.held[index] = false } }
      state.unsynced.removeAll { waiting.contains($0) }
      state.unsyncedBytes = state.unsynced.reduce(0) { $0 + list.byteCount(of: $1) }
      return state.held
    }
    if failed { throw error }
    return held
  }

  /// Notes that the database has the bits; what is written meanwhile is counted anew.
  func recorded() { state.withLock { $0.unrecordedBytes = 0 } }

  var unrecordedBytes: Int { state.withLock { $0.unrecordedBytes } }

  var missing: [Int] { state.withLock { $0.held.missing } }

  var isFull: Bool { state.withLock { $0.held.isFull } }
}
