import Glibc
import Identities

/// A file that ends with the hash of what comes before, so that reading notices a flipped bit.
enum CheckedFile {
  static let suffix = ".checked"
  /// The largest one: a state of the fold of a large adapter is some gigabytes at most.
  static let limit = 16 << 30

  static func write(_ bytes: [UInt8], to path: String) throws(StorageError) {
    let sum = ContentID(of: bytes, kind: .file).bytes
    try bytes.withUnsafeBytesTyped { content throws(StorageError) in
      try sum.withUnsafeBytesTyped { trailer throws(StorageError) in
        try DurableFile.write([content, trailer], to: path)
      }
    }
  }

  static func read(_ path: String) throws(StorageError) -> [UInt8]? {
    guard DurableFile.exists(path) else { return nil }
    var bytes = try DurableFile.read(path, limit: limit)
    guard bytes.count >= ContentID.byteCount else {
      throw .damaged(path: path, reason: "it ends early")
    }
    let sum = Array(bytes.suffix(ContentID.byteCount))
    bytes.removeLast(ContentID.byteCount)
    guard ContentID(of: bytes, kind: .file).bytes == sum else {
      throw .damaged(path: path, reason: "its hash is another than the one written with it")
    }
    return bytes
  }

  static func remove(_ path: String) throws(StorageError) {
    guard unlink(path) == 0 || errno == ENOENT else { throw .last("remove", path) }
    try DurableFile.syncFolder(of: path)
  }
}

/// States of the fold by root. They can all be made again from the logs; keeping a few saves time.
extension Store {
  /// Writes the state with a root, durably; it is no error when it is there.
  public func writeSnapshot(_ root: ContentID, _ bytes: [UInt8]) throws(StorageError) {
    if readOnly { throw .readOnly }
    let path = home.snapshot(root.description)
    if !DurableFile.exists(path) { try CheckedFile.write(bytes, to: path) }
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
