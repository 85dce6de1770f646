import Determinism
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Records

extension Participant {
  /// Draws this node's own conclusions from what it knows now: whom to meet, what to fetch, what
  /// to say. Idempotent; done after every event.
  mutating func conclude() {
    repeat {
      drain()
      settle()
      tryWaitingAgain()
      // A hundred labs that say where they are at once are looked at once.
      let isDue = mayShowPresences && shownPresences != logbook.presenceCount
      if shownRosterVersion != logbook.roster.version || isDue { showRoster() }
      showKeys()
      if !attesters.isEmpty { showRound() }
      refreshCoverage()
      noteDistance()
      wantPayloads()
      catchUp()
      pursueBranches()
      checkOwnLog()
      drain()
    } while sayWhatIsDue()
  }

  /// Has the ledger draw its conclusions. A log that changed over to the branch that a quorum
  /// attested is durable before anything is made of it.
  mutating func settle() {
    logbook.settle()
    for log in logbook.takeChangedLogs() {
      out.append(.persist(log.entries.map { .fork($0) }))
      guard log.isFollowed else { continue }
      mayHaveMoved = true
      for entry in log.entries where logbook.entry(entry.id) != nil { notice(entry) }
      guard let last = logbook.log(of: log.lab).last, let fork = logbook.forks[log.lab] else {
        continue
      }
      tell(.head(Head(last)))
      tell(.forked(log.lab, sequence: fork.sequence, isFirst: true, from: nil))
      out.append(.news(.changedOver(log.lab, sequence: last.sequence)))
    }
  }

  /// Asks for branches that a quorum attested, one lab after the other that should have them.
  private mutating func pursueBranches() {
    guard !logbook.wantedBranches.isEmpty,
      branchesAsked.map({ moment.now.seconds(since: $0) >= GossipLimits.deferSeconds }) ?? true
    else { return }
    branchesAsked = moment.now
    let connected = mesh.connectedLabs
    for wanted in logbook.wantedBranches {
      let able = wanted.attesters.filter(connected.contains)
      guard !able.isEmpty else { continue }
      let after = wanted.after[branchTurn / able.count % wanted.after.count]
      tell(.fetchBranch(wanted.lab, after: after, of: able[branchTurn % able.count]))
    }
    branchTurn = (branchTurn + 1) % (1 << 20)
  }

  // MARK: the roster

  /// Tells mesh and transport who the members are and where they may be met.
  mutating func showRoster() {
    let isNewRoster = shownRosterVersion != logbook.roster.version
    shownRosterVersion = logbook.roster.version
    shownPresences = logbook.presenceCount
    mayShowPresences = false
    rule.leastGrace = Double(logbook.roster.rules.round.graceSeconds)
    keys = [:]
    var members: [Gossip.Member] = []
    for contact in settings.contacts where logbook.roster.member(contact.lab) == nil && !isMember {
      keys[contact.lab] = contact.key
      members.append(Gossip.Member(lab: contact.lab, addresses: [contact.address]))
    }
    for seat in logbook.roster.members where seat.lab != lab {
      keys[seat.lab] = newestKey(of: seat)
      members.append(Gossip.Member(lab: seat.lab, addresses: addresses(of: seat)))
    }
    members.sort { $0.lab < $1.lab }
    guard isNewRoster || members != shownMembers else { return }
    shownMembers = members
    // A lab that was removed, or a key that was rotated, is cut off at once.
    out.append(
      .members(
        members.compactMap { member in keys[member.lab].map { (key: $0, lab: member.lab) } }))
    var labs = logbook.labs
    for roster in logbook.rosters { labs += roster.members.map(\.lab) }
    labs.sort()
    var logs: [LabID] = []
    for lab in labs where logs.last != lab { logs.append(lab) }
    tell(.members(members, logs: logs))
    shownRound = reachedRound
    shownFrom = round
    tell(.round(UInt64(shownRound)))
  }

  /// Tells the mesh of a round that is over, so that it reads on in the logs.
  ///
  /// Not only the own one: who joins late, or was away for long, stands at an early round until it
  /// has read of the later ones, and must not be given them one minute's worth at a time.
  mutating func showRound() {
    // Only who has gone further, or a log that changed over, can have moved what is reached.
    if mayHaveMoved || round != shownFrom
      || attesters.contains(where: { attestedRound(of: $0) > shownRound })
    {
      mayHaveMoved = false
      shownFrom = round
      let reached = reachedRound
      if reached != shownRound {
        shownRound = reached
        tell(.round(UInt64(reached)))
      }
    }
    for lab in attesters { readOn(in: lab) }
    attesters = []
  }

  /// Lets the mesh read on in a log that is behind: one allowance for each round that is over.
  private mutating func readOn(in lab: LabID) {
    for entry in logbook.log(of: lab).reversed() {
      guard case .attestation(let attestation)? = entry.message.payload,
        attestation.merge.frontier.round <= shownRound
      else { continue }
      let round = attestation.merge.frontier.round
      guard round > endedRounds[lab] ?? 0 else { return }
      endedRounds[lab] = round
      return tell(.ended(lab: lab, sequence: entry.sequence))
    }
  }

  /// The head's round, or the highest that more than half of the labs attest in what was read of
  /// their logs: one that floods cannot raise it.
  private var reachedRound: UInt32 {
    let members = logbook.roster.members
    let attested = members.map { attestedRound(of: $0.lab) }.sorted(by: >)
    return max(round, attested.isEmpty ? 0 : attested[members.count / 2])
  }

  private func attestedRound(of lab: LabID) -> UInt32 {
    logbook.newestAttestation(of: lab)?.merge.frontier.round ?? 0
  }

  /// The key that a lab is met with. While this lab has no seat, it knows the first entries alone:
  /// a ticket may tell of a key that these say nothing of yet.
  private func newestKey(of seat: Seat) -> PublicKey {
    guard !isMember, let contact = settings.contacts.first(where: { $0.lab == seat.lab }),
      !logbook.rosters.contains(where: { $0.member(seat.lab)?.key == contact.key })
    else { return seat.key }
    return contact.key
  }

  /// Where a lab says it may be dialled, what a ticket said, or what its request to join said.
  package func addresses(of seat: Seat) -> [String] {
    if let presence = logbook.presence(of: seat.lab), !presence.addresses.isEmpty {
      return presence.addresses
    }
    let known = settings.contacts.filter { $0.lab == seat.lab }.map(\.address)
    if !known.isEmpty { return known }
    for member in logbook.roster.members {
      let asks = logbook.requests(recordedBy: member.lab)
      if let ask = asks.last(where: { $0.lab == seat.lab }) { return ask.addresses }
    }
    return []
  }

  // MARK: payloads

  /// Wants the payload of every contribution that may still be judged or folded.
  private mutating func wantPayloads() {
    for id in logbook.takeChanged() {
      guard let state = logbook.contribution(id) else {
        // A removal or an equivocation took it out of the log; what is sealed may bring it back.
        if let object = object(of: id), announcers(of: object).isEmpty { unwant(object) }
        continue
      }
      if let object = state.object { note(object, announcedBy: state.id) }
      want(state)
    }
  }

  /// Wants a contribution's payload, or wants it no more.
  ///
  /// - Parameter isDue: whether its turn has come, should it lie beneath the foundation.
  mutating func want(_ state: ContributionState, isDue: Bool = false) {
    guard let object = state.object else { return }
    switch state.status {
    case .pending, .admitted:
      guard !heldObjects.contains(object), !wantedObjects.contains(object) else { return }
      guard !isPassedOver(state) else {
        if footing.defers { footing.hasLeft = true }
        return
      }
      guard isDue || !isCovered(state.id), wantedObjects.count < Self.wantedMax else {
        footing.hasLeft = true
        return
      }
      wantedObjects.insert(object)
      out.append(.findObject(object))
    case .rejected, .refused:
      let isWanted = announcers(of: object).contains {
        $0.status == .pending || $0.status == .admitted
      }
      if !isWanted { unwant(object) }
    }
  }

  /// The object that an entry announces, if it is a contribution.
  private func object(of contribution: ContentID) -> ContentID? {
    guard case .contribution(let message)? = logbook.entry(contribution)?.message.payload else {
      return nil
    }
    return ContentID(bytes: message.payload.blockList)
  }

  // MARK: the own log

  /// A node that came back from a backup must not sign twice at one place: it signs nothing until
  /// more than half of the labs, itself counted, have said where its log ends with them.
  private mutating func checkOwnLog() {
    if let fork = logbook.forks[lab] {
      // Whatever is signed now, nobody takes it: only the roster can decide what becomes of it.
      if maySign { out.append(.news(.ownFork(sequence: fork.sequence))) }
      maySign = false
      return
    }
    guard !maySign, signedElsewhere == nil, mayHaveHeard, isMember else { return }
    mayHaveHeard = false
    let own = logbook.log(of: lab).last?.sequence ?? 0
    var heard = 1
    // Both are in the order of the labs.
    var reports = mesh.ownHeadReports[...]
    for seat in logbook.roster.members where seat.lab != lab {
      reports = reports.drop { $0.lab < seat.lab }
      let report = reports.first.flatMap { $0.lab == seat.lab ? $0.sequence : nil }
      guard let furthest = [report, vouched[seat.lab]].compactMap({ $0 }).max() else { continue }
      guard furthest <= own else { return }
      heard += 1
    }
    guard heard * 2 > logbook.roster.members.count else { return }
    maySign = true
    signsSince = moment.wallSeconds
    out.append(.news(.ownLogComplete(sequence: own)))
  }

  // MARK: what this lab says

  /// Says one thing that is due; whether there was one.
  private mutating func sayWhatIsDue() -> Bool {
    guard canSign else { return false }
    do throws(Refusal) {
      if try sayPresence() { return true }
      if renewApproval() { return true }
      return try attestWhenDue()
    } catch {
      out.append(.news(.cannotSign(reason: error.reason)))
      return false
    }
  }

  private mutating func sayPresence() throws(Refusal) -> Bool {
    guard !isAhead else { return false }
    if let said = logbook.presence(of: lab), said.addresses == ownAddresses,
      said.software == settings.software, said.trains == settings.trains,
      said.name == settings.name
    {
      return false
    }
    try sign(.presence(ownPresence))
    return true
  }

  /// What this lab says about itself, without invitations and requests.
  var ownPresence: Hanse_V1_Presence {
    var presence = Hanse_V1_Presence()
    presence.addresses = ownAddresses
    presence.software = settings.software
    presence.trains = settings.trains
    presence.name = settings.name
    return presence
  }

  /// Attests a head when it is new, and again when something that matters is not yet sealed.
  private mutating func attestWhenDue() throws(Refusal) -> Bool {
    guard let root = headRoot else { return false }
    let last = lastAttested
    let isNew = last?.merge.isSame(as: head) != true || last?.stateRoot != Data(root.bytes)
    if last?.merge.frontier.round == round, let attestedAt,
      moment.now.seconds(since: attestedAt) < attestationSeconds
    {
      return false
    }
    if !isNew {
      guard moment.now.seconds(since: quietSince) >= 1, lookedAt != logbook.revision else {
        return false
      }
      lookedAt = logbook.revision
      let isOpen =
        logbook.seal.rosterVersion < logbook.roster.version || !logbook.isSealed(head.frontier)
      guard (isOpen && hasUncoveredWeight) || hasUnattestedSeal else { return false }
    }
    var attestation = Hanse_V1_Attestation()
    attestation.prefixes = uncovered()
    attestation.merge = head
    attestation.stateRoot = Data(root.bytes)
    try sign(.attestation(attestation))
    attestedAt = moment.now
    return true
  }

  /// Least seconds from one attestation of a round's head to the next.
  ///
  /// It names all logs and goes to all labs: while a round's contributions are admitted one after
  /// the other, and the head grows with each, a hundred and forty labs would write twenty each, of
  /// fourteen kilobytes.
  private var attestationSeconds: Double {
    let labs = logbook.roster.members.count
    return labs > GossipLimits.fullMeshLabs ? Double(labs) / 4 : 0
  }

  /// Where logs end that this lab has not attested all of, as many as leave room for the merge: the
  /// rest follows with the next attestation.
  ///
  /// First those of which something decides. Attestations make logs longer too: named in the order
  /// of the labs alone, the first hundred would be attested again and again, and the others never.
  private func uncovered() -> [Hanse_V1_LogPosition] {
    let open = logbook.labs.compactMap { other in logbook.log(of: other).last?.position }.filter {
      LabID(bytes: $0.lab).map { logbook.coverage(of: $0, by: lab) } ?? .max < $0.sequence
    }
    guard open.count > Self.positionsMax else { return open }
    let weighs = open.map { LabID(bytes: $0.lab).map(hasUncoveredWeight(of:)) ?? false }
    let places = open.indices.filter { weighs[$0] } + open.indices.filter { !weighs[$0] }
    return places.prefix(Self.positionsMax).sorted().map { open[$0] }
  }

  /// Positions in one attestation.
  private static let positionsMax = 100

  /// This lab's newest attestation.
  var lastAttested: Hanse_V1_Attestation? { logbook.newestAttestation(of: lab) }

  /// Whether a log forked and a contribution names a seal that this lab has not attested all of.
  ///
  /// A part of that seal's quorum may have spoken on a branch that others do not see. When every
  /// honest lab attests it, it is sealed for everybody.
  private var hasUnattestedSeal: Bool {
    guard logbook.labs.contains(where: { logbook.forks[$0] != nil }) else { return false }
    return logbook.contributions(fromRound: max(round, 2) - 1).contains { state in
      state.message.base.frontier.seal.prefixes.contains { prefix in
        guard let other = LabID(bytes: prefix.lab),
          logbook.coverage(of: other, by: lab) < prefix.sequence,
          let last = logbook.log(of: other).last
        else { return false }
        return prefix.sequence <= last.sequence
      }
    }
  }

  /// Whether anything that decides roster or admission lies beyond what this lab attested.
  private var hasUncoveredWeight: Bool {
    logbook.labs.contains(where: hasUncoveredWeight(of:))
  }

  private func hasUncoveredWeight(of other: LabID) -> Bool {
    let covered = Int(logbook.coverage(of: other, by: lab))
    return logbook.log(of: other).dropFirst(covered).contains { entry in
      switch entry.message.payload {
      case .contribution, .verdict, .proposal, .approval: true
      default: false
      }
    }
  }
}
