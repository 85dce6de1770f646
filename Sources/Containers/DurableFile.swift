import Glibc

/// Writing a file so that a reader, or a crash at any instant, sees the old one or the new one.
public enum DurableFile {
  /// Writes `bytes` to `path` in place of what was there.
  ///
  /// - Throws: `ContainerError.unwritable`; then the old file is untouched.
  public static func write(_ bytes: [UInt8], to path: String) throws {
    try write(to: path) { try $0.append(bytes) }
  }

  /// Writes what `body` appends to `path` in place of what was there: into a sibling, fsync,
  /// rename, fsync of the folder.
  ///
  /// - Throws: `ContainerError.unwritable` or what `body` throws; then the old file is untouched
  ///   and the sibling is gone.
  public static func write(to path: String, _ body: (inout Sink) throws -> Void) throws {
    let sibling = path + siblingMark + "\(getpid())"
    unlink(sibling)
    let descriptor = open(sibling, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw ContainerError.unwritable(path: path, reason: systemReason())
    }
    var isOpen = true
    do {
      var sink = Sink(descriptor: descriptor, path: path)
      try body(&sink)
      try check(fsync(descriptor), path)
      isOpen = false
      try check(close(descriptor), path)
      try check(rename(sibling, path), path)
    } catch {
      if isOpen { close(descriptor) }
      unlink(sibling)
      throw error
    }
    try synchroniseFolder(of: path)
  }

  private static let siblingMark = ".new-"

  /// Removes the siblings that processes left in a folder when they were killed while they wrote.
  /// Those of a process that lives are left alone.
  public static func removeLeftovers(in folder: String) {
    guard let listing = opendir(folder) else { return }
    defer { closedir(listing) }
    while let item = readdir(listing) {
      let name = withUnsafeBytes(of: &item.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      let digits = name.reversed().prefix { $0.isASCII && $0.isNumber }.reversed()
      guard let process = pid_t(String(digits)), process > 0,
        name.dropLast(digits.count).hasSuffix(siblingMark), process != getpid(),
        kill(process, 0) != 0, errno == ESRCH
      else { continue }
      unlink(folder + "/" + name)
    }
  }

  private static func check(_ result: Int32, _ path: String) throws {
    guard result == 0 else {
      throw ContainerError.unwritable(path: path, reason: systemReason())
    }
  }

  /// Makes the names in a path's folder durable: without this a new one may be lost with the power.
  package static func synchroniseFolder(of path: String) throws {
    let folder =
      switch path.lastIndex(of: "/") {
      case nil: "."
      case path.startIndex: "/"
      case .some(let slash): String(path[..<slash])
      }
    let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw ContainerError.unwritable(path: path, reason: systemReason())
    }
    defer { close(descriptor) }
    try check(fsync(descriptor), path)
  }

  /// Where the body of a `write` puts its bytes, in order.
  public struct Sink {
    let descriptor: Int32
    let path: String
    /// Bytes appended so far.
    public private(set) var count = 0

    /// Appends `bytes`.
    public mutating func append(_ bytes: [UInt8]) throws {
      try bytes.withUnsafeBytes { try append($0) }
    }

    /// Appends `bytes`.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) throws {
      var rest = bytes[...]
      while let start = UnsafeRawBufferPointer(rebasing: rest).baseAddress, !rest.isEmpty {
        let written = Glibc.write(descriptor, start, rest.count)
        if written < 0, errno == EINTR { continue }
        guard written > 0 else {
          throw ContainerError.unwritable(path: path, reason: systemReason())
        }
        rest = rest.dropFirst(written)
      }
      count += bytes.count
    }
  }
}
