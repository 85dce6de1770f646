import FoundationEssentials
import Gossip
import Identities
import Ledger
import Records

/// What people ask of a node. Each answers at once and leaves what is to be done to
/// the directives that come with the answer.
extension Participant {
  /// An answer, and what has to be done for it, in order.
  package struct Answer<Value> {
    package let value: Value
    package let directives: [ParticipantDirective]
  }

  /// Throws what keeps this node from signing.
  package func requireSigning() throws(Refusal) {
    guard isMember else {
      throw Refusal(
        .refused, "this lab is not a member yet",
        hint: "a member approves it with: hanse approve \(key.publicKey.fingerprint)")
    }
    guard signingKey != nil else { throw Self.foreignKey }
    if let fork = logbook.forks[lab] {
      throw Refusal(
        .refused, "two entries of this lab's own log stand at sequence \(fork.sequence)",
        hint: "the members have to remove the lab; join again with a new --home and a new ticket")
    }
    if let sequence = signedElsewhere {
      throw Refusal(
        .refused,
        "another daemon has signed entry \(sequence) of this lab's log with the same key",
        hint: "end one of the two (was the home copied?), and start this one again")
    }
    guard maySign else {
      throw Refusal(
        .refused, "this node does not know yet where its own log ends",
        hint: "it needs a connection to more than half of the labs; see hanse peers")
    }
    try requireNotAhead()
  }

  /// Whether this lab has written under a roster version that has been taken back since: a lab
  /// whose approval made it has signed twice at one place. Nothing that names an earlier version
  /// counts then, but attestations, which may bring the version back.
  var isAhead: Bool {
    (logbook.log(of: lab).last?.rosterVersion ?? 0) > logbook.roster.version
  }

  func requireNotAhead() throws(Refusal) {
    guard isAhead else { return }
    throw Refusal(
      .refused,
      "roster version \(logbook.roster.version + 1), under which this lab has written, was taken "
        + "back: a lab that had approved it has forked its log",
      hint: "the other members approve the change too: see hanse pending there")
  }

  static let foreignKey = Refusal(
    .refused, "this node's key is not the one that the roster names for this lab",
    hint: "a member proposes it with: hanse propose rotate LAB LINE, where "
      + "`hanse rotate-key --request` prints the line")

  // MARK: inviting

  /// Announces a one-time key and makes the ticket that holds its private half.
  package mutating func invite(
    _ oneTime: SigningKey, uses: Int, expiresInSeconds: UInt64, at moment: Moment
  ) throws(Refusal) -> Answer<Hanse_V1_Ticket> {
    self.moment = moment
    try requireSigning()
    guard (1...Limits.invitationUsesMax).contains(uses) else {
      throw Refusal(
        .wrongUse, "a ticket cannot be used \(uses) times",
        hint: "give --uses 1 to \(Limits.invitationUsesMax)")
    }
    var invitation = Hanse_V1_Invitation()
    invitation.key = Data(oneTime.publicKey.bytes)
    invitation.uses = UInt32(uses)
    invitation.expiresSeconds = moment.wallSeconds &+ min(expiresInSeconds, 1 << 32)
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
      throw Refusal(
        .refused, "no member has an address that a new lab could dial",
        hint: "set listen in hanse.toml and restart the daemon")
    }
    try sign(.presence(presence))
    conclude()
    return Answer(value: ticket, directives: takeOut())
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

  // MARK: guests

  /// Answers a stranger who asks to join, and whose connection has proven `key`.
  package mutating func answer(
    _ request: Hanse_V1_JoinRequest, from key: PublicKey, at moment: Moment
  ) -> Answer<Hanse_V1_JoinAnswer> {
    self.moment = moment
    var answer = Hanse_V1_JoinAnswer()
    do throws(Refusal) {
      let ask: JoinAsk
      do { ask = try JoinAsk(request) } catch {
        throw Refusal(
          .wrongUse, "the request is not valid: \(error)",
          hint: "use the ticket exactly as it was given")
      }
      try consider(ask, from: key)
      answer.accepted = true
      answer.charter = Data(charter.bytes)
    } catch {
      answer.reason = error.reason
      answer.hint = error.hint
    }
    conclude()
    return Answer(value: answer, directives: takeOut())
  }

  private mutating func consider(_ ask: JoinAsk, from key: PublicKey) throws(Refusal) {
    // Requests stand in the members' logs: whoever reads one there could send it again.
    guard ask.key == key else {
      throw Refusal(
        .refused,
        "the request is another lab's: it is signed with \(ask.key.fingerprint), and this "
          + "connection is \(key.fingerprint)'s",
        hint: "ask with a ticket of your own")
    }
    guard ask.federation == charter.id else {
      throw Refusal(
        .refused, "this is another federation", hint: "ask for a ticket of the federation you mean")
    }
    guard canSign else {
      throw Refusal(
        .refused, "this node is not ready to take requests", hint: "try again in a minute")
    }
    guard logbook.roster.member(ask.lab) != nil || !logbook.roster.isUsed(ask.key) else {
      throw Refusal(
        .refused, "the key \(ask.key.fingerprint) was on the roster before and was given up",
        hint: "join as a new lab, with another --home and a new ticket")
    }
    if let fault = faultOfInvitation(ask) {
      throw Refusal(.refused, fault, hint: "ask a member for a new ticket")
    }
    if logbook.roster.members.contains(where: { $0.name == ask.name && $0.lab != ask.lab }) {
      throw Refusal(
        .refused, "a member is called \(printable(ask.name)) already", hint: "choose another --name"
      )
    }
    // Recorded once: who asks again and again must not fill a member's log. What it says anew
    // (another name or address) is recorded too, a few times.
    let known = logbook.requests(recordedBy: lab).filter {
      $0.lab == ask.lab && $0.invitation == ask.invitation
    }
    let isKnown = known.contains { $0.name == ask.name && $0.addresses == ask.addresses }
    guard !ask.charterOnly, !isKnown, known.count < Self.requestsPerLab,
      logbook.roster.member(ask.lab) == nil
    else { return }
    var presence = ownPresence
    presence.requests = [ask.request]
    do { try sign(.presence(presence)) } catch {
      throw Refusal(.refused, "the request could not be recorded", hint: "try again later")
    }
    out.append(.news(.asked(name: ask.name, fingerprint: ask.key.fingerprint)))
  }

  private func faultOfInvitation(_ ask: JoinAsk) -> String? {
    var invitation: Hanse_V1_Invitation?
    var users: [LabID] = []
    for seat in logbook.roster.members {
      for announced in logbook.invitations(of: seat.lab)
      where Array(announced.key) == ask.invitation.bytes { invitation = announced }
      for other in logbook.requests(recordedBy: seat.lab)
      where other.invitation == ask.invitation && !users.contains(other.lab) {
        users.append(other.lab)
      }
    }
    guard let invitation else { return "no member has announced this ticket" }
    guard invitation.expiresSeconds > moment.wallSeconds else { return "the ticket has expired" }
    guard users.contains(ask.lab) || users.count < Int(invitation.uses) else {
      return "the ticket has been used already"
    }
    return nil
  }

  // MARK: changes of the roster

  /// Proposes a change and approves it; the proposal's id.
  package mutating func propose(
    _ change: Hanse_V1_Proposal.OneOf_Change, at moment: Moment
  ) throws(Refusal) -> Answer<ContentID> {
    self.moment = moment
    try requireSigning()
    try requireNoHindrance()
    if case .recall(let recall) = change { try requireWithinRetention(recall) }
    var proposal = Hanse_V1_Proposal()
    proposal.makesVersion = logbook.roster.version + 1
    proposal.change = change
    (proposal.attempt, proposal.citations) = nextAttempt
    let entry = try sign(.proposal(proposal))
    try approve(entry.id)
    conclude()
    return Answer(value: entry.id, directives: takeOut())
  }

  func requireNoHindrance() throws(Refusal) {
    guard let other = hindrance else { return }
    throw Refusal(
      .refused, "this lab has approved another change, which is still open: \(other.id.short)",
      hint: Self.oneApproval(other.id))
  }

  /// The proposal that keeps this lab from making one: it has approved it, it is still open, and
  /// it can still be enacted. Nil when nothing does.
  package var hindrance: OpenProposal? {
    guard let open = newestAttempt, canStillPass(open) else { return nil }
    return open.first { $0.approvers.contains(lab) }
  }

  /// What a lab may do that has approved another change.
  package static func oneApproval(_ proposal: ContentID) -> String {
    "a lab has one approval at a time; it is free again once \(proposal.short) is enacted, "
      + "or once the others have approved so much else that it cannot be"
  }

  /// Open proposals of the newest attempt; nil when none is open.
  private var newestAttempt: [OpenProposal]? {
    let open = logbook.openProposals
    return open.map(\.message.attempt).max().map { attempt in
      open.filter { $0.message.attempt == attempt }
    }
  }

  private func canStillPass(_ proposals: [OpenProposal]) -> Bool {
    let voters = proposals.reduce(0) { $0 + $1.approvers.count }
    let strongest = proposals.map(\.approvers.count).max() ?? 0
    let roster = logbook.roster
    return strongest + roster.members.count - voters >= roster.approvalQuorum
  }

  /// The attempt that a new proposal may make, and the approvals that show that no earlier one can
  /// pass any more.
  ///
  /// While one can, a proposal of the same attempt stands beside it: whichever more than half of
  /// the labs approve first is enacted, so nobody can hold the roster up with a proposal of its
  /// own.
  private var nextAttempt: (UInt32, [Data]) {
    guard let current = newestAttempt, let attempt = current.first?.message.attempt else {
      return (1, [])
    }
    guard !canStillPass(current) else { return (attempt, []) }
    let proposals = current.map(\.id)
    let approvals = logbook.roster.members.flatMap { seat in
      logbook.log(of: seat.lab).filter { entry in
        guard case .approval(let approval)? = entry.message.payload,
          let id = ContentID(bytes: approval.proposal)
        else { return false }
        return proposals.contains(id)
      }
    }
    return (attempt + 1, approvals.map { Data($0.id.bytes) })
  }

  /// Approves a proposal, unless this lab has or it is enacted.
  package mutating func approve(
    _ proposal: ContentID, at moment: Moment
  ) throws(Refusal) -> Answer<OpenProposal> {
    self.moment = moment
    try requireSigning()
    try approve(proposal)
    conclude()
    guard let after = logbook.proposal(proposal) else { throw Self.noSuchProposal }
    return Answer(value: after, directives: takeOut())
  }

  private mutating func approve(_ proposal: ContentID) throws(Refusal) {
    guard let before = logbook.proposal(proposal) else { throw Self.noSuchProposal }
    guard !before.approvers.contains(lab), logbook.roster.version < before.message.makesVersion
    else { return }
    if case .recall(let recall)? = before.message.change {
      try requireWithinRetention(recall, grace: step)
    }
    var approval = Hanse_V1_Approval()
    approval.proposal = Data(proposal.bytes)
    try sign(.approval(approval))
  }

  private static let noSuchProposal = Refusal(
    .notFound, "no such proposal", hint: "hanse pending shows what waits")
}
