import Determinism
import FoundationEssentials
import Identities
import Records

/// Entries that came: handed to the shell if they may be new, and what follows from its answer.
extension Mesh {
  mutating func receivedEntries(
    _ entries: [Hanse_V1_SignedEntry], on id: ConnectionID, _ now: Instant
  ) {
    guard let link = links[id] else { return }
    var batch: [Entry] = []
    var pending: [PendingEntry] = []
    var answered = false
    for signed in entries {
      count(1, \.entries, from: link.lab)
      let entry: Entry
      do { entry = try reading.read(signed) } catch {
        fault(.badEntry, on: id, printable("\(error)"), now)
        continue
      }
      answered = answered || entry.lab == link.asking?.lab
      learn(link.lab, of: entry.lab, entry.sequence, entry.id)
      let isAsked = entry.lab == link.asking?.lab
      let isBranch = link.asking?.isBranch == true && isAsked
      guard accepts(entry, from: link.lab, isBranch: isBranch, isAsked: isAsked) else { continue }
      batch.append(entry)
      pending.append(
        PendingEntry(
          lab: entry.lab, sequence: entry.sequence, id: entry.id, bytes: entry.body.count,
          from: id))
      inVerification.insert(entry.id)
      bytesInVerification += entry.body.count
      logs[entry.lab]?.verifying += 1
      if entry.sequence > logs[entry.lab]?.verifyingThrough ?? 0 {
        logs[entry.lab]?.verifyingThrough = entry.sequence
      }
    }
    if let asking = link.asking, answered || entries.isEmpty {
      if entries.isEmpty, !asking.isBranch {
        fault(.brokenPromise, on: id, "has no more of a log than it said", now)
      }
      settle(asking, on: id, now)
    }
    if !batch.isEmpty {
      batches[nextBatch] = pending
      out.append(.verify(batch: nextBatch, from: id, entries: batch))
      nextBatch += 1
    }
    pursueEntries(now)
  }

  /// Whether an entry may be new and goes on with what is here or on its way.
  private mutating func accepts(
    _ entry: Entry, from peer: LabID, isBranch: Bool, isAsked: Bool
  ) -> Bool {
    guard let log = logs[entry.lab], entry.federation == federation else { return false }
    if inVerification.contains(entry.id) || log.entry(at: entry.sequence) == entry.id {
      count(1, \.duplicateEntries, from: peer)
      if !isAsked { prune(peer, entry) }
      return false
    }
    guard inVerification.count < GossipLimits.entriesInVerification,
      bytesInVerification < GossipLimits.bytesInVerification
    else {
      behind[entry.lab] = true
      return false
    }
    let reached = max(log.sequence, log.verifyingThrough)
    // An older place: known already, or the other branch of a fork. Only storage can tell.
    if entry.sequence <= reached || isBranch { return true }
    guard log.fork == nil, entry.sequence <= allowance(entry.lab) else { return false }
    guard entry.sequence == reached + 1 else {
      behind[entry.lab] = true
      return false
    }
    logs[entry.lab]?.deliverer = (peer, entry.sequence)
    return true
  }

  /// A request has been answered: with entries, or with none although the peer claimed more.
  private mutating func settle(_ asking: EntryRequest, on id: ConnectionID, _ now: Instant) {
    links[id]?.asking = nil
    guard logs[asking.lab]?.askedOf == id else { return }
    logs[asking.lab]?.askedOf = nil
    behind[asking.lab] = true
    if logs[asking.lab]?.verifying == 0, let lab = links[id]?.lab,
      logs[asking.lab]?.sequence == asking.after
    {
      restFrom(lab, asking.lab, now)
    }
  }

  mutating func finishBatch(_ number: UInt64, _ now: Instant) {
    guard let batch = batches[number] else { return }
    batches[number] = nil
    for entry in batch {
      inVerification.remove(entry.id)
      bytesInVerification -= entry.bytes
      guard let log = logs[entry.lab] else { continue }
      logs[entry.lab]?.verifying = max(0, log.verifying - 1)
      if log.verifying <= 1 { logs[entry.lab]?.verifyingThrough = 0 }
      let peer = links[entry.from]?.lab
      guard log.sequence < entry.sequence else {
        if entry.lab == self.lab, let peer, let last = log.deliverer, last == (peer, entry.sequence)
        {
          peers[peer]?.emptyClaims = 0
        }
        continue
      }
      // It did not become part of the log: not to be asked of the same peer again at once.
      let waits = log.deferral?.holds(at: log.sequence, now) ?? false
      if let peer, !waits, peers[peer]?.deferred[entry.lab].map({ $0.until <= now }) ?? true {
        restFrom(peer, entry.lab, now)
      }
      behind[entry.lab] = true
    }
    for entry in batch.suffix(1) { behind[entry.lab] = true }
    pursueEntries(now)
  }

  // MARK: - Forks

  mutating func forked(
    _ lab: LabID, _ sequence: UInt64, _ isFirst: Bool, _ from: ConnectionID?, _ now: Instant
  ) {
    if logs[lab] == nil { logs[lab] = Shared(Log()) }
    let lowest = min(logs[lab]?.fork ?? .max, sequence)
    logs[lab]?.fork = lowest
    if !forkedLogs.contains(lab) {
      forkedLogs.append(lab)
      forkedLogs.sort()
    }
    for peer in peers.keys { offerEvidence(to: peer) }
    guard !isFirst, sequence == lowest, sequence > 1, let from else { return }
    let step = GossipLimits.branchStep
    let after = sequence - 1 > step ? sequence - 1 - step : 0
    hasBranchWish = true
    logs[lab]?.branchWanted = BranchWish(
      after: after, limit: UInt32(sequence - 1 - after), from: from)
    pursueEntries(now)
  }

  /// Shows a peer the forks that are known here, once each, if its log reaches so far.
  mutating func offerEvidence(to peer: LabID) {
    guard !forkedLogs.isEmpty, let id = route(to: peer) else { return }
    for lab in forkedLogs {
      guard let fork = logs[lab]?.fork, peers[peer]?.evidenceSent[lab] != fork,
        (peers[peer]?.known[lab]?.sequence ?? 0) >= fork
      else { continue }
      peers[peer]?.evidenceSent[lab] = fork
      out.append(.sendEvidence(id, lab: lab, sequence: fork))
    }
  }

  mutating func count(
    _ amount: Int, _ path: WritableKeyPath<ReceivedCounts, Int>, from peer: LabID
  ) {
    peers[peer]?.received[keyPath: path] += amount
    total[keyPath: path] += amount
  }
}
