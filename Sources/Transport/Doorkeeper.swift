import Glibc

/// Counts who is at the door, so that strangers cannot keep members out.
///
/// Members are counted only in total: a whole institute may stand behind one address. Connections
/// whose key is not known yet, and guests, are few and fewer from one address.
package struct Doorkeeper {
  private var accepted = 0
  private var strangers: [String: Int] = [:]
  private var strangerCount = 0
  private var joins: [(seconds: Double, address: String)] = []
  private var told: [Double] = []
  private var untold = 0

  package init() {}

  /// What is counted as one place: an IPv4 address, or the half of an IPv6 address that a provider
  /// gives to one customer, who has 2⁶⁴ addresses in it.
  package static func place(of address: String) -> String {
    var parsed = in6_addr()
    guard inet_pton(AF_INET6, address, &parsed) == 1 else { return address }
    let bytes = withUnsafeBytes(of: parsed) { Array($0) }
    // An IPv4 address in the clothes of the other kind.
    if bytes.prefix(10).allSatisfy({ $0 == 0 }), bytes[10] == 0xFF, bytes[11] == 0xFF {
      return bytes.suffix(4).map { "\($0)" }.joined(separator: ".")
    }
    return bytes.prefix(8).map { String($0, radix: 16) }.joined(separator: ":") + "/64"
  }

  /// Lets a connection in as a stranger; false when there are too many.
  package mutating func admit(_ address: String) -> Bool {
    guard accepted < TransportLimits.acceptedConnections,
      strangerCount < TransportLimits.strangers,
      strangers[address, default: 0] < TransportLimits.strangersPerAddress
    else { return false }
    accepted += 1
    strangerCount += 1
    strangers[address, default: 0] += 1
    return true
  }

  /// A stranger has turned out to be a member.
  package mutating func recognise(_ address: String) {
    strangerCount -= 1
    let left = strangers[address, default: 1] - 1
    strangers[address] = left > 0 ? left : nil
  }

  /// An admitted connection has ended.
  package mutating func leave(_ address: String, wasRecognised: Bool) {
    accepted -= 1
    if !wasRecognised { recognise(address) }
  }

  /// Whether a request to join may be answered now. `now` is in seconds of a steady clock.
  package mutating func mayAsk(_ address: String, now: Double) -> Bool {
    joins.removeAll { $0.seconds <= now - 60 }
    guard joins.count < TransportLimits.joinsPerMinute,
      joins.count(where: { $0.address == address }) < TransportLimits.joinsPerMinutePerAddress
    else { return false }
    joins.append((now, address))
    return true
  }

  /// Whether it may be told now that a stranger was refused, and how many were not told since the
  /// last: nil keeps it back, so that strangers cannot fill a log.
  package mutating func mayTell(now: Double) -> Int? {
    told.removeAll { $0 <= now - 60 }
    guard told.count < TransportLimits.refusalsToldPerMinute else {
      untold += 1
      return nil
    }
    told.append(now)
    defer { untold = 0 }
    return untold
  }
}
