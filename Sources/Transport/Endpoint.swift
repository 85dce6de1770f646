import Records

/// A host and a port, as written in tickets, presences and configuration: `lab.example:7447`,
/// `192.0.2.1:7447`, `[2001:db8::1]:7447`.
public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
  /// A name or an address, without brackets.
  public var host: String
  /// 0 lets the system choose when listening.
  public var port: Int

  /// A host and a port. Precondition: the port is in 0…65535.
  public init(host: String, port: Int) {
    precondition((0...65535).contains(port), "a port is between 0 and 65535, not \(port)")
    self.host = host
    self.port = port
  }

  /// Reads `host:port`.
  ///
  /// - Throws: ``TransportError/badAddress(_:)`` for anything else.
  public init(_ text: String) throws(TransportError) {
    guard text.utf8.count <= Limits.addressBytesMax,
      let colon = text.utf8.lastIndex(of: UInt8(ascii: ":"))
    else { throw .badAddress(text) }
    let digits = text.utf8[text.utf8.index(after: colon)...]
    var host = text[..<colon]
    guard (1...5).contains(digits.count),
      digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
      let port = Int(String(decoding: digits, as: UTF8.self)), port <= 65535
    else { throw .badAddress(text) }
    let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
    if isBracketed { host = host.dropFirst().dropLast() }
    let hasColon = host.utf8.contains(UInt8(ascii: ":"))
    guard !host.isEmpty, hasColon == isBracketed,
      host.utf8.allSatisfy({
        Self.allowed.contains($0) || (isBracketed && Self.colons.contains($0))
      })
    else { throw .badAddress(text) }
    self.init(host: String(host), port: port)
  }

  private static let allowed = Set(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_".utf8)
  // An IPv6 address, with its zone.
  private static let colons = Set(":%".utf8)

  public var description: String {
    host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
  }
}
