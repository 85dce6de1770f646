import FoundationEssentials
import Gossip
import Identities
import Ledger
import Logging
import Records
import Storage
import SwiftProtobuf

extension NodeCore {
  /// Checks entries that came from a peer and stores those that have a place in the logs.
  func verify(batch: UInt64, from connection: ConnectionID, entries: [Entry]) {
    var changes: [Change] = []
    var events: [GossipEvent] = []
    for entry in entries {
      receive(entry, from: connection, &changes, &events)
    }
    retryWaiting(&changes, &events)
    logbook.settle()
    retryWaiting(&changes, &events)
    do {
      // Durable before anybody else hears of it.
      if !changes.isEmpty { try store.commit(changes) }
    } catch {
      fail(error)
      return
    }
    for event in events { tell(event) }
    tell(.verified(batch: batch))
    react()
  }

  private func receive(
    _ entry: Entry, from connection: ConnectionID?, _ changes: inout [Change],
    _ events: inout [GossipEvent]
  ) {
    do {
      switch try logbook.append(entry) {
      case .appended:
        changes.append(.append(StoredEntry(entry)))
        events.append(.appended(entry))
        notice(entry)
      case .known: break
      case .gap, .unknownRoster:
        wait(for: entry)
        events.append(.entryDeferred(entry.lab))
      case .equivocation(let sequence):
        changes.append(.fork(StoredEntry(entry)))
        events.append(.forked(entry.lab, sequence: sequence, isFirst: true, from: connection))
        log.warning(
          "lab \(name(of: entry.lab)) signed two entries at sequence \(sequence)",
          metadata: ["entry": "\(entry.id.short)"])
      }
    } catch {
      log.debug("entry refused: \(error)")
      if let connection {
        events.append(.entryRefused(from: connection, reason: "\(error)"))
      }
    }
  }

  private func wait(for entry: Entry) {
    guard !waiting.contains(where: { $0.id == entry.id }) else { return }
    waiting.append(entry)
    if waiting.count > Self.waitingMax { waiting.removeFirst() }
  }

  /// Tries the entries again that rested on others, until none of them moves.
  private func retryWaiting(_ changes: inout [Change], _ events: inout [GossipEvent]) {
    var moved = true
    while moved {
      moved = false
      let before = waiting
      waiting = []
      for entry in before {
        let count = changes.count
        receive(entry, from: nil, &changes, &events)
        if changes.count > count { moved = true }
      }
    }
  }

  /// Signs an entry of this lab's log, stores it durably and shows it.
  ///
  /// - Parameter with: own values that must not be separated from it by a crash.
  @discardableResult
  func sign(
    _ payload: Hanse_V1_Entry.OneOf_Payload, with values: [Change] = []
  ) throws -> Entry {
    let entry = try draft(payload)
    guard case .appended = try logbook.append(entry) else {
      throw NodeError.notFound("the place of a new entry in this lab's own log")
    }
    try store.commit([.append(StoredEntry(entry))] + values)
    logbook.settle()
    notice(entry)
    tell(.appended(entry))
    react()
    return entry
  }

  private func draft(_ payload: Hanse_V1_Entry.OneOf_Payload) throws -> Entry {
    let last = logbook.log(of: lab).last
    var message = Hanse_V1_Entry()
    message.federation = .init(charter.id.bytes)
    message.lab = .init(lab.bytes)
    message.rosterVersion = logbook.roster.version
    message.sequence = (last?.sequence ?? 0) + 1
    message.previous = .init(last?.id.bytes ?? [])
    message.timeSeconds = Self.wallSeconds()
    message.payload = payload
    return try Entry(signing: message, with: key)
  }

  /// A lab's name and id, safe to print.
  func name(of lab: LabID) -> String {
    let name = logbook.rosters.last { $0.member(lab) != nil }?.member(lab)?.name
    return printable(name ?? "?") + " (\(lab.short))"
  }

  private func notice(_ entry: Entry) {
    quietSince = Self.clock()
    let who = name(of: entry.lab)
    switch entry.message.payload {
    case .contribution(let message):
      if let object = ContentID(bytes: message.payload.blockList) { announced[object] = entry.id }
      log.info(
        "\(who) contributed to round \(message.round)", metadata: ["id": "\(entry.id.short)"])
    case .verdict(let verdict):
      let contribution = ContentID(bytes: verdict.contribution)?.short ?? "?"
      log.info("\(who) \(verdict.accept ? "accepted" : "rejected") \(contribution)")
    case .proposal: log.notice("\(who) proposed a change", metadata: ["id": "\(entry.id.short)"])
    case .approval: log.notice("\(who) approved a proposal")
    case .attestation(let attestation):
      check(attestation, by: entry.lab)
      let root = ContentID(bytes: attestation.stateRoot)?.short ?? "?"
      log.info("\(who) attests round \(attestation.merge.frontier.round), root \(root)")
    case .presence, nil: break
    }
  }

  /// A different root for the same merge is an alarm, never ignored.
  private func check(_ attestation: Hanse_V1_Attestation, by lab: LabID) {
    guard attestation.merge.id == head.id, let own = headRoot,
      let other = ContentID(bytes: attestation.stateRoot), other != own
    else { return }
    let error = NodeError.differentRoots(merge: head.id, own: own, other: other, lab: lab)
    log.critical("\(error)")
    if !attention.contains("\(error)") { attention.append("\(error)") }
  }
}
