import Glibc
import Identities

/// A file that ends with the hash of what comes before, so that reading notices a flipped bit.
enum CheckedFile {
  static let suffix = ".checked"
  /// The largest one: a state of the fold of a large adapter is some gigabytes at most.
  static let limit = 16 << 30

  static func write(_ bytes: [UInt8], to path: String) throws(StorageError) {
    try write(to: path) { append in bytes.withUnsafeBytes(append) }
  }

  /// Writes the pieces that `produce` calls its argument with, and their hash.
  static func write(
    to path: String, _ produce: (_ append: (UnsafeRawBufferPointer) -> Void) -> Void
  ) throws(StorageError) {
    try DurableFile.write(to: path) { append in
      var hasher = ContentHasher(kind: .file)
      withoutActuallyEscaping(append) { append in
        produce { piece in
          hasher.update(piece)
          append(piece)
        }
      }
      hasher.finish().bytes.withUnsafeBytes(append)
    }
  }

  static func read(_ path: String) throws(StorageError) -> [UInt8]? {
    guard var reader = try CheckedReader.open(path) else { return nil }
    var bytes: [UInt8] = []
    // All empty arrays share their storage, and filling in the count would write to it.
    if reader.byteCount > 0 {
      bytes = [UInt8](unsafeUninitializedCapacity: reader.byteCount) { buffer, filled in
        if reader.fill(UnsafeMutableRawBufferPointer(buffer)) { filled = buffer.count }
      }
    }
    try reader.finish()
    return bytes
  }

  /// What `body` makes of a file; nil when there is none. That the file is damaged is thrown before
  /// what `body` throws: the one explains the other.
  static func read<Value>(
    _ path: String, _ body: (inout CheckedReader) throws -> Value
  ) throws -> Value? {
    guard var reader = try CheckedReader.open(path) else { return nil }
    let outcome = Result { try body(&reader) }
    try reader.finish()
    return try outcome.get()
  }

  /// Throws when a file is there and damaged.
  static func check(_ path: String) throws(StorageError) {
    guard var reader = try CheckedReader.open(path) else { return }
    try reader.finish()
  }

  static func remove(_ path: String) throws(StorageError) {
    guard unlink(path) == 0 || errno == ENOENT else { throw .last("remove", path) }
    try DurableFile.syncFolder(of: path)
  }
}

/// The bytes of a checked file from front to back, as they are asked for.
public struct CheckedReader: ~Copyable {
  private static let pieceByteCount = 1 << 20

  /// How many bytes there are, the hash behind them not counted.
  public let byteCount: Int
  private let path: String
  private let descriptor: Int32
  private var offset = 0
  private var hasher: ContentHasher? = ContentHasher(kind: .file)
  private var failure: StorageError?

  private init(path: String, descriptor: Int32, byteCount: Int) {
    self.path = path
    self.descriptor = descriptor
    self.byteCount = byteCount
  }

  /// Opens a file; nil when there is none.
  static func open(_ path: String) throws(StorageError) -> CheckedReader? {
    guard DurableFile.exists(path) else { return nil }
    let descriptor = try DurableFile.open(path, O_RDONLY)
    do throws(StorageError) {
      let size = try DurableFile.size(of: descriptor, path: path)
      guard size <= CheckedFile.limit else {
        throw .damaged(
          path: path, reason: "\(size) bytes, more than the \(CheckedFile.limit) it may have")
      }
      guard size >= ContentID.byteCount else {
        throw .damaged(path: path, reason: "it ends early")
      }
      return CheckedReader(
        path: path, descriptor: descriptor, byteCount: size - ContentID.byteCount)
    } catch {
      close(descriptor)
      throw error
    }
  }

  deinit { close(descriptor) }

  /// Fills the buffer with the next bytes; false when there are not so many, or none can be read.
  public mutating func fill(_ buffer: UnsafeMutableRawBufferPointer) -> Bool {
    guard failure == nil, buffer.count <= byteCount - offset else { return false }
    do throws(StorageError) {
      try DurableFile.readAll(buffer, from: descriptor, at: offset, path: path)
    } catch {
      failure = error
      return false
    }
    hasher?.update(UnsafeRawBufferPointer(buffer))
    offset += buffer.count
    return true
  }

  /// Reads what has not been asked for. Throws unless all bytes are those that were written.
  mutating func finish() throws(StorageError) {
    withUnsafeTemporaryAllocation(byteCount: Self.pieceByteCount, alignment: 1) { piece in
      while offset < byteCount {
        let count = min(piece.count, byteCount - offset)
        guard fill(UnsafeMutableRawBufferPointer(rebasing: piece[..<count])) else { return }
      }
    }
    if let failure { throw failure }
    let sum = try DurableFile.read(
      descriptor, at: byteCount, count: ContentID.byteCount, path: path)
    guard hasher.take()?.finish().bytes == sum else {
      throw .damaged(path: path, reason: "its hash is another than the one written with it")
    }
  }
}

/// States of the fold by root. They can all be made again from the logs; keeping a few saves time.
extension Store {
  /// Writes the state with a root, durably; it is no error when it is there.
  ///
  /// - Parameter produce: calls its argument with one piece after the other.
  public func writeSnapshot(
    _ root: ContentID, _ produce: (_ append: (UnsafeRawBufferPointer) -> Void) -> Void
  ) throws(StorageError) {
    if readOnly { throw .readOnly }
    let path = home.snapshot(root.description)
    if !DurableFile.exists(path) { try CheckedFile.write(to: path, produce) }
  }

  /// Writes the state with a root over whatever is there under its name.
  public func replaceSnapshot(_ root: ContentID, _ bytes: [UInt8]) throws(StorageError) {
    if readOnly { throw .readOnly }
    try CheckedFile.write(bytes, to: home.snapshot(root.description))
  }

  /// The state with a root; nil when it is not kept. Throws when the file is damaged.
  public func readSnapshot(_ root: ContentID) throws(StorageError) -> [UInt8]? {
    try CheckedFile.read(home.snapshot(root.description))
  }

  /// What `body` makes of the state with a root, without all its bytes in memory; nil when it is
  /// not kept. Throws when the file is damaged, whatever `body` made of it, and what `body` throws.
  public func readSnapshot<Value>(
    _ root: ContentID, _ body: (inout CheckedReader) throws -> Value
  ) throws -> Value? {
    try CheckedFile.read(home.snapshot(root.description), body)
  }

  /// The roots that are kept, sorted.
  public func snapshots() throws(StorageError) -> [ContentID] {
    try DurableFile.names(in: home.snapshots).compactMap { ContentID(text: $0) }.sorted()
  }

  /// Takes away every state but those named.
  public func pruneSnapshots(keeping roots: Set<ContentID>) throws(StorageError) {
    if readOnly { throw .readOnly }
    for root in try snapshots() where !roots.contains(root) {
      try CheckedFile.remove(home.snapshot(root.description))
    }
  }
}
