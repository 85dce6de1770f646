import Determinism
import Identities
import Records

/// The tree that entries go along among more than 16 labs, as in Plumtree: pushed over eager links,
/// announced over lazy ones. A link that brings what is here already becomes lazy, one that had to
/// be asked becomes eager.
extension Mesh {
  /// Whether a peer is pushed a lab's next entry at once.
  func isEager(_ peer: Shared<Peer>, for log: LabID, _ now: Instant) -> Bool {
    if isSparse { return peer.bond.isNeighbour && peer.bond.isEager }
    return log == self.lab || peer.grafted[log].map { now < $0 } ?? false
  }

  /// Gives a push the time to arrive by itself before whoever announced the entry is asked.
  mutating func awaitPush(of head: Head, announcedBy lab: LabID, _ now: Instant) {
    if isSparse {
      guard let own = logs[head.lab]?.sequence, logs[head.lab]?.patientAt != own else { return }
      logs[head.lab]?.patientAt = own
      logs[head.lab]?.announcedBy = lab
      logs[head.lab]?.patientUntil = now.adding(seconds: GossipLimits.treeSeconds)
    } else if !behind.contains(head.lab), head.lab != lab, route(to: head.lab) != nil {
      logs[head.lab]?.patientUntil = now.adding(seconds: GossipLimits.patientSeconds)
    }
  }

  /// A neighbour had to be asked: from now on it pushes.
  mutating func graft(_ peer: LabID) {
    guard isSparse, peers[peer]?.bond.isNeighbour == true else { return }
    peers[peer]?.bond.isEager = true
    say(Word.eager, to: peer)
  }

  /// A neighbour pushed what another eager one had pushed before: one of the two is enough.
  mutating func prune(_ peer: LabID, _ entry: Entry) {
    guard isSparse, peers[peer]?.bond.isNeighbour == true else { return }
    if entry.lab != lab {
      guard let first = logs[entry.lab]?.deliverer, first.sequence >= entry.sequence,
        first.lab != peer, peers[first.lab]?.bond.isNeighbour == true,
        peers[first.lab]?.bond.isEager == true
      else { return }
    }
    peers[peer]?.bond.isEager = false
    say(Word.lazy, to: peer)
  }
}
