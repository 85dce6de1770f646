import Determinism
import FoundationEssentials
import Identities
import Records

/// Who is there, among more labs than are connected: told on from neighbour to neighbour.
extension Mesh {
  /// Labs that are there as far as is known: those connected, and among more than 16 also those
  /// that somebody has lately heard of. In their order.
  public var presentLabs: [LabID] {
    guard isSparse else { return connectedLabs }
    return peers.keys(where: { isPresent($0, lastTick) })
  }

  func isPresent(_ lab: LabID, _ now: Instant) -> Bool {
    peers[lab].map { isPresent($0, now) } ?? false
  }

  private func isPresent(_ peer: Shared<Peer>, _ now: Instant) -> Bool {
    if peer.route != nil { return true }
    guard let seen = peer.lastSeen else { return false }
    return now.seconds(since: seen) < GossipLimits.presentSeconds
  }

  /// Notes when a lab was there. That one has come is told on at once, that one is gone shows.
  mutating func noteSeen(_ lab: LabID, at time: Instant, _ now: Instant) {
    guard isSparse, peers.contains(lab) else { return }
    let last = peers[lab]?.lastSeen
    guard last.map({ $0 < time }) ?? true else { return }
    let was = last.map { now.seconds(since: $0) < GossipLimits.presentSeconds } ?? false
    peers[lab]?.lastSeen = time
    if !was { presenceRevision += 1 }
    guard !was, now.seconds(since: time) < GossipLimits.presentSeconds else { return }
    for other in linkedLabs where other != lab && peers[other]?.bond.isNeighbour == true {
      peers[other]?.arriving[lab] = true
      announceSoon(to: other, now)
    }
  }

  mutating func receivedSeen(_ seen: [Hanse_V1_Seen], on id: ConnectionID, _ now: Instant) {
    guard isSparse else { return }
    guard seen.count <= GossipLimits.headsPerFrame else {
      return fault(.tooManyRequests, on: id, "\(seen.count) labs seen in one frame", now)
    }
    for one in seen {
      guard let lab = LabID(bytes: one.lab), lab != self.lab else { continue }
      let age = UInt64(one.seconds) * 1_000_000_000
      let time = Instant(nanoseconds: now.nanoseconds > age ? now.nanoseconds - age : 0)
      noteSeen(lab, at: time, now)
    }
  }

  /// What a peer is told of a lab; a second more than the age, since the way takes time and an
  /// echo must not make anybody younger.
  func seen(_ lab: LabID, _ now: Instant) -> Hanse_V1_Seen? {
    guard let peer = peers[lab] else { return nil }
    let isLinked = route(to: lab) != nil
    guard let time = isLinked ? peer.lastHeard ?? peer.lastSeen : peer.lastSeen else { return nil }
    let age = now.seconds(since: time)
    guard age < GossipLimits.presentSeconds else { return nil }
    var one = Hanse_V1_Seen()
    one.lab = Data(lab.bytes)
    one.seconds = UInt32(age.rounded(.up)) + 1
    return one
  }
}
