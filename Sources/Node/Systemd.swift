import Glibc

/// Tells systemd how the service is doing, when it was started by systemd.
///
/// The protocol is a datagram to the socket in `NOTIFY_SOCKET`; without it nothing is sent.
struct Systemd: Sendable {
  private let path: String?
  /// Seconds between watchdog pings, half of what systemd allows; nil when it does not watch.
  let watchdogSeconds: Double?

  init() {
    path = getenv("NOTIFY_SOCKET").map { String(cString: $0) }
    let microseconds = getenv("WATCHDOG_USEC").flatMap { Double(String(cString: $0)) }
    watchdogSeconds = path == nil ? nil : microseconds.map { $0 / 2e6 }
  }

  func ready(_ status: String) { send("READY=1\nSTATUS=\(oneLine(status))") }
  func status(_ status: String) { send("STATUS=\(oneLine(status))") }
  func watchdog() { send("WATCHDOG=1") }
  func stopping() { send("STOPPING=1\nSTATUS=stopping") }

  private func oneLine(_ text: String) -> String {
    String(text.map { $0.isNewline ? " " : $0 })
  }

  private func send(_ message: String) {
    guard let path, !path.isEmpty, path.utf8.count < 108 else { return }
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var bytes = Array(path.utf8)
    // An abstract socket's name begins with a zero byte, which the environment writes as @.
    if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
    withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { target in
        _ = message.withCString {
          sendto(descriptor, $0, strlen($0), Int32(MSG_NOSIGNAL), target, length)
        }
      }
    }
  }
}
