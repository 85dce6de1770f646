import Glibc

/// Says that this process, and no other, writes to a home. Ends with the process, however it ends.
final class HomeLock: Sendable {
  private let descriptor: Int32

  /// Takes the lock. Throws ``StorageError/locked(path:holder:)`` with the process that has it.
  init(_ home: HomeLayout) throws(StorageError) {
    let descriptor = try DurableFile.open(home.lock, O_RDWR | O_CREAT, mode: 0o640)
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let error =
        errno == EWOULDBLOCK
        ? StorageError.locked(path: home.path, holder: Self.holder(descriptor))
        : StorageError.last("lock", home.lock)
      close(descriptor)
      throw error
    }
    self.descriptor = descriptor
    // Only for the message above; the lock itself does not depend on it.
    let text = Array("\(getpid())\n".utf8)
    ftruncate(descriptor, 0)
    _ = text.withUnsafeBytes { pwrite(descriptor, $0.baseAddress!, $0.count, 0) }
  }

  deinit { close(descriptor) }

  /// The process that holds a home's lock; nil when none does.
  static func holder(of home: HomeLayout) -> Int32? {
    guard let descriptor = try? DurableFile.open(home.lock, O_RDONLY) else { return nil }
    defer { close(descriptor) }
    if flock(descriptor, LOCK_SH | LOCK_NB) == 0 { return nil }
    return holder(descriptor)
  }

  private static func holder(_ descriptor: Int32) -> Int32 {
    var buffer = [UInt8](repeating: 0, count: 16)
    let count = pread(descriptor, &buffer, buffer.count, 0)
    let text = String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self)
    return Int32(text.prefix { $0.isNumber }) ?? 0
  }
}
