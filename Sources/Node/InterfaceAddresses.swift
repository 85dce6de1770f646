import Glibc

/// Where a node that listens on every interface can be dialled.
enum InterfaceAddresses {
  /// Addresses to announce for a bound one: itself, or, for a wildcard such as `0.0.0.0:7400`, the
  /// address of every interface that is up with that port. The loopback interface counts only when
  /// there is no other, and link-local addresses never do, since they mean something else
  /// elsewhere.
  static func reachable(_ bound: String) -> [String] {
    guard let colon = bound.lastIndex(of: ":") else { return [bound] }
    let (host, port) = (bound[..<colon], bound[colon...])
    guard host == "0.0.0.0" || host == "[::]" else { return [bound] }
    let all = current(withIPv6: host == "[::]")
    let outward = all.filter { !$0.isLoopback }
    return (outward.isEmpty ? all : outward).map { $0.host + port }
  }

  private struct Address {
    let host: String
    let isLoopback: Bool
  }

  private static func current(withIPv6: Bool) -> [Address] {
    var first: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&first) == 0 else { return [] }
    defer { freeifaddrs(first) }
    var found: [Address] = []
    var next = first
    while let interface = next?.pointee {
      next = interface.ifa_next
      let flags = Int32(bitPattern: interface.ifa_flags)
      guard let address = interface.ifa_addr, flags & Int32(IFF_UP) != 0 else { continue }
      let family = Int32(address.pointee.sa_family)
      let isLoopback = flags & Int32(IFF_LOOPBACK) != 0
      guard family == AF_INET || (family == AF_INET6 && withIPv6),
        let text = numeric(address, family), !text.hasPrefix("fe80"), !text.hasPrefix("169.254.")
      else { continue }
      found.append(Address(host: family == AF_INET6 ? "[\(text)]" : text, isLoopback: isLoopback))
    }
    return found
  }

  private static func numeric(_ address: UnsafeMutablePointer<sockaddr>, _ family: Int32) -> String?
  {
    var buffer = [CChar](repeating: 0, count: Int(NI_MAXHOST))
    let size = family == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
    let status = getnameinfo(
      address, socklen_t(size), &buffer, socklen_t(buffer.count), nil, 0, NI_NUMERICHOST)
    guard status == 0 else { return nil }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
