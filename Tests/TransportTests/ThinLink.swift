import Glibc
import Synchronization
import Transport

/// A link of little capacity: passes bytes between one client and a server, so many a second.
final class ThinLink: Sendable {
  let endpoint: Endpoint
  private let listener: CInt
  private let open = Mutex<[CInt]>([])

  /// Listens on loopback for one connection and passes it on to `target`.
  init(to target: Endpoint, bytesPerSecond: Int) {
    let listener = ThinLink.socket()
    self.listener = listener
    var address = ThinLink.address(port: 0)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        precondition(bind(listener, pointer, length) == 0 && listen(listener, 1) == 0)
        getsockname(listener, pointer, &length)
      }
    }
    endpoint = Endpoint(host: "127.0.0.1", port: Int(UInt16(bigEndian: address.sin_port)))
    ThinLink.onThread { [self] in
      let client = accept(listener, nil, nil)
      let server = ThinLink.socket()
      var address = ThinLink.address(port: target.port)
      let status = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
      guard client >= 0, status == 0 else { return }
      open.withLock { $0 = [client, server] }
      ThinLink.onThread { ThinLink.pass(client, server, bytesPerSecond) }
      ThinLink.onThread { ThinLink.pass(server, client, bytesPerSecond) }
    }
  }

  func cut() {
    shutdown(listener, CInt(SHUT_RDWR))
    open.withLock { for descriptor in $0 { shutdown(descriptor, CInt(SHUT_RDWR)) } }
  }

  private static func pass(_ from: CInt, _ to: CInt, _ bytesPerSecond: Int) {
    var buffer = [UInt8](repeating: 0, count: 8192)
    while true {
      let count = read(from, &buffer, buffer.count)
      guard count > 0 else { break }
      usleep(UInt32(count * 1_000_000 / bytesPerSecond))
      var sent = 0
      while sent < count {
        let written = buffer[sent..<count].withUnsafeBytes {
          Glibc.send(to, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
        }
        guard written > 0 else { return }
        sent += written
      }
    }
    shutdown(to, CInt(SHUT_RDWR))
  }

  /// A socket whose buffers hold little, as those of a real bottleneck.
  private static func socket() -> CInt {
    let descriptor = Glibc.socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    precondition(descriptor >= 0)
    var size: CInt = 32 * 1024
    for option in [SO_RCVBUF, SO_SNDBUF] {
      setsockopt(descriptor, SOL_SOCKET, option, &size, socklen_t(MemoryLayout<CInt>.size))
    }
    return descriptor
  }

  private static func address(port: Int) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
  }

  private static func onThread(_ body: @escaping @Sendable () -> Void) {
    let box = Unmanaged.passRetained(Body(run: body))
    var thread = pthread_t()
    pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run()
        return nil
      }, box.toOpaque())
    pthread_detach(thread)
  }

  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(run: @escaping @Sendable () -> Void) { self.run = run }
  }
}
