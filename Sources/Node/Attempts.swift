import Control
import Determinism
import Gossip
import Identities
import Transport

/// The last failure at each address of each lab, for people who ask why a lab is missing.
struct Attempts {
  /// Addresses remembered of a lab: as many as it may announce, and one for its own dials.
  private static let perLab = 9

  private struct Failure {
    let address: String
    let kind: PeersPage.Peer.Failure
    let reason: String
    let at: Instant
  }

  private var failures: [LabID: [Failure]] = [:]
  private var labs: [ConnectionID: (lab: LabID, address: String)] = [:]

  /// A connection stands: what failed before is of no interest.
  mutating func connected(_ id: ConnectionID, _ lab: LabID, address: String) {
    labs[id] = (lab, address)
    failures[lab] = nil
  }

  mutating func failed(_ lab: LabID, address: String, _ error: TransportError, at now: Instant) {
    var list = failures[lab, default: []]
    list.removeAll { $0.address == address }
    list.append(
      Failure(address: address, kind: Self.kind(of: error), reason: "\(error)", at: now))
    if list.count > Self.perLab { list.removeFirst() }
    failures[lab] = list
  }

  mutating func disconnected(_ id: ConnectionID, _ error: TransportError, at now: Instant) {
    guard let known = labs.removeValue(forKey: id) else { return }
    failed(known.lab, address: known.address, error, at: now)
  }

  func rows(of lab: LabID, at now: Instant) -> [PeersPage.Peer.Attempt] {
    (failures[lab] ?? []).map {
      PeersPage.Peer.Attempt(
        address: $0.address, failure: $0.kind, reason: $0.reason,
        secondsAgo: now.seconds(since: $0.at))
    }
  }

  static func kind(of error: TransportError) -> PeersPage.Peer.Failure {
    switch error {
    case .badAddress: .name
    case .cannotConnect(_, let reason): reason == TransportError.unresolved ? .name : .port
    case .cannotListen: .port
    case .badCertificate(let reason):
      reason == TransportError.tooEarly || reason == TransportError.tooLate ? .clock : .tls
    case .certificateRefused: .clock
    case .wrongKey, .keyGivenUp, .dialledItself: .key
    case .handshake: .tls
    case .wrongProtocol: .version
    case .goodbye(let reason):
      reason.contains("not on the roster") || reason.contains("no longer on the roster")
        ? .roster : reason.contains("protocol") ? .version : .silence
    case .closedHere(let reason): reason.contains("protocol") ? .version : .silence
    case .timedOut, .closedByPeer, .io, .frameTooLong, .undecodable, .tooSlow, .notReading,
      .guestOutOfTurn, .alreadyMember:
      .silence
    }
  }
}
