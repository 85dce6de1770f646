import Determinism
import FoundationEssentials
import Identities
import Records

/// Members, connections and their first words.
extension Mesh {
  mutating func adopt(_ current: [Member], logs kept: [LabID], _ now: Instant) {
    members.removeAll()
    presenceRevision += 1
    for member in current where member.lab != lab { members[member.lab] = member }
    for gone in peers.keys where !members.contains(gone) {
      for id in peers[gone]?.links ?? [] { close(id, "no longer on the roster", now) }
      peers[gone] = nil
    }
    for member in members.values {
      let isNew = !peers.contains(member.lab)
      if isNew { peers[member.lab] = Shared(Peer(lab: member.lab, now: now)) }
      guard peers[member.lab]?.addresses != member.addresses else { continue }
      peers[member.lab]?.addresses = member.addresses
      peers[member.lab]?.addressIndex = 0
      peers[member.lab]?.dialDelay = GossipLimits.dialFirstSeconds
      // Of two that start together the smaller dials, so that one connection is enough.
      let wait = isNew && member.lab < lab && !isSparse ? GossipLimits.politeSeconds : 0
      let due = now.adding(seconds: jittered(wait))
      peers[member.lab]?.nextDial = due
    }
    for lab in kept where !logs.contains(lab) { logs[lab] = Shared(Log()) }
    noteClaims()
    pursueEntries(now)
  }

  mutating func connected(
    _ id: ConnectionID, _ lab: LabID, _ address: String, _ dialledByUs: Bool, _ now: Instant
  ) {
    guard peers.contains(lab) else {
      out.append(.close(id, reason: "not on the roster"))
      return
    }
    if dialledByUs { peers[lab]?.dialling = nil }
    peers[lab]?.lastAddress = address
    peers[lab]?.lastHeard = now
    links[id] = Shared(
      Link(
        id: id, lab: lab, address: address, dialledByUs: dialledByUs, since: now, lastHeard: now,
        lastUse: now))
    peers[lab]?.links.append(id)
    findRoute(to: lab)
    sendHello(on: id)
    boundVisits(newest: id, now)
    let ids = peers[lab]?.links ?? []
    guard ids.count > 1 else { return }
    for other in ids { links[other]?.rivalSince = now }
    if let keeper = keeper(of: lab) { ping(keeper, now) }
    if ids.count > GossipLimits.connectionsPerLab {
      let loser = ids.first { $0 != keeper(of: lab) } ?? id
      close(loser, "more connections than one lab needs", now)
    }
  }

  mutating func disconnected(_ id: ConnectionID, _ reason: String, _ now: Instant) {
    guard let lab = links[id]?.lab else { return }
    if peers[lab]?.lastError == nil || peers[lab]?.links.count == 1 {
      peers[lab]?.lastError = printable(reason)
    }
    drop(id, now)
  }

  mutating func dialFailed(_ lab: LabID, _ address: String, _ reason: String, _ now: Instant) {
    guard let peer = peers[lab] else { return }
    peers[lab]?.dialling = nil
    peers[lab]?.lastAddress = address
    peers[lab]?.lastError = printable(reason)
    let next = peer.addressIndex + 1
    guard next >= peer.addresses.count else {
      peers[lab]?.addressIndex = next
      peers[lab]?.nextDial = now
      return
    }
    peers[lab]?.addressIndex = 0
    let due = now.adding(seconds: jittered(peer.dialDelay))
    peers[lab]?.nextDial = due
    peers[lab]?.dialDelay = min(2 * peer.dialDelay, GossipLimits.dialLastSeconds)
  }

  /// Ends a connection and forgets it at once; what still comes over it is ignored.
  mutating func close(_ id: ConnectionID, _ reason: String, _ now: Instant) {
    guard links.contains(id) else { return }
    out.append(.close(id, reason: reason))
    drop(id, now)
  }

  private mutating func drop(_ id: ConnectionID, _ now: Instant) {
    guard let link = links[id] else { return }
    links[id] = nil
    peers[link.lab]?.links.removeAll { $0 == id }
    findRoute(to: link.lab)
    serving -= link.serving
    releaseBlocks(askedOn: id)
    if let asking = link.asking, logs[asking.lab]?.askedOf == id {
      logs[asking.lab]?.askedOf = nil
      behind[asking.lab] = true
    }
    if peers[link.lab]?.links.isEmpty == true {
      noteSeen(link.lab, at: link.lastHeard, now)
      peers[link.lab]?.bond.isNeighbour = false
      peers[link.lab]?.bond.askedAt = nil
      peers[link.lab]?.window = GossipLimits.windowFirst
      let steady = now.seconds(since: link.since) >= GossipLimits.steadySeconds
      let delay =
        steady ? GossipLimits.dialFirstSeconds : peers[link.lab]?.dialDelay ?? 0
      peers[link.lab]?.dialDelay = min(2 * delay, GossipLimits.dialLastSeconds)
      let polite = link.lab < lab ? GossipLimits.politeSeconds : 0
      let due = now.adding(seconds: polite + jittered(delay))
      peers[link.lab]?.nextDial = due
    } else {
      for other in peers[link.lab]?.links ?? [] where peers[link.lab]?.links.count == 1 {
        links[other]?.rivalSince = nil
      }
    }
    pursueEntries(now)
  }

  // MARK: - Two connections between the same labs

  /// Whether a connection was dialled by the smaller of its two labs.
  func isPreferred(_ id: ConnectionID) -> Bool {
    guard let link = links[id] else { return false }
    return link.dialledByUs == (lab < link.lab)
  }

  /// Which of a lab's connections stays: what the smaller lab dialled, of two such the newer, since
  /// nobody dials who still knows a living connection.
  func keeper(of lab: LabID) -> ConnectionID? {
    guard let ids = peers[lab]?.links else { return nil }
    return ids.last { isPreferred($0) } ?? ids.last
  }

  /// Closes what is too much once the one to keep has been heard and the overlap is over.
  mutating func settleRivals(of lab: LabID, _ now: Instant) {
    guard let ids = peers[lab]?.links, ids.count > 1, let keeper = keeper(of: lab),
      let link = links[keeper], let since = link.rivalSince
    else { return }
    guard link.greeted, link.lastHeard > since,
      now.seconds(since: since) >= GossipLimits.overlapSeconds
    else { return }
    for id in ids where id != keeper { close(id, "another connection is kept", now) }
  }

  // MARK: - Frames

  mutating func received(_ frame: Hanse_V1_Frame, on id: ConnectionID, _ now: Instant) {
    guard let link = links[id] else { return }
    links[id]?.lastHeard = now
    peers[link.lab]?.lastHeard = now
    if isTraffic(frame) { links[id]?.lastUse = now }
    if case .hello(let hello)? = frame.kind { return greet(hello, on: id, now) }
    if case .goodbye(let goodbye)? = frame.kind {
      peers[link.lab]?.lastError = "said goodbye: \(printable(goodbye.reason))"
      return
    }
    guard link.greeted else {
      fault(.outOfTurn, on: id, "a frame before hello", now)
      close(id, "a frame came before hello", now)
      return
    }
    switch frame.kind {
    case .heads(let heads):
      receivedHeads(heads.heads, on: id, now)
      receivedSeen(heads.seen, on: id, now)
    case .entries(let entries): receivedEntries(entries.entries, on: id, now)
    case .wantEntries(let want): serveEntries(want, on: id, now)
    case .wantObject(let want): queueBlock(want, on: id, now)
    case .block(let block): receivedBlock(block, on: id, now)
    case .have(let have): receivedHave(have, on: id)
    case .neighbour(let neighbour): received(neighbour, from: link.lab, now)
    case .wantSnapshot(let want): receivedWantSnapshot(want, on: id, now)
    case .snapshotHere(let here): receivedSnapshotHere(here, on: id, now)
    case .ping(let ping):
      var pong = Hanse_V1_Pong()
      pong.nonce = ping.nonce
      send(.pong(pong), on: id)
    case .pong(let pong): answered(pong, on: id, now)
    case .joinRequest, .joinAnswer: fault(.outOfTurn, on: id, "a guest's frame", now)
    // A kind that this version does not know: for a later one to use.
    case nil, .hello, .goodbye: break
    }
  }

  /// Whether a frame carries or asks for entries or blocks.
  private func isTraffic(_ frame: Hanse_V1_Frame) -> Bool {
    switch frame.kind {
    case .entries, .wantEntries, .wantObject, .block: true
    default: false
    }
  }

  private mutating func sendHello(on id: ConnectionID) {
    var hello = Hanse_V1_Hello()
    hello.protocol = 1
    hello.federation = Data(federation.bytes)
    hello.software = software
    hello.heads = ownHeads()
    send(.hello(hello), on: id)
  }

  private mutating func greet(_ hello: Hanse_V1_Hello, on id: ConnectionID, _ now: Instant) {
    guard let link = links[id] else { return }
    guard !link.greeted else { return fault(.outOfTurn, on: id, "a second hello", now) }
    guard hello.protocol == 1 else {
      fault(.stranger, on: id, "speaks protocol \(hello.protocol)", now)
      return close(id, "protocol \(hello.protocol) is not spoken here, only 1", now)
    }
    guard Array(hello.federation) == federation.bytes else {
      fault(.stranger, on: id, "belongs to another federation", now)
      return close(id, "this node belongs to federation \(federation.short)", now)
    }
    links[id]?.greeted = true
    let peer = link.lab
    findRoute(to: peer)
    peers[peer]?.known.removeAll()
    peers[peer]?.unhelpful.removeAll()
    peers[peer]?.compared.removeAll()
    peers[peer]?.evidenceSent.removeAll()
    peers[peer]?.announcing.removeAll()
    peers[peer]?.reportedOwn = 0
    let firstHeads = now.adding(seconds: jittered(GossipLimits.headsSeconds))
    peers[peer]?.nextHeads = firstHeads
    peers[peer]?.arriving.removeAll()
    links[id]?.lastUse = now
    noteSeen(peer, at: now, now)
    renewBond(with: peer, on: id, now)
    ping(id, now)
    if !held.order.isEmpty {
      var have = Hanse_V1_Have()
      have.objects = held.order.suffix(GossipLimits.objectsPerHave).map { Data($0.bytes) }
      send(.have(have), on: id)
    }
    objectsChanged = true
    receivedHeads(hello.heads, on: id, now)
  }

  mutating func ping(_ id: ConnectionID, _ now: Instant) {
    var ping = Hanse_V1_Ping()
    ping.nonce = generator.next()
    links[id]?.pingNonce = ping.nonce
    links[id]?.lastPing = now
    send(.ping(ping), on: id)
  }

  private mutating func answered(_ pong: Hanse_V1_Pong, on id: ConnectionID, _ now: Instant) {
    guard let link = links[id], link.pingNonce == pong.nonce, let sent = link.lastPing else {
      return
    }
    links[id]?.pingNonce = nil
    peers[link.lab]?.roundTrip = now.seconds(since: sent)
  }
}
