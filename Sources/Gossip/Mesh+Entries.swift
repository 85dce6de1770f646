import Determinism
import FoundationEssentials
import Identities
import Records

/// Entries: pushed by their author, announced by others, asked for by whoever lacks them.
extension Mesh {
  mutating func handleEntries(_ event: GossipEvent, _ now: Instant) {
    switch event {
    case .head(let head): adoptHead(head, now)
    case .appended(let entry): appended(entry, now)
    case .verified(let batch): finishBatch(batch, now)
    case .entryRefused(let from, let reason):
      fault(.badEntry, on: from, printable(reason), now)
    case .entryDeferred(let lab, let from, let isSigned):
      entryDeferred(lab, from, isSigned, now)
    case .forked(let lab, let sequence, let isFirst, let from):
      forked(lab, sequence, isFirst, from, now)
    case .fetchBranch(let lab, let after, let peer):
      guard let from = route(to: peer) else { return }
      hasBranchWish = true
      logs[lab]?.branchWanted = BranchWish(
        after: after, limit: UInt32(GossipLimits.entriesPerRequest), from: from)
      pursueEntries(now)
    case .entriesSent(let id, let lab, let through):
      guard let link = links[id] else { return }
      links[id]?.sending = max(0, link.sending - 1)
      learn(link.lab, of: lab, through, nil)
      offerEvidence(to: link.lab)
    default: break
    }
  }

  /// An entry waits for others. When its lab has signed it, nobody has anything better to send;
  /// when that cannot be told, anybody can have written it: only whoever showed it is not asked
  /// again.
  private mutating func entryDeferred(
    _ lab: LabID, _ from: ConnectionID, _ isSigned: Bool, _ now: Instant
  ) {
    guard let peer = links[from]?.lab, let log = logs[lab] else { return }
    guard isSigned else {
      peers[peer]?.deferred[lab] = Deferral(
        seconds: GossipLimits.deferSeconds, sequence: log.sequence, now)
      return
    }
    let last = log.deferral.flatMap { $0.sequence == log.sequence ? $0 : nil }
    // Told once for each entry of a batch.
    if let last, now < last.until { return }
    logs[lab]?.deferral = Deferral(
      seconds: min(
        last.map { 2 * $0.seconds } ?? GossipLimits.deferSeconds, GossipLimits.deferSecondsMax),
      sequence: log.sequence, now)
  }

  // MARK: - Own logs

  private mutating func adoptHead(_ head: Head, _ now: Instant) {
    if logs[head.lab] == nil { logs[head.lab] = Shared(Log()) }
    logs[head.lab]?.recent = []
    logs[head.lab]?.value.append(head)
    logs[head.lab]?.fork = nil
    forkedLogs.removeAll { $0 == head.lab }
    logs[head.lab]?.branchWanted = nil
    logs[head.lab]?.roundStart = head.sequence
    noteClaims()
    pursueEntries(now)
  }

  mutating func advanceRound(_ now: Instant) {
    for lab in logs.keys {
      let reached = logs[lab]?.sequence ?? 0
      logs[lab]?.roundStart = reached
    }
    trickled = 0
    trickledAt = now
    noteClaims()
    pursueEntries(now)
  }

  /// A log that lags behind the round is not measured by where it stood when that began: others
  /// may rest on what it still has to say.
  mutating func readOn(_ lab: LabID, from sequence: UInt64, _ now: Instant) {
    guard let log = logs[lab], log.roundStart < sequence, sequence <= log.sequence else { return }
    logs[lab]?.roundStart = sequence
    noteClaims()
    pursueEntries(now)
  }

  /// Sequence up to which a lab's entries are fetched in this round.
  func allowance(_ lab: LabID) -> UInt64 {
    // One's own log is owed to nobody's patience: a restored node needs all of it.
    guard lab != self.lab else { return .max }
    let (sum, overflow) = (logs[lab]?.roundStart ?? 0).addingReportingOverflow(
      GossipLimits.entriesPerRound(labs: members.count + 1) + trickled)
    return overflow ? .max : sum
  }

  /// Lets a little more of every log in, the longer a round lasts.
  mutating func trickle(_ now: Instant) {
    guard now.seconds(since: trickledAt) >= GossipLimits.trickleSeconds else { return }
    trickledAt = now
    trickled += GossipLimits.entriesTrickle(labs: members.count + 1)
    noteClaims()
  }

  private mutating func appended(_ entry: Entry, _ now: Instant) {
    let head = Head(entry)
    if logs[head.lab] == nil { logs[head.lab] = Shared(Log()) }
    logs[head.lab]?.value.append(head)
    let signed = entry.signed
    for peer in linked { pass(signed, head, to: peer, now) }
  }

  /// Pushes an entry to a peer, or notes that it is to be announced a little later.
  private mutating func pass(
    _ signed: Hanse_V1_SignedEntry, _ head: Head, to lab: LabID, _ now: Instant
  ) {
    guard let peer = peers[lab], let id = route(to: lab) else { return }
    let known = peer.known[head.lab]?.sequence ?? 0
    guard known < head.sequence, logs[head.lab]?.fork == nil else { return }
    guard isEager(peer, for: head.lab, now), known + 1 == head.sequence else {
      peers[lab]?.announcing[head.lab] = true
      return announceSoon(to: lab, now)
    }
    var entries = Hanse_V1_Entries()
    entries.entries = [signed]
    send(.entries(entries), on: id)
    pushed += 1
    peers[lab]?.known[head.lab] = Known(sequence: head.sequence, entry: head.entry)
  }

  mutating func announceSoon(to lab: LabID, _ now: Instant) {
    guard peers[lab]?.announceAt == nil else { return }
    let due = now.adding(seconds: jittered(GossipLimits.announceSeconds))
    peers[lab]?.announceAt = due
  }

  // MARK: - What peers have

  mutating func receivedHeads(
    _ heads: [Hanse_V1_LogPosition], on id: ConnectionID, _ now: Instant
  ) {
    guard let lab = links[id]?.lab else { return }
    guard heads.count <= GossipLimits.headsPerFrame else {
      return fault(.tooManyRequests, on: id, "\(heads.count) heads in one frame", now)
    }
    for position in heads {
      guard let head = Head(position) else {
        fault(.outOfTurn, on: id, "a head that is none", now)
        continue
      }
      take(head, reportedBy: lab, on: id, now)
    }
    offerEvidence(to: lab)
    pursueEntries(now)
  }

  private mutating func take(
    _ head: Head, reportedBy lab: LabID, on id: ConnectionID, _ now: Instant
  ) {
    if head.lab == self.lab { peers[lab]?.reportedOwn = head.sequence }
    let before = peers[lab]?.known[head.lab]
    guard before != nil || (peers[lab]?.known.count ?? 0) < GossipLimits.headsPerFrame else {
      return
    }
    if before?.sequence != head.sequence || before?.entry.map({ $0 != head.entry }) ?? false {
      peers[lab]?.unhelpful[head.lab] = nil
    }
    peers[lab]?.known[head.lab] = Known(sequence: head.sequence, entry: head.entry)
    guard let log = logs[head.lab] else { return }
    if head.sequence > log.sequence {
      awaitPush(of: head, announcedBy: lab, now)
      behind[head.lab] = true
    } else if log.entry(at: head.sequence) != head.entry, peers[lab]?.compared[head.lab] != head {
      // Their log ends inside of ours, or beside it: only storage knows whether it is a branch.
      peers[lab]?.compared[head.lab] = head
      out.append(.compare(id, head))
    }
  }

  /// Notes that a peer has a log up to a sequence, because it sent or was sent the entries.
  mutating func learn(
    _ peer: LabID, of lab: LabID, _ sequence: UInt64, _ entry: ContentID?
  ) {
    guard sequence > (peers[peer]?.known[lab]?.sequence ?? 0),
      (peers[peer]?.known.count ?? 0) < GossipLimits.headsPerFrame
    else { return }
    peers[peer]?.known[lab] = Known(sequence: sequence, entry: entry)
  }

  /// Finds out anew which logs some peer has more of.
  mutating func noteClaims() {
    let labs = logs.keys
    let own = labs.indices.map { logs.value(at: $0)?.sequence ?? 0 }
    var isBehind = [Bool](repeating: false, count: labs.count)
    for peer in linkedLabs {
      guard let known = peers[peer]?.known else { continue }
      // Both are in the order of the labs.
      var place = 0
      for (index, lab) in known.keys.enumerated() {
        while place < labs.count, labs[place] < lab { place += 1 }
        guard place < labs.count else { break }
        if labs[place] == lab, known.value(at: index)?.sequence ?? 0 > own[place] {
          isBehind[place] = true
        }
      }
    }
    for (place, lab) in labs.enumerated() where isBehind[place] { behind[lab] = true }
  }

  // MARK: - Asking

  /// Asks for what is missing: of each log one request at a time, of each peer one at a time.
  mutating func pursueEntries(_ now: Instant) {
    if hasBranchWish {
      let wished = logs.keys(where: { $0.branchWanted != nil })
      hasBranchWish = !wished.isEmpty
      for lab in wished { pursueBranch(lab, now) }
    }
    guard !behind.isEmpty else { return }
    // Found once for all logs: among hundreds of labs most of them may be behind.
    let linked = linkedLabs
    var idle: [IdlePeer] = []
    for lab in linked {
      guard let peer = peers[lab], let id = peer.route, links[id]?.asking == nil else { continue }
      idle.append(
        IdlePeer(
          lab: lab, link: id, known: peer.known, promises: peer.faults[.brokenPromise] ?? 0))
    }
    for lab in behind.keys { pursue(lab, of: linked, &idle, now) }
  }

  /// A peer of which nothing is asked now.
  private struct IdlePeer {
    let lab: LabID
    let link: ConnectionID
    let known: OrderedTable<LabID, Known>
    let promises: Int
  }

  private mutating func pursue(
    _ lab: LabID, of linked: [LabID], _ idle: inout [IdlePeer], _ now: Instant
  ) {
    guard let log = logs[lab], log.fork == nil else {
      behind[lab] = nil
      return
    }
    guard log.askedOf == nil, log.verifying == 0 else { return }
    if let until = log.patientUntil, now < until { return }
    let own = log.sequence
    if let deferral = log.deferral, deferral.holds(at: own, now) { return }
    var claimed = false
    var best: (rank: Int, place: Int)?
    for (place, peer) in idle.enumerated() {
      guard let known = peer.known[lab]?.sequence, known > own else { continue }
      claimed = true
      if let until = peers[peer.lab]?.unhelpful[lab], now < until { continue }
      if isDeferred(lab, at: peer.lab, now) { continue }
      // The author first: its word is what others pass on. Then who has kept its promises best;
      // not who claims most, since that costs nothing. In a tree who announced it first is near.
      let rank = peer.lab == lab ? -1 : 2 * peer.promises + (peer.lab == log.announcedBy ? 0 : 1)
      if best.map({ rank < $0.rank }) ?? true { best = (rank, place) }
    }
    guard claimed || isClaimed(lab, beyond: own, by: linked) else {
      behind[lab] = nil
      return
    }
    guard let best else { return }
    let allowed = allowance(lab)
    guard allowed > own else { return }
    let limit = min(UInt64(GossipLimits.entriesPerRequest), allowed - own)
    let asked = idle.remove(at: best.place)
    logs[lab]?.askedOf = asked.link
    logs[lab]?.patientUntil = nil
    graft(asked.lab)
    ask(
      asked.link,
      EntryRequest(
        lab: lab, after: own, deadline: now.adding(seconds: GossipLimits.entriesSeconds),
        isBranch: false), limit: UInt32(limit))
  }

  /// Whether some peer says that it has more of a log; the one that was found last is asked first.
  private mutating func isClaimed(
    _ lab: LabID, beyond own: UInt64, by linked: [LabID]
  ) -> Bool {
    func claims(_ peer: LabID) -> Bool { peers[peer]?.known[lab]?.sequence ?? 0 > own }
    if let last = claimants[lab], peers[last] != nil, claims(last) {
      if !isSparse || peers[last]?.links.isEmpty == false { return true }
    }
    let found = linked.first(where: claims)
    claimants[lab] = found
    return found != nil
  }

  /// Whether what a peer has of a log was sent and waits for others' entries.
  func isDeferred(_ lab: LabID, at peer: LabID, _ now: Instant) -> Bool {
    guard let deferral = peers[peer]?.deferred[lab] else { return false }
    return deferral.holds(at: logs[lab]?.sequence ?? 0, now)
  }

  private mutating func pursueBranch(_ lab: LabID, _ now: Instant) {
    guard let wish = logs[lab]?.branchWanted else { return }
    let id = wish.from
    guard links.contains(id) else {
      logs[lab]?.branchWanted = nil
      return
    }
    guard links[id]?.asking == nil else { return }
    logs[lab]?.branchWanted = nil
    ask(
      id,
      EntryRequest(
        lab: lab, after: wish.after, deadline: now.adding(seconds: GossipLimits.entriesSeconds),
        isBranch: true), limit: wish.limit)
  }

  private mutating func ask(_ id: ConnectionID, _ request: EntryRequest, limit: UInt32) {
    links[id]?.asking = request
    var want = Hanse_V1_WantEntries()
    want.lab = Data(request.lab.bytes)
    want.after = request.after
    want.limit = limit
    send(.wantEntries(want), on: id)
  }

  /// A peer could not give what it claimed to have of a log: it is not asked again for a while.
  mutating func restFrom(_ peer: LabID, _ lab: LabID, _ now: Instant) {
    peers[peer]?.unhelpful[lab] = now.adding(seconds: GossipLimits.unhelpfulSeconds)
    if lab == self.lab { peers[peer]?.emptyClaims += 1 }
  }

  mutating func checkEntryDeadlines(_ now: Instant) {
    for id in links.keys {
      guard let asking = links[id]?.asking, asking.deadline <= now else { continue }
      fault(.brokenPromise, on: id, "did not send the entries it has", now)
      giveUp(asking, on: id, now)
    }
    if !behind.isEmpty { pursueEntries(now) }
  }

  private mutating func giveUp(_ asking: EntryRequest, on id: ConnectionID, _ now: Instant) {
    links[id]?.asking = nil
    if logs[asking.lab]?.askedOf == id { logs[asking.lab]?.askedOf = nil }
    guard let lab = links[id]?.lab else { return }
    if !asking.isBranch {
      restFrom(lab, asking.lab, now)
      behind[asking.lab] = true
    }
  }

  /// Answers a request for entries through the shell.
  mutating func serveEntries(_ want: Hanse_V1_WantEntries, on id: ConnectionID, _ now: Instant) {
    guard let link = links[id], let lab = LabID(bytes: want.lab) else {
      return fault(.outOfTurn, on: id, "a request for the log of no lab", now)
    }
    guard link.sending < GossipLimits.entryRequestsPerPeer else {
      return fault(.tooManyRequests, on: id, "too many requests for entries at once", now)
    }
    links[id]?.sending += 1
    if !isSparse && lab != self.lab && lab != link.lab && logs.contains(lab) {
      peers[link.lab]?.grafted[lab] = now.adding(seconds: GossipLimits.graftSeconds)
    }
    out.append(
      .sendEntries(
        id, lab: lab, after: want.after,
        limit: Int(min(want.limit, UInt32(GossipLimits.entriesPerRequest)))))
  }
}
