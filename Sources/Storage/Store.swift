import FoundationEssentials
import GRDB
import Glibc
import Identities
import Synchronization

/// What a node keeps: logs, payloads, states of the fold and its own position, under one home.
///
/// Every call blocks until it is done, and what it wrote is durable when it returns; call it from
/// an executor of its own, never from an event loop. One connection does all writing and every
/// checkpoint, which is also what keeps clear of the WAL-reset fault of SQLite before 3.51.3.
/// See Protocol/Storage.md.
public final class Store: Sendable {
  /// Where everything lies.
  public let home: HomeLayout
  /// Whether writing is refused.
  public let readOnly: Bool

  let queue: DatabaseQueue
  private let lock: Mutex<HomeLock?>
  private let stopped = Mutex(false)
  let partials = Mutex<[ContentID: PartialObject]>([:])

  /// Opens a home's store, making the folders and the database when they are not there yet.
  ///
  /// Throws ``StorageError/locked(path:holder:)`` when another process writes there. A read-only
  /// store takes no lock, changes nothing, and may be opened while a daemon runs.
  public convenience init(home: HomeLayout, readOnly: Bool = false) throws(StorageError) {
    try self.init(home: home, readOnly: readOnly, prepare: { _ in })
  }

  init(
    home: HomeLayout, readOnly: Bool, prepare: @escaping @Sendable (Database) throws -> Void
  ) throws(StorageError) {
    self.home = home
    self.readOnly = readOnly
    if readOnly {
      guard DurableFile.exists(home.database) || home.isHome else {
        throw home.absence
      }
      lock = Mutex(nil)
    } else {
      try DurableFile.makeFolder(home.path, mode: 0o750)
      lock = Mutex(try HomeLock(home))
      for folder in [home.objects, home.snapshots, home.work] {
        try DurableFile.makeFolder(folder, mode: 0o750)
      }
    }
    queue = try Self.open(home, readOnly: readOnly, prepare: prepare)
    if !readOnly { try reconcile() }
  }

  /// The process that writes to a home just now; nil when none does.
  public static func holder(of home: HomeLayout) -> Int32? { HomeLock.holder(of: home) }

  private static func open(
    _ home: HomeLayout, readOnly: Bool, prepare: @escaping @Sendable (Database) throws -> Void
  ) throws(StorageError) -> DatabaseQueue {
    var configuration = Configuration()
    configuration.readonly = readOnly
    configuration.label = "hanse.storage"
    configuration.busyMode = .timeout(5)
    if !readOnly { configuration.journalMode = .wal }
    configuration.prepareDatabase { try prepare($0) }
    return try translate(home.database) {
      if readOnly && !DurableFile.exists(home.database) {
        // A home whose daemon has not run yet: nothing is known, and nothing is made here.
        let empty = try DatabaseQueue()
        try Schema.migrator.migrate(empty)
        return empty
      }
      let queue: DatabaseQueue
      do {
        queue = try DatabaseQueue(path: home.database, configuration: configuration)
      } catch let error as DatabaseError
        where readOnly && error.resultCode == .SQLITE_CANTOPEN && access(home.path, W_OK) != 0
      {
        // SQLite makes files beside a database even to read it. Where it cannot, a copy is read.
        queue = try openCopy(home, configuration)
      }
      if !readOnly {
        // Now, since GRDB's way into WAL mode ends with `synchronous = NORMAL`, by which a commit
        // may be lost with the power.
        try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA synchronous = FULL") }
      }
      let newer = try queue.read { try Schema.migrator.hasBeenSuperseded($0) }
      if newer { throw StorageError.newerFormat(path: home.database) }
      if !readOnly { try Schema.migrator.migrate(queue) }
      return queue
    }
  }

  private static func openCopy(
    _ home: HomeLayout, _ configuration: Configuration
  ) throws -> DatabaseQueue {
    let folder = FileManager.default.temporaryDirectory.appending(
      path: "hanse-copy-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    // The open files outlive their names.
    defer { try? FileManager.default.removeItem(at: folder) }
    let copy = folder.appending(path: "hanse.sqlite").path
    for suffix in ["", "-wal"] where DurableFile.exists(home.database + suffix) {
      try FileManager.default.copyItem(atPath: home.database + suffix, toPath: copy + suffix)
    }
    let queue = try DatabaseQueue(path: copy, configuration: configuration)
    _ = try queue.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM sqlite_master") }
    return queue
  }

  /// Ends the store: folds the write-ahead log into the database and frees the home. Later calls
  /// throw.
  public func close() throws(StorageError) {
    for partial in partials.withLock({ Array($0.values) }) { try save(partial) }
    try Self.translate(home.database) { try queue.close() }
    lock.withLock { $0 = nil }
  }

  // MARK: the database's calls

  func reading<Result>(
    _ body: (Database) throws -> Result
  ) throws(StorageError) -> Result {
    try Self.translate(home.database) { try queue.read(body) }
  }

  /// One transaction, durable on return.
  func writing<Result>(
    _ body: (Database) throws -> Result
  ) throws(StorageError) -> Result {
    if readOnly { throw .readOnly }
    if stopped.withLock({ $0 }) { throw .stopped(path: home.database) }
    do {
      return try queue.write(body)
    } catch let error as DatabaseError where error.resultCode == .SQLITE_IOERR {
      // What reached the disk is unknown now: only opening again reads it back.
      stopped.withLock { $0 = true }
      throw Self.translated(error, home.database)
    } catch {
      throw Self.translated(error, home.database)
    }
  }

  private static func translate<Result>(
    _ path: String, _ body: () throws -> Result
  ) throws(StorageError) -> Result {
    do {
      return try body()
    } catch {
      throw translated(error, path)
    }
  }

  private static func translated(_ error: any Error, _ path: String) -> StorageError {
    if let error = error as? StorageError { return error }
    guard let error = error as? DatabaseError else {
      return .database(path: path, message: "\(error)")
    }
    switch error.resultCode {
    case .SQLITE_FULL: return .full(path: path)
    case .SQLITE_CORRUPT, .SQLITE_NOTADB:
      return .damaged(path: path, reason: error.message ?? "not a database")
    default: return .database(path: path, message: error.message ?? "SQLite \(error.resultCode)")
    }
  }

  /// Whether a commit waits for the disk, as SQLite itself says.
  package func syncsCommits() throws(StorageError) -> Bool {
    try reading { try Int.fetchOne($0, sql: "PRAGMA synchronous") == 2 }
  }

  // MARK: size

  /// Bytes on disk of everything that belongs to the home.
  public func diskBytes() throws(StorageError) -> UInt64 {
    try Self.bytes(under: home.path)
  }

  private static func bytes(under path: String) throws(StorageError) -> UInt64 {
    var status = stat()
    guard lstat(path, &status) == 0 else { return 0 }
    var total = UInt64(max(0, status.st_blocks)) * 512
    guard status.st_mode & S_IFMT == S_IFDIR else { return total }
    for name in try DurableFile.names(in: path) { total += try bytes(under: path + "/" + name) }
    return total
  }

  /// Bytes still free for this home, as the file system says.
  public func freeBytes() throws(StorageError) -> UInt64 {
    var status = statvfs()
    guard statvfs(home.path, &status) == 0 else { throw .last("look at", home.path) }
    return UInt64(status.f_bavail) * UInt64(status.f_frsize)
  }

  /// Seconds since 1970, for the columns that only people read.
  static func now() -> Int64 { Int64(time(nil)) }
}
