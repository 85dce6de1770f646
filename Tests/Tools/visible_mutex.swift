import Glibc

/// A lock that the thread sanitizer sees, for its builds only; see Tests/sanitize.
///
/// The library's Mutex waits in code that is not instrumented, so that whoever had to wait looks as
/// if there were no lock: a correct program of fifteen lines is blamed six times. This one has its
/// interface and a POSIX mutex, which the sanitizer knows.
final class Mutex<Value>: @unchecked Sendable {
  private nonisolated(unsafe) var value: Value
  private let lock: UnsafeMutablePointer<pthread_mutex_t>

  init(_ value: sending Value) {
    self.value = value
    lock = .allocate(capacity: 1)
    pthread_mutex_init(lock, nil)
  }

  deinit {
    pthread_mutex_destroy(lock)
    lock.deallocate()
  }

  func withLock<Result, Failure: Error>(
    _ body: (inout sending Value) throws(Failure) -> sending Result
  ) throws(Failure) -> sending Result {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    return try body(&value)
  }
}
