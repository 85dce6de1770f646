import Glibc

/// A port of the loopback interface that is taken, so that nobody else gets it, and where nobody
/// listens, so that every connection is refused.
final class DeafPort {
  /// `127.0.0.1:port`.
  let address: String
  private let descriptor: Int32

  struct Failure: Error { let number: Int32 }

  init() throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw Failure(number: errno) }
    var own = sockaddr_in()
    own.sin_family = sa_family_t(AF_INET)
    own.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let taken = descriptor
    let status = withUnsafeMutablePointer(to: &own) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(taken, $0, length) == 0 && getsockname(taken, $0, &length) == 0
      }
    }
    guard status else { throw Failure(number: errno) }
    address = "127.0.0.1:\(UInt16(bigEndian: own.sin_port))"
  }

  deinit { close(descriptor) }
}
