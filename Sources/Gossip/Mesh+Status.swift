import Determinism
import Identities

extension Mesh {
  /// How it stands with each member, in the order of the labs.
  public var peerStatus: [PeerStatus] {
    peers.values.map { status(of: $0) }
  }

  private func status(of peer: Shared<Peer>) -> PeerStatus {
    let id = route(to: peer.lab) ?? peer.links.last
    let link = id.flatMap { links[$0] }
    let state: PeerStatus.State =
      if let link {
        link.greeted ? .connected : .greeting
      } else if peer.dialling != nil {
        .dialling
      } else if isSparse, isPresent(peer.lab, lastTick) {
        .throughOthers
      } else {
        peer.addresses.isEmpty ? .noAddress : .waiting
      }
    return PeerStatus(
      lab: peer.lab, state: state, address: link?.address ?? peer.lastAddress,
      addresses: peer.addresses, connection: id, dialledByUs: link?.dialledByUs ?? false,
      connectedSince: link?.since,
      lastHeard: [peer.lastHeard, peer.lastSeen].compactMap { $0 }.max(),
      nextDial: state == .waiting ? peer.nextDial : nil, roundTrip: peer.roundTrip,
      lastError: peer.lastError,
      faults: peer.faults.keys.map { ($0, peer.faults[$0] ?? 0) },
      heads: peer.known.keys.map { ($0, peer.known[$0]?.sequence ?? 0) },
      reportedOwnHead: peer.reportedOwn, received: peer.received)
  }

  /// How far a wanted object has come: blocks stored of how many; nil when it is not being fetched,
  /// zero of zero while its block list is awaited.
  public func progress(of object: ContentID) -> (stored: Int, total: Int)? {
    fetches[object].map { ($0.stored, $0.total) }
  }
}
