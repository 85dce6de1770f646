import Determinism
import FoundationEssentials
import Identities
import Records

/// What happens because time has passed.
extension Mesh {
  mutating func tick(_ now: Instant) {
    let gap = now.seconds(since: lastTick)
    lastTick = now
    presenceRevision += 1
    if gap > GossipLimits.ownSleepSeconds { forgive(gap) }
    for id in links.keys { watch(id, now) }
    for lab in linkedLabs {
      settleRivals(of: lab, now)
      settleDelay(of: lab, now)
      announceIfDue(lab, now)
    }
    if isSparse {
      tendNeighbours(now)
    } else {
      for lab in peers.keys { dialIfDue(lab, now) }
    }
    trickle(now)
    checkEntryDeadlines(now)
    checkBlockDeadlines(now)
    serveBlocks(now)
    announceParts(now)
    if fetchOrder.count > 1 { orderFetches() }
    pursueSnapshot(now)
    allObjectsChanged = true
    objectsChanged = true
  }

  /// This process slept (stopped, or starved by a training step): nobody else is to blame for it.
  private mutating func forgive(_ gap: Double) {
    for id in links.keys {
      let heard = links[id]?.lastHeard.adding(seconds: gap) ?? lastTick
      links[id]?.lastHeard = heard
      if let asking = links[id]?.asking {
        links[id]?.asking?.deadline = asking.deadline.adding(seconds: gap)
      }
    }
    for object in fetches.keys {
      for index in fetches[object]?.inFlight.keys ?? [] {
        guard let deadline = fetches[object]?.inFlight[index]?.deadline else { continue }
        fetches[object]?.inFlight[index]?.deadline = deadline.adding(seconds: gap)
      }
    }
  }

  private mutating func watch(_ id: ConnectionID, _ now: Instant) {
    guard let link = links[id] else { return }
    let silence = now.seconds(since: link.lastHeard)
    if silence >= GossipLimits.silenceSeconds {
      fault(.silent, on: id, "nothing for \(Int(silence)) seconds", now)
      return close(id, "nothing was heard for \(Int(silence)) seconds", now)
    }
    guard link.greeted else { return }
    let sincePing = now.seconds(since: link.lastPing ?? link.since)
    if min(silence, sincePing) >= GossipLimits.pingSeconds
      || sincePing >= GossipLimits.roundTripSeconds
    {
      ping(id, now)
    }
  }

  /// A connection that has lived long enough makes the next dialling begin from the start.
  private mutating func settleDelay(of lab: LabID, _ now: Instant) {
    guard let id = route(to: lab), let link = links[id],
      now.seconds(since: link.since) >= GossipLimits.steadySeconds
    else { return }
    peers[lab]?.dialDelay = GossipLimits.dialFirstSeconds
  }

  private mutating func dialIfDue(_ lab: LabID, _ now: Instant) {
    guard let peer = peers[lab], peer.links.isEmpty, peer.nextDial <= now,
      !isDialling(peer, now)
    else { return }
    dial(lab, for: .neighbour, now)
  }

  func isDialling(_ peer: Shared<Peer>, _ now: Instant) -> Bool {
    peer.dialling.map { now.seconds(since: $0) < GossipLimits.dialLostSeconds } ?? false
  }

  mutating func dial(_ lab: LabID, for purpose: Bond.Purpose, _ now: Instant) {
    guard let peer = peers[lab], peer.addressIndex < peer.addresses.count,
      links.count < GossipLimits.meshLabs
    else { return }
    peers[lab]?.bond.purpose = purpose
    peers[lab]?.dialling = now
    peers[lab]?.lastAddress = peer.addresses[peer.addressIndex]
    out.append(.dial(lab, address: peer.addresses[peer.addressIndex]))
  }

  private mutating func announceIfDue(_ lab: LabID, _ now: Instant) {
    guard let peer = peers[lab], let id = route(to: lab) else { return }
    if peer.nextHeads <= now {
      let next = GossipLimits.headsSeconds * (0.9 + 0.2 * generator.nextUnit())
      peers[lab]?.nextHeads = now.adding(seconds: next)
      peers[lab]?.announcing.removeAll()
      peers[lab]?.arriving.removeAll()
      peers[lab]?.announceAt = nil
      let seen = isSparse ? peers.keys.filter { $0 != lab }.compactMap { self.seen($0, now) } : []
      return sendHeads(ownHeads(), seen: seen, on: id)
    }
    guard let due = peer.announceAt, due <= now else { return }
    peers[lab]?.announceAt = nil
    peers[lab]?.announcing.removeAll()
    peers[lab]?.arriving.removeAll()
    let seen = peer.arriving.keys.compactMap { self.seen($0, now) }
    let news = peer.announcing.keys.compactMap { log in
      logs[log]?.head.flatMap { head in
        (peer.known[log]?.sequence ?? 0) < head.sequence ? head.wire : nil
      }
    }
    if !news.isEmpty || !seen.isEmpty { sendHeads(news, seen: seen, on: id) }
  }

  private mutating func sendHeads(
    _ heads: [Hanse_V1_LogPosition], seen: [Hanse_V1_Seen], on id: ConnectionID
  ) {
    var message = Hanse_V1_Heads()
    message.heads = heads
    message.seen = seen
    send(.heads(message), on: id)
  }

  /// Where all logs end here, in the order of the labs.
  func ownHeads() -> [Hanse_V1_LogPosition] {
    logs.values.compactMap { $0.head?.wire }.suffix(GossipLimits.headsPerFrame)
  }
}
