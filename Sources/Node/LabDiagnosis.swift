import Control

/// Says of one lab whether it is reached, what was tried, why that failed, and what to do.
public struct LabDiagnosis: Sendable, Equatable {
  /// Whether nothing needs doing.
  public let ok: Bool
  /// What was found.
  public let text: String
  /// The way out.
  public let hint: String?

  /// Seconds that clocks may differ before it is said: tickets are good for hours.
  static let clockSeconds = 120

  init(ok: Bool, _ text: String, hint: String? = nil) {
    self.ok = ok
    self.text = text
    self.hint = hint
  }

  /// Looks at what the daemon says of a lab, and at its addresses from this machine.
  ///
  /// - Parameters:
  ///   - listens: whether this node can be dialled at all.
  ///   - othersConnected: whether some other lab is connected, through which logs come too.
  public static func of(
    _ peer: PeersPage.Peer, listens: Bool, othersConnected: Bool,
    look: (String) -> Reachability.Finding
  ) -> LabDiagnosis {
    if peer.link != .none { return connected(peer, listens: listens) }
    let addresses = peer.addresses ?? peer.address.map { [$0] } ?? []
    guard !addresses.isEmpty else {
      return unaddressed(peer, listens: listens, othersConnected: othersConnected)
    }
    let findings = addresses.map { address in
      let attempt = peer.attempts?.first { $0.address == address }
      return found(at: address, look(address), attempt)
    }
    // What came furthest is nearest to the cause.
    let furthest = findings.max { $0.distance < $1.distance }
    return LabDiagnosis(
      ok: false, "not connected: " + findings.map(\.text).joined(separator: "; "),
      hint: furthest?.hint)
  }

  private static func connected(_ peer: PeersPage.Peer, listens: Bool) -> LabDiagnosis {
    var text: String
    if peer.link == .dialled {
      text = "connected, dialled at \(peer.address ?? "?")"
      if !listens { text += "; this node only dials" }
    } else {
      text = "connected, it dialled this node"
      if peer.addresses?.isEmpty == true { text += "; it only dials and needs no open port" }
    }
    guard let ahead = peer.secondsAhead, ahead > clockSeconds else {
      return LabDiagnosis(ok: true, text)
    }
    return LabDiagnosis(
      ok: false,
      text + "; it writes times that are \(Figures.seconds(Double(ahead))) ahead of this machine's",
      hint: "one of the two clocks is wrong: compare them (timedatectl) on both machines")
  }

  /// A lab that nobody can dial.
  private static func unaddressed(
    _ peer: PeersPage.Peer, listens: Bool, othersConnected: Bool
  ) -> LabDiagnosis {
    let last = peer.attempts?.last.map { "; the last connection ended: \($0.reason)" } ?? ""
    if listens {
      return LabDiagnosis(
        ok: false, "it only dials, and has not dialled this node\(last)",
        hint: "is its daemon running, and can it reach this node? `hanse doctor` there says why not"
      )
    }
    return LabDiagnosis(
      ok: othersConnected,
      "neither it nor this node can be dialled: they meet through other labs alone\(last)",
      hint: othersConnected
        ? nil : "set listen in the hanse.toml of one of the two, or connect to a lab that listens")
  }

  private struct Found {
    let text: String
    let hint: String
    /// How far the attempt came.
    let distance: Int
  }

  private static func found(
    at address: String, _ finding: Reachability.Finding, _ attempt: PeersPage.Peer.Attempt?
  ) -> Found {
    switch finding {
    case .noAddress:
      Found(
        text: "\(address) is not host:port",
        hint: "that lab sets listen or advertise in its hanse.toml to something else", distance: 0)
    case .unresolved(let reason):
      Found(
        text: "the name in \(address) does not resolve: \(reason)",
        hint: "check the name with that lab, and this machine's DNS (getent hosts NAME)",
        distance: 1)
    case .closed(let reason):
      Found(
        text: "nothing takes connections at \(address): \(reason)",
        hint: "is hansed running there, is the port the right one, do firewall and router let it "
          + "through? One direction is enough: that lab may dial this node instead", distance: 2)
    case .open: answered(at: address, attempt)
    }
  }

  private static func answered(
    at address: String, _ attempt: PeersPage.Peer.Attempt?
  ) -> Found {
    guard let attempt else {
      return Found(
        text: "\(address) takes connections, and none was tried yet",
        hint: "ask again in a minute", distance: 3)
    }
    let (what, hint) = explanation(of: attempt.failure)
    let place = (PeersPage.Peer.Failure.allCases.firstIndex(of: attempt.failure) ?? 0) + 3
    return Found(
      text: "\(address) answers, but \(what): \(attempt.reason)", hint: hint, distance: place)
  }

  private static func explanation(of failure: PeersPage.Peer.Failure) -> (String, String) {
    switch failure {
    case .name, .port:
      ("the daemon could not connect", "the network changed just now: ask again in a minute")
    case .tls:
      (
        "not as a hanse daemon does",
        "another program has that port, or something between the two machines opens TLS"
      )
    case .version:
      ("in another version or federation", "use the same release of hanse on both machines")
    case .clock:
      (
        "a certificate is of another time",
        "one of the two clocks is days off: compare them (timedatectl) on both machines"
      )
    case .key:
      (
        "with another key than the roster has",
        "another machine answers at the address, or the lab uses a key that the members have not "
          + "approved: compare its fingerprint with `hanse roster`"
      )
    case .roster:
      (
        "it does not have this lab's key on its roster",
        "it has not heard of this lab's admission or new key yet, or the members removed this lab: "
          + "see `hanse roster` on both"
      )
    case .silence:
      (
        "the connection does not hold",
        "its machine may be overloaded or stopping; its own log says more"
      )
    }
  }

  /// What the times that all labs write say of this machine's own clock; nil when nothing.
  public static func ownClock(_ peers: [PeersPage.Peer]) -> LabDiagnosis? {
    let ahead = peers.compactMap(\.secondsAhead).filter { $0 > clockSeconds }
    guard peers.count > 1, ahead.count * 2 > peers.count, let least = ahead.min() else {
      return nil
    }
    return LabDiagnosis(
      ok: false,
      "\(ahead.count) of \(peers.count) labs write times that are ahead, by at least "
        + Figures.seconds(Double(least)) + ": this machine's clock is slow",
      hint: "set it right (timedatectl set-ntp true)")
  }
}
