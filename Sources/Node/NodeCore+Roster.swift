import Control
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Logging
import Records
import Storage

extension NodeCore {
  private func requireSigning() throws {
    guard isMember else {
      throw ControlError(
        .refused, "this lab is not a member yet",
        hint: "a member approves it with: hanse approve \(key.publicKey.fingerprint)")
    }
    guard maySign else {
      throw ControlError(
        .refused, "this node does not know yet where its own log ends",
        hint: "it needs a connection to more than half of the labs; see hanse peers")
    }
  }

  // MARK: inviting

  /// Announces a one-time key and makes the ticket that holds its private half.
  func invite(_ request: InviteRequest) throws -> InvitePage {
    try requireSigning()
    guard (1...Limits.invitationUsesMax).contains(request.uses) else {
      throw ControlError(
        .wrongUse, "a ticket cannot be used \(request.uses) times",
        hint: "give --uses 1 to \(Limits.invitationUsesMax)")
    }
    let oneTime = SigningKey.generate()
    var invitation = Hanse_V1_Invitation()
    invitation.key = Data(oneTime.publicKey.bytes)
    invitation.uses = UInt32(request.uses)
    invitation.expiresSeconds = Self.wallSeconds() &+ min(request.expiresInSeconds, 1 << 32)
    var presence = ownPresence
    presence.invitations = [invitation]
    var ticket = Hanse_V1_Ticket()
    ticket.federation = Data(charter.id.bytes)
    ticket.roster = Data(logbook.roster.id.bytes)
    ticket.invitationSeed = Data(oneTime.seed)
    ticket.expiresSeconds = invitation.expiresSeconds
    ticket.federationName = charter.message.name
    ticket.contacts = logbook.roster.members.compactMap(contact)
    guard !ticket.contacts.isEmpty else {
      throw ControlError(
        .refused, "no member has an address that a new lab could dial",
        hint: "set listen in hanse.toml and restart the daemon")
    }
    try sign(.presence(presence))
    return InvitePage(
      ticket: TicketText.write(ticket), expiresSeconds: invitation.expiresSeconds,
      uses: request.uses)
  }

  private func contact(_ seat: Seat) -> Hanse_V1_Contact? {
    let addresses = seat.lab == lab ? ownAddresses : addresses(of: seat)
    guard !addresses.isEmpty else { return nil }
    var contact = Hanse_V1_Contact()
    contact.lab = Data(seat.lab.bytes)
    contact.key = Data(seat.key.bytes)
    contact.addresses = addresses
    return contact
  }

  /// What this lab says about itself, without invitations and requests.
  var ownPresence: Hanse_V1_Presence {
    var presence = Hanse_V1_Presence()
    presence.addresses = ownAddresses
    presence.software = Self.software
    presence.trains = configuration.trains ?? true
    presence.name = configuration.lab
    return presence
  }

  // MARK: guests

  /// Answers a stranger who asks to join.
  func answer(_ request: Hanse_V1_JoinRequest) -> Hanse_V1_JoinAnswer {
    var answer = Hanse_V1_JoinAnswer()
    func refuse(_ reason: String, _ hint: String) -> Hanse_V1_JoinAnswer {
      answer.reason = reason
      answer.hint = hint
      return answer
    }
    let ask: JoinAsk
    do { ask = try JoinAsk(request) } catch {
      return refuse("the request is not valid: \(error)", "use the ticket exactly as it was given")
    }
    guard ask.federation == charter.id else {
      return refuse("this is another federation", "ask for a ticket of the federation you mean")
    }
    guard isMember, maySign else {
      return refuse("this node is not ready to take requests", "try again in a minute")
    }
    if let fault = faultOfInvitation(ask) { return refuse(fault, "ask a member for a new ticket") }
    if logbook.roster.members.contains(where: { $0.name == ask.name && $0.lab != ask.lab }) {
      return refuse("a member is called \(printable(ask.name)) already", "choose another --name")
    }
    do {
      let known = logbook.requests(recordedBy: lab).contains { $0.id == ask.id }
      if !ask.charterOnly, !known, logbook.roster.member(ask.lab) == nil {
        var presence = ownPresence
        presence.requests = [ask.request]
        try sign(.presence(presence))
        log.notice(
          "\(printable(ask.name)) asks to join", metadata: ["fingerprint": "\(ask.key.fingerprint)"]
        )
      }
    } catch {
      fail(error)
      return refuse("the request could not be recorded", "try again later")
    }
    answer.accepted = true
    answer.charter = Data(charter.bytes)
    return answer
  }

  private func faultOfInvitation(_ ask: JoinAsk) -> String? {
    var invitation: Hanse_V1_Invitation?
    var users: Set<LabID> = []
    for seat in logbook.roster.members {
      for announced in logbook.invitations(of: seat.lab)
      where Array(announced.key) == ask.invitation.bytes { invitation = announced }
      for other in logbook.requests(recordedBy: seat.lab)
      where other.invitation == ask.invitation { users.insert(other.lab) }
    }
    guard let invitation else { return "no member has announced this ticket" }
    guard invitation.expiresSeconds > Self.wallSeconds() else { return "the ticket has expired" }
    guard users.contains(ask.lab) || users.count < Int(invitation.uses) else {
      return "the ticket has been used already"
    }
    return nil
  }

  // MARK: approving

  func approve(_ request: ApproveRequest) throws -> ApprovePage {
    try requireSigning()
    let subject = request.subject
    if let proposal = logbook.openProposals.first(where: {
      $0.id.description.hasPrefix(subject) && subject.utf8.count >= 4
    }) {
      return try approve(proposal.id)
    }
    if let seat = logbook.roster.members.first(where: {
      $0.name == subject || $0.key.fingerprint == subject
    }), !logbook.pendingRequests.contains(where: { $0.ask.key.fingerprint == subject }) {
      throw ControlError(
        .refused,
        "\(printable(seat.name)) is a member already, since roster version \(seat.since)",
        hint: "hanse pending shows who waits, hanse roster who is a member")
    }
    let pending = try openRequest(subject)
    if logbook.roster.members.contains(where: { $0.name == pending.ask.name }) {
      throw ControlError(
        .refused, "a member is called \(printable(pending.ask.name)) already",
        hint: "ask the lab to join again under another --name, and decline this request: "
          + "hanse decline \(pending.ask.key.fingerprint)")
    }
    if let proposal = pending.proposal { return try approve(proposal.id) }
    var admission = Hanse_V1_Admission()
    admission.request = pending.ask.request
    return try propose(.admit(admission))
  }

  /// The one request that waits under a fingerprint, a name, or the beginning of a lab id.
  private func openRequest(_ subject: String) throws -> PendingRequest {
    let found = writer.openRequests.filter {
      $0.ask.name == subject || $0.ask.key.fingerprint == subject
        || (subject.utf8.count >= 4 && $0.ask.lab.description.hasPrefix(subject))
    }
    guard let pending = found.first else {
      throw ControlError(
        .notFound, "nobody called \(printable(subject)) waits for approval",
        hint: "hanse pending shows who does")
    }
    guard found.count == 1 else {
      throw ControlError(
        .wrongUse, "\(found.count) labs called \(printable(subject)) wait for approval",
        hint: "name the fingerprint: "
          + found.map(\.ask.key.fingerprint).joined(separator: " or "))
    }
    return pending
  }

  /// Shows a request no more, on this node. The others decide for themselves.
  func decline(_ request: DeclineRequest) throws -> DeclinePage {
    let pending = try openRequest(request.subject)
    try Declined.add(pending.ask.id, to: store)
    return DeclinePage(
      lab: Named(name: pending.ask.name, id: pending.ask.lab.description),
      fingerprint: pending.ask.key.fingerprint)
  }

  func propose(_ request: ProposeRequest) throws -> ApprovePage {
    try requireSigning()
    switch request.change {
    case .remove: return try propose(.remove(removal(request.subjects, reason: request.reason)))
    case .recall, .recallLab: return try propose(.recall(recall(request)))
    }
  }

  private func removal(_ subjects: [String], reason: String) throws -> Hanse_V1_Removal {
    let seat = try seat(subjects.joined(separator: " "))
    var removal = Hanse_V1_Removal()
    removal.reason = String(reason.prefix(200))
    removal.lab = Data(seat.lab.bytes)
    if let last = logbook.log(of: seat.lab).last {
      removal.lastSequence = last.sequence
      removal.lastEntry = Data(last.id.bytes)
    } else {
      removal.lastEntry = Data(ContentID.members([]).bytes)
    }
    return removal
  }

  private func recall(_ request: ProposeRequest) throws -> Hanse_V1_Recall {
    var recall = Hanse_V1_Recall()
    recall.reason = String(request.reason.prefix(200))
    let states = logbook.contributionsInOrder
    if request.change == .recallLab {
      let seat = try seat(request.subjects.joined(separator: " "))
      let since = UInt32(clamping: request.sinceRound ?? 0)
      recall.contributions = states.filter { $0.author == seat.lab && $0.round >= since }
        .map { Data($0.id.bytes) }
    } else {
      recall.contributions = try request.subjects.map { prefix in
        let found = states.filter { $0.id.description.hasPrefix(prefix) }
        guard found.count == 1, prefix.utf8.count >= 4 else {
          throw ControlError(
            .notFound, "\(prefix) is not one contribution", hint: "hanse log shows their ids")
        }
        return Data(found[0].id.bytes)
      }
    }
    guard !recall.contributions.isEmpty, recall.contributions.count <= Limits.recallsMax else {
      throw ControlError(
        .refused, "\(recall.contributions.count) contributions cannot be recalled at once",
        hint: "1 to \(Limits.recallsMax) in one proposal")
    }
    return recall
  }

  /// The one member of this name, or whose id begins so.
  private func seat(_ subject: String) throws -> Seat {
    let found = logbook.roster.members.filter {
      $0.name == subject || (subject.utf8.count >= 4 && $0.lab.description.hasPrefix(subject))
    }
    guard let seat = found.first else {
      throw ControlError(
        .notFound, "no member is called \(printable(subject))",
        hint: "hanse roster shows the members")
    }
    guard found.count == 1 else {
      throw ControlError(
        .wrongUse, "\(found.count) members are called \(printable(subject))",
        hint: "name one by the beginning of its lab id: "
          + found.map { String($0.lab.description.prefix(10)) }.joined(separator: " or "))
    }
    return seat
  }

  private func propose(_ change: Hanse_V1_Proposal.OneOf_Change) throws -> ApprovePage {
    var proposal = Hanse_V1_Proposal()
    proposal.makesVersion = logbook.roster.version + 1
    proposal.change = change
    (proposal.attempt, proposal.citations) = try nextAttempt()
    let entry = try sign(.proposal(proposal))
    return try approve(entry.id)
  }

  /// The attempt that a new proposal may make, and the approvals that show that no earlier one can
  /// pass any more.
  ///
  /// While one can, a proposal of the same attempt stands beside it: whichever more than half of
  /// the labs approve first is enacted, so nobody can hold the roster up with a proposal of its
  /// own.
  private func nextAttempt() throws -> (UInt32, [Data]) {
    let open = logbook.openProposals
    guard let attempt = open.map(\.message.attempt).max() else { return (1, []) }
    let current = open.filter { $0.message.attempt == attempt }
    let voters = current.reduce(0) { $0 + $1.approvers.count }
    let strongest = current.map(\.approvers.count).max() ?? 0
    let roster = logbook.roster
    guard strongest + roster.members.count - voters < roster.approvalQuorum else {
      guard let own = current.first(where: { $0.approvers.contains(lab) }) else {
        return (attempt, [])
      }
      throw ControlError(
        .refused,
        "this lab has approved another change, which is still open: "
          + writer.describe(own.message),
        hint: "a lab has one approval at a time; it is free again once \(own.id.short) is enacted, "
          + "or once the others have approved so much else that it cannot be")
    }
    let proposals = Set(current.map(\.id))
    let approvals = roster.members.flatMap { seat in
      logbook.log(of: seat.lab).filter { entry in
        guard case .approval(let approval)? = entry.message.payload,
          let id = ContentID(bytes: approval.proposal)
        else { return false }
        return proposals.contains(id)
      }
    }
    return (attempt + 1, approvals.map { Data($0.id.bytes) })
  }

  private func approve(_ proposal: ContentID) throws -> ApprovePage {
    guard let before = logbook.proposal(proposal) else {
      throw ControlError(.notFound, "no such proposal", hint: "hanse pending shows what waits")
    }
    let made = before.message.makesVersion
    if !before.approvers.contains(lab), logbook.roster.version < made {
      var approval = Hanse_V1_Approval()
      approval.proposal = Data(proposal.bytes)
      try sign(.approval(approval))
    }
    let after = logbook.proposal(proposal) ?? before
    let row = writer.row(after)
    let message =
      logbook.roster.version >= made
      ? "enacted: roster version \(made)"
      : "\(after.approvers.count) of \(after.needed) approvals; "
        + "the others see it under hanse pending"
    return ApprovePage(proposal: row, message: message)
  }
}
