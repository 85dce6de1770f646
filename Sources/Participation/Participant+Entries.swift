import FoundationEssentials
import Gossip
import Identities
import Ledger
import Records

extension Participant {
  /// Checks entries that came from a peer; those that have a place in the logs are durable before
  /// anybody else hears of them.
  mutating func verify(batch: UInt64, from connection: ConnectionID, entries: [Entry]) {
    file(entries, from: connection)
    events.append(.verified(batch: batch))
  }

  /// Checks entries that came in a file, just as those that a peer sends.
  mutating func verify(imported entries: [Entry]) { file(entries, from: nil) }

  /// Tries the entries that rest on others again, when an own entry or a seal may have brought
  /// those: nobody is asked for what is here.
  mutating func tryWaitingAgain() {
    guard !waiting.isEmpty, waiting.triedAt != logbook.changeCount else { return }
    file([], from: nil)
  }

  private mutating func file(_ entries: [Entry], from connection: ConnectionID?) {
    var changes: [Change] = []
    var told: [GossipEvent] = []
    for entry in entries { receive(entry, from: connection, &changes, &told) }
    retryWaiting(&changes, &told)
    settle()
    retryWaiting(&changes, &told)
    if !changes.isEmpty { out.append(.persist(changes)) }
    events += told
  }

  private mutating func receive(
    _ entry: Entry, from connection: ConnectionID?, _ changes: inout [Change],
    _ told: inout [GossipEvent]
  ) {
    let before = logbook.forks[entry.lab]?.other.id
    do {
      switch try logbook.append(entry) {
      case .appended:
        changes.append(.append(entry))
        told.append(.appended(entry))
        notice(entry)
        if entry.lab == lab { noticeOwn(entry) }
      case .known: break
      case .gap, .unknownRoster:
        // Of a log only its next entry: whoever shows a later one may keep those between to itself.
        let isNext = entry.sequence == UInt64(logbook.log(of: entry.lab).count) + 1
        let isSigned = try connection != nil && isSigned(entry) && isNext
        waiting.add(entry)
        if let connection {
          told.append(.entryDeferred(entry.lab, from: connection, isSigned: isSigned))
        }
      case .branch: break
      case .equivocation:
        // One proof is enough, the lowest: whoever signs a thousand branches fills no disk here.
        guard let fork = logbook.forks[entry.lab], fork.other.id == entry.id, before != entry.id
        else { return }
        changes.append(.fork(entry))
        told.append(
          .forked(
            entry.lab, sequence: fork.sequence, isFirst: logbook.isWhereBranchesPart(fork),
            from: connection))
        out.append(.news(.equivocated(entry.lab, sequence: fork.sequence, entry: entry.id)))
      }
    } catch {
      out.append(.news(.refused(reason: "\(error)")))
      if let connection {
        told.append(.entryRefused(from: connection, reason: "\(error)"))
      }
    }
  }

  /// Whether an entry that has to wait is signed with a key that its lab has: no when that cannot
  /// be told, since its roster is not known here and may have given the lab another one.
  ///
  /// - Throws: when it is known to be forged: what a lab has not signed must not keep it waiting
  ///   for the rest of its log.
  private func isSigned(_ entry: Entry) throws(LedgerError) -> Bool {
    let roster = logbook.roster(version: entry.rosterVersion)
    let keys =
      roster == nil && entry.lab == lab
      ? keyring.keys.map(\.publicKey)
      : (roster ?? logbook.roster).member(entry.lab).map { [$0.key] } ?? []
    var fault = RecordError.field("entry.signature", "is of no key that this lab has")
    for key in keys {
      do {
        try entry.verify(with: key)
        return true
      } catch { fault = error }
    }
    guard roster == nil, entry.lab != lab else { throw .record(fault) }
    return false
  }

  /// An entry of the own log came from outside. One that was written while this node was signing is
  /// another daemon's with the same key: two of them fork the log sooner or later, so this one
  /// stops before.
  private mutating func noticeOwn(_ entry: Entry) {
    guard maySign, entry.message.timeSeconds > signsSince else { return }
    maySign = false
    signedElsewhere = entry.sequence
    out.append(.news(.signedElsewhere(sequence: entry.sequence)))
  }

  /// Tries the entries again that rested on others, until none of them moves. While nothing has
  /// come to the ledger since, none can: strangers' entries must not be gone through at every
  /// frame.
  private mutating func retryWaiting(_ changes: inout [Change], _ told: inout [GossipEvent]) {
    var moved = !waiting.isEmpty && waiting.triedAt != logbook.changeCount
    while moved {
      moved = false
      waiting.triedAt = logbook.changeCount
      for entry in waiting.takeAll() {
        let count = changes.count
        receive(entry, from: nil, &changes, &told)
        if changes.count > count { moved = true }
      }
    }
  }

  /// Signs an entry of this lab's log: durable first, then shown.
  ///
  /// - Parameter changes: what must not be separated from it by a crash.
  /// - Throws: what is wrong with the payload; nothing has happened then.
  @discardableResult
  mutating func sign(
    _ payload: Hanse_V1_Entry.OneOf_Payload, with changes: [Change] = []
  ) throws(Refusal) -> Entry {
    guard let key = signingKey else { throw Self.foreignKey }
    if case .attestation = payload {} else { try requireNotAhead() }
    let entry: Entry
    do {
      entry = try draft(payload, key)
      let outcome = try logbook.append(entry)
      precondition(outcome == .appended, "a new entry of the own log: \(outcome)")
    } catch {
      throw Refusal(.refused, "the entry has no place in the log: \(error)", hint: "")
    }
    out.append(.persist([.append(entry)] + changes))
    settle()
    notice(entry)
    tell(.appended(entry))
    return entry
  }

  private func draft(
    _ payload: Hanse_V1_Entry.OneOf_Payload, _ key: SigningKey
  ) throws(RecordError) -> Entry {
    let last = logbook.log(of: lab).last
    var message = Hanse_V1_Entry()
    message.federation = .init(charter.id.bytes)
    message.lab = .init(lab.bytes)
    message.rosterVersion = logbook.roster.version
    message.sequence = (last?.sequence ?? 0) + 1
    message.previous = .init(last?.id.bytes ?? [])
    message.timeSeconds = moment.wallSeconds
    message.payload = payload
    return try Entry(signing: message, with: key)
  }

  mutating func notice(_ entry: Entry) {
    quietSince = moment.now
    switch entry.message.payload {
    case .contribution(let message):
      if let object = ContentID(bytes: message.payload.blockList) {
        note(object, announcedBy: entry.id)
      }
      out.append(.news(.contributed(entry.lab, round: message.round, entry: entry.id)))
    case .verdict(let verdict):
      guard let id = ContentID(bytes: verdict.contribution) else { return }
      out.append(.news(.judged(entry.lab, accepts: verdict.accept, contribution: id)))
    case .proposal: out.append(.news(.proposed(entry.lab, entry: entry.id)))
    case .approval: out.append(.news(.approved(entry.lab)))
    case .attestation(let attestation):
      compareRoot(attestation, by: entry.lab)
      if !attesters.contains(entry.lab) { attesters.append(entry.lab) }
      out.append(
        .news(
          .attested(
            entry.lab, round: attestation.merge.frontier.round,
            root: ContentID(bytes: attestation.stateRoot))))
    case .presence, nil: break
    }
  }

  /// Signs what is due, or says why it cannot be.
  mutating func signOrSay(_ payload: Hanse_V1_Entry.OneOf_Payload) {
    do { try sign(payload) } catch { out.append(.news(.cannotSign(reason: error.reason))) }
  }

  /// A different root for the same merge is an alarm, never ignored.
  mutating func compareRoot(_ attestation: Hanse_V1_Attestation, by lab: LabID) {
    guard let own = headRoot, attestation.merge.isSame(as: head),
      let other = ContentID(bytes: attestation.stateRoot), other != own
    else { return }
    out.append(.news(.differentRoots(merge: headID, own: own, other: other, lab: lab)))
  }
}
