import Glibc

/// A file's bytes in memory without reading them: pages arrive when they are touched.
///
/// The mapping is private and read-only and lives as long as the object. A file that somebody cuts
/// short while it is mapped ends the process (SIGBUS), so models are replaced by renaming, never by
/// rewriting in place; `DurableFile` does it that way.
package final class MappedFile: @unchecked Sendable {
  // Unchecked because of the pointer: the bytes are never written and are unmapped in deinit only.
  package let path: String
  package let bytes: UnsafeRawBufferPointer

  /// Maps the whole file.
  ///
  /// - Parameter limit: bytes it may have; nil for files whose tensors are read piece by piece.
  /// - Throws: `ContainerError.unreadable` when it is missing, not a plain file, not permitted, or
  ///   larger than the limit.
  package init(path: String, limit: Int? = nil) throws {
    self.path = path
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      throw ContainerError.unreadable(path: path, reason: systemReason())
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw ContainerError.unreadable(path: path, reason: systemReason())
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw ContainerError.unreadable(path: path, reason: "it is not a plain file")
    }
    let size = Int(status.st_size)
    if let limit, size > limit {
      throw ContainerError.unreadable(
        path: path, reason: "it has \(size) bytes, more than the \(limit) that are read of its kind"
      )
    }
    guard size > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED
    else {
      throw ContainerError.unreadable(path: path, reason: systemReason())
    }
    bytes = UnsafeRawBufferPointer(start: start, count: size)
  }

  /// Calls `body` with the bytes, which cannot go away meanwhile: an object that is only asked for
  /// its pointer may be gone before the pointer is used.
  package func withBytes<Result>(
    _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    try withExtendedLifetime(self) { try body(bytes) }
  }

  deinit {
    if let start = bytes.baseAddress {
      munmap(UnsafeMutableRawPointer(mutating: start), bytes.count)
    }
  }
}

/// The system's words for the call that has just failed.
package func systemReason() -> String {
  String(cString: strerror(errno))
}

/// What stands at a path, as far as opening a model needs to know.
package enum PathKind {
  case file, folder, missing

  package static func of(_ path: String) -> PathKind {
    var status = stat()
    guard stat(path, &status) == 0 else { return .missing }
    return status.st_mode & S_IFMT == S_IFDIR ? .folder : .file
  }
}
