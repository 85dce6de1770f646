import Determinism
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Logging
import Records
import Storage
import Transport

extension NodeCore {
  /// Draws this node's own conclusions from what it knows now: whom to meet, what to fetch, what to
  /// say. Idempotent; called after every change.
  func react() {
    guard !reacting, failure == nil else { return }
    reacting = true
    defer { reacting = false }
    logbook.settle()
    if shownRosterVersion != logbook.roster.version { showRoster() }
    wantPayloads()
    checkOwnLog()
    guard maySign, isMember else { return wake() }
    do {
      try sayPresence()
      try attestWhenDue()
    } catch {
      fail(error)
    }
    wake()
  }

  // MARK: the roster

  /// Tells mesh and transport who the members are and where they may be met.
  func showRoster() {
    shownRosterVersion = logbook.roster.version
    var keys: [PublicKey: LabID] = [:]
    var members: [Gossip.Member] = []
    for contact in contacts where logbook.roster.member(contact.lab) == nil && !isMember {
      keys[contact.key] = contact.lab
      members.append(Gossip.Member(lab: contact.lab, addresses: [contact.address]))
    }
    for seat in logbook.roster.members {
      keys[seat.key] = seat.lab
      if seat.lab != lab {
        members.append(Gossip.Member(lab: seat.lab, addresses: addresses(of: seat)))
      }
    }
    keys[key.publicKey] = nil
    membership.replace(keys)
    // A lab that was removed, or a key that was rotated, is cut off at once.
    board?.recheckMembers()
    var labs = Set(logbook.labs)
    for roster in logbook.rosters { labs.formUnion(roster.members.map(\.lab)) }
    tell(.members(members.sorted { $0.lab < $1.lab }, logs: labs.sorted()))
    tell(.round(UInt64(round)))
  }

  /// Where a lab says it may be dialled, what a ticket said, or what its request to join said.
  func addresses(of seat: Seat) -> [String] {
    if let presence = logbook.presence(of: seat.lab), !presence.addresses.isEmpty {
      return presence.addresses
    }
    let known = contacts.filter { $0.lab == seat.lab }.map(\.address)
    if !known.isEmpty { return known }
    for member in logbook.roster.members {
      let asks = logbook.requests(recordedBy: member.lab)
      if let ask = asks.last(where: { $0.lab == seat.lab }) { return ask.addresses }
    }
    return []
  }

  // MARK: payloads

  /// Wants the payload of every contribution that may still be judged or folded.
  private func wantPayloads() {
    for state in logbook.contributionsInOrder {
      guard let object = ContentID(bytes: state.message.payload.blockList) else { continue }
      announced[object] = state.id
      switch state.status {
      case .pending, .admitted:
        guard !heldObjects.contains(object), wantedObjects.insert(object).inserted else { continue }
        let status = try? store.object(object)
        tell(
          .want(
            object, plan: status.map(Self.plan), hints: [state.author],
            urgency: UInt64(state.round)))
      case .rejected, .refused:
        if wantedObjects.remove(object) != nil { tell(.unwant(object)) }
      }
    }
  }

  // MARK: the own log

  /// A node that came back from a backup must not sign twice at one place: it signs nothing until
  /// more than half of the labs, itself counted, have said where its log ends with them.
  private func checkOwnLog() {
    guard !maySign, isMember else { return }
    let own = logbook.log(of: lab).last?.sequence ?? 0
    var heard = 1
    for report in mesh.ownHeadReports where logbook.roster.member(report.lab) != nil {
      guard report.sequence <= own else { return }
      heard += 1
    }
    guard heard * 2 > logbook.roster.members.count else { return }
    maySign = true
    log.info("the own log is complete at sequence \(own); signing from here on")
  }

  // MARK: what this lab says

  private func sayPresence() throws {
    let presence = ownPresence
    if let said = logbook.presence(of: lab), said.addresses == presence.addresses,
      said.software == presence.software, said.trains == presence.trains,
      said.name == presence.name
    {
      return
    }
    reacting = false
    try sign(.presence(presence))
  }

  /// Where this node says that it may be dialled.
  var ownAddresses: [String] {
    if let advertised = configuration.advertise, !advertised.isEmpty { return advertised }
    return boundAddress.map(InterfaceAddresses.reachable) ?? []
  }

  /// Attests a head when it is new, and again when something that matters is not yet sealed.
  private func attestWhenDue() throws {
    guard let root = headRoot else { return }
    let coverage = logbook.coverage(of: lab)
    let isNew = lastAttested?.merge.id != head.id || lastAttested?.stateRoot != Data(root.bytes)
    if !isNew {
      let isOpen =
        logbook.seal.rosterVersion < logbook.roster.version || !logbook.isSealed(head.frontier)
      guard isOpen, hasUncoveredWeight(coverage),
        Self.clock().seconds(since: quietSince) >= 1
      else { return }
    }
    var attestation = Hanse_V1_Attestation()
    // A hundred positions fill half of an entry; the rest follows with the next one.
    attestation.prefixes = Array(
      logbook.heads.filter { position in
        LabID(bytes: position.lab).map { (coverage[$0] ?? 0) < position.sequence } ?? false
      }.prefix(100))
    attestation.merge = head
    attestation.stateRoot = Data(root.bytes)
    reacting = false
    try sign(.attestation(attestation))
  }

  /// This lab's newest attestation.
  var lastAttested: Hanse_V1_Attestation? {
    for entry in logbook.log(of: lab).reversed() {
      if case .attestation(let attestation)? = entry.message.payload { return attestation }
    }
    return nil
  }

  /// Whether anything that decides roster or admission lies beyond what this lab attested.
  private func hasUncoveredWeight(_ coverage: [LabID: UInt64]) -> Bool {
    logbook.labs.contains { lab in
      logbook.log(of: lab).dropFirst(Int(coverage[lab] ?? 0)).contains { entry in
        switch entry.message.payload {
        case .contribution, .verdict, .proposal, .approval: true
        default: false
        }
      }
    }
  }
}
