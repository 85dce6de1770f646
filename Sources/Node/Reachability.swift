import Glibc

/// Looks from this machine at an address that another lab gave, without asking the daemon.
public enum Reachability {
  /// How far one came.
  public enum Finding: Sendable, Equatable {
    /// It is no `host:port`.
    case noAddress
    /// The name has no address, for this reason.
    case unresolved(String)
    /// Nothing takes a connection there, for this reason.
    case closed(String)
    /// Something takes connections there.
    case open
  }

  /// Tries each of a host's addresses for some seconds, and closes at once what it opened.
  public static func look(at address: String, seconds: Int32 = 3) -> Finding {
    guard let (host, port) = split(address) else { return .noAddress }
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = AI_ADDRCONFIG
    var list: UnsafeMutablePointer<addrinfo>?
    var status = getaddrinfo(host, port, &hints, &list)
    if status == EAI_NONAME {
      // A machine without a network has the loopback interface alone.
      hints.ai_flags = 0
      status = getaddrinfo(host, port, &hints, &list)
    }
    guard status == 0, let first = list else {
      return .unresolved(String(cString: gai_strerror(status)))
    }
    defer { freeaddrinfo(list) }
    var reason = "no answer within \(seconds) seconds"
    var next: UnsafeMutablePointer<addrinfo>? = first
    while let candidate = next?.pointee {
      guard let failure = connect(candidate, seconds) else { return .open }
      reason = failure
      next = candidate.ai_next
    }
    return .closed(reason)
  }

  /// Why nothing took the connection; nil when something did.
  private static func connect(_ candidate: addrinfo, _ seconds: Int32) -> String? {
    let descriptor = socket(
      candidate.ai_family, candidate.ai_socktype | Int32(SOCK_NONBLOCK.rawValue),
      candidate.ai_protocol)
    guard descriptor >= 0 else { return String(cString: strerror(errno)) }
    defer { close(descriptor) }
    if Glibc.connect(descriptor, candidate.ai_addr, candidate.ai_addrlen) == 0 { return nil }
    guard errno == EINPROGRESS else { return String(cString: strerror(errno)) }
    var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    guard poll(&wait, 1, seconds * 1000) == 1 else { return "no answer within \(seconds) seconds" }
    var error: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length)
    return error == 0 ? nil : String(cString: strerror(error))
  }

  private static func split(_ address: String) -> (host: String, port: String)? {
    guard let colon = address.lastIndex(of: ":"),
      let port = UInt16(address[address.index(after: colon)...]), port > 0
    else { return nil }
    var host = String(address[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    guard !host.isEmpty, !host.contains("\u{0}") else { return nil }
    return (host, "\(port)")
  }
}
