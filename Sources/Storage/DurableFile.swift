import Glibc

/// Files that are there whole or not at all, even when the power fails between two instructions.
///
/// A file is written under a sibling's name, synced, renamed over, and the folder synced. A failed
/// sync is an error and never tried again: the kernel may have dropped what it could not write.
public enum DurableFile {
  /// Ends the names of files that are being written; such files are left-overs after a crash.
  static let siblingMark = ".new."

  /// Writes a file whole. Throws without touching what was there before.
  public static func write(
    _ bytes: [UInt8], to path: String, mode: UInt32 = 0o644
  ) throws(StorageError) {
    try write(to: path, mode: mode) { append in bytes.withUnsafeBytes(append) }
  }

  /// Writes a file whole from pieces that need not all exist at once.
  ///
  /// - Parameter produce: calls its argument with one piece after the other. Once one could not be
  ///   written, the rest is passed over.
  public static func write(
    to path: String, mode: UInt32 = 0o644,
    _ produce: (_ append: (UnsafeRawBufferPointer) -> Void) -> Void
  ) throws(StorageError) {
    let sibling = path + siblingMark + String(getpid())
    unlink(sibling)
    let descriptor = try open(sibling, O_WRONLY | O_CREAT | O_EXCL, mode: mode)
    do throws(StorageError) {
      var offset = 0
      var failure: StorageError?
      produce { piece in
        guard failure == nil else { return }
        do throws(StorageError) {
          try writeAll(piece, to: descriptor, at: offset, path: path)
          offset += piece.count
        } catch {
          failure = error
        }
      }
      if let failure { throw failure }
      if fsync(descriptor) != 0 { throw .last("sync", path) }
    } catch {
      close(descriptor)
      unlink(sibling)
      throw error
    }
    guard close(descriptor) == 0, rename(sibling, path) == 0 else {
      let error = StorageError.last("rename to", path)
      unlink(sibling)
      throw error
    }
    try syncFolder(of: path)
  }

  /// A whole file. Throws when it is missing or larger than `limit` bytes.
  public static func read(_ path: String, limit: Int) throws(StorageError) -> [UInt8] {
    let descriptor = try open(path, O_RDONLY)
    defer { close(descriptor) }
    let size = try size(of: descriptor, path: path)
    guard size <= limit else {
      throw .damaged(path: path, reason: "\(size) bytes, more than the \(limit) it may have")
    }
    return try read(descriptor, at: 0, count: size, path: path)
  }

  /// Whether something is at `path`.
  public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// Makes a folder and those above it; it is no error when it is there.
  public static func makeFolder(_ path: String, mode: UInt32 = 0o755) throws(StorageError) {
    var built = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      built += built.isEmpty || built.hasSuffix("/") ? String(part) : "/" + part
      guard mkdir(built, mode) != 0 else { continue }
      guard errno == EEXIST else { throw .last("make folder", path) }
    }
    var status = stat()
    guard stat(path, &status) == 0 else { throw .last("open", path) }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw .system(operation: "make folder", path: path, number: ENOTDIR)
    }
  }

  /// Makes names that were given or taken away in the folder of `path` durable.
  static func syncFolder(of path: String) throws(StorageError) {
    let end = path.lastIndex(of: "/") ?? path.startIndex
    let folder = end == path.startIndex ? (path.hasPrefix("/") ? "/" : ".") : String(path[..<end])
    let descriptor = try open(folder, O_RDONLY | O_DIRECTORY)
    defer { close(descriptor) }
    if fsync(descriptor) != 0 { throw .last("sync", folder) }
  }

  /// Renames a file, or removes it when there is no new name; a missing file is no error.
  static func move(_ path: String, to target: String?) throws(StorageError) {
    let status = target.map { rename(path, $0) } ?? unlink(path)
    guard status == 0 || errno == ENOENT else { throw .last("move", path) }
    if DurableFile.exists(path) || status == 0 { try syncFolder(of: path) }
  }

  /// The names in a folder, sorted; none when there is no such folder.
  static func names(in folder: String) throws(StorageError) -> [String] {
    guard let stream = opendir(folder) else {
      if errno == ENOENT { return [] }
      throw .last("list", folder)
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let item = readdir(stream) {
      let name = withUnsafePointer(to: &item.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  static func open(
    _ path: String, _ flags: Int32, mode: UInt32 = 0o644
  ) throws(StorageError) -> Int32 {
    let descriptor = Glibc.open(path, flags | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw .last("open", path) }
    return descriptor
  }

  static func size(of descriptor: Int32, path: String) throws(StorageError) -> Int {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .last("look at", path) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw .damaged(path: path, reason: "not an ordinary file")
    }
    return Int(status.st_size)
  }

  static func read(
    _ descriptor: Int32, at offset: Int, count: Int, path: String
  ) throws(StorageError) -> [UInt8] {
    // All empty arrays share their storage, and filling in the count would write to it.
    if count == 0 { return [] }
    var failure: StorageError?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      do throws(StorageError) {
        try readAll(UnsafeMutableRawBufferPointer(buffer), from: descriptor, at: offset, path: path)
        filled = count
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Fills the buffer. Throws when the file ends before.
  static func readAll(
    _ buffer: UnsafeMutableRawBufferPointer, from descriptor: Int32, at offset: Int, path: String
  ) throws(StorageError) {
    var filled = 0
    while filled < buffer.count {
      let got = pread(
        descriptor, buffer.baseAddress! + filled, buffer.count - filled, offset + filled)
      if got < 0 && errno == EINTR { continue }
      if got < 0 { throw .last("read", path) }
      if got == 0 { throw .damaged(path: path, reason: "it ends early") }
      filled += got
    }
  }

  static func writeAll(
    _ bytes: UnsafeRawBufferPointer, to descriptor: Int32, at offset: Int, path: String
  ) throws(StorageError) {
    var written = 0
    while written < bytes.count {
      let count = pwrite(
        descriptor, bytes.baseAddress! + written, bytes.count - written, offset + written)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw .last("write", path) }
      written += count
    }
  }
}

extension Array where Element == UInt8 {
  /// `withUnsafeBytes` that keeps the type of the error.
  func withUnsafeBytesTyped<Result>(
    _ body: (UnsafeRawBufferPointer) throws(StorageError) -> Result
  ) throws(StorageError) -> Result {
    let outcome: Swift.Result<Result, StorageError> = withUnsafeBytes { buffer in
      do throws(StorageError) {
        return .success(try body(buffer))
      } catch {
        return .failure(error)
      }
    }
    return try outcome.get()
  }
}
