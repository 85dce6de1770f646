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

  /// Proposes a change and approves it, or approves it where somebody has proposed the same; the
  /// proposal's id.
  package mutating func propose(
    _ change: Hanse_V1_Proposal.OneOf_Change, at moment: Moment
  ) throws(Refusal) -> Answer<ContentID> {
    self.moment = moment
    try requireSigning()
    if case .recall(let recall) = change { try requireWithinRetention(recall) }
    let id = try support(change)
    conclude()
    return Answer(value: id, directives: takeOut())
  }

  /// Approves a proposal, unless this lab has or it is enacted. What cannot be enacted any more by
  /// that proposal, or by this lab's approval of it, is proposed anew.
  package mutating func approve(
    _ proposal: ContentID, at moment: Moment
  ) throws(Refusal) -> Answer<OpenProposal> {
    self.moment = moment
    try requireSigning()
    let id = try approve(proposal)
    conclude()
    guard let after = logbook.proposal(id) else { throw Self.noSuchProposal }
    return Answer(value: after, directives: takeOut())
  }

  private mutating func approve(_ id: ContentID) throws(Refusal) -> ContentID {
    guard let before = logbook.proposal(id), let change = before.message.change else {
      throw Self.noSuchProposal
    }
    guard logbook.roster.version < before.message.makesVersion else { return id }
    if before.canPass {
      if before.approvers.contains(lab) { return id }
      if logbook.firstApproval(by: lab, attempt: before.message.attempt) == nil {
        if case .recall(let recall) = change { try requireWithinRetention(recall, grace: step) }
        try signApproval(of: id)
        return id
      }
    }
    return try support(change)
  }

  /// Approves a change in the newest attempt, or makes another attempt with it when that is over.
  private mutating func support(
    _ change: Hanse_V1_Proposal.OneOf_Change
  ) throws(Refusal) -> ContentID {
    if case .recall(let recall) = change { try requireWithinRetention(recall, grace: step) }
    switch try way(for: change) {
    case .taken(let known):
      return known.id
    case .approve(let known):
      try signApproval(of: known.id)
      return known.id
    case .propose(let attempt, let citations):
      var proposal = Hanse_V1_Proposal()
      proposal.makesVersion = logbook.roster.version + 1
      proposal.change = change
      proposal.attempt = attempt
      proposal.citations = citations.map { Data($0.bytes) }
      let entry = try sign(.proposal(proposal))
      try signApproval(of: entry.id)
      return entry.id
    case .blocked(let other):
      throw refusal(for: other)
    }
  }

  /// How this lab can approve a change.
  private enum Way {
    /// It has, and nothing more is to be done.
    case taken(OpenProposal)
    /// By this proposal of it.
    case approve(OpenProposal)
    /// By a new proposal.
    case propose(attempt: UInt32, citations: [ContentID])
    /// Not yet: this other change can still be enacted.
    case blocked(by: OpenProposal)
  }

  /// While an attempt can pass, a proposal of the same attempt may stand beside it: whichever more
  /// than half of the labs approve first is enacted, so nobody can hold the roster up with a
  /// proposal of its own.
  private func way(for change: Hanse_V1_Proposal.OneOf_Change) throws(Refusal) -> Way {
    guard let substance = logbook.substance(of: change) else {
      throw Refusal(
        .refused,
        "the change does not fit roster version \(logbook.roster.version), which may be newer "
          + "than you think",
        hint: "hanse roster shows who is a member and the rules, hanse pending what is open")
    }
    let open = logbook.openProposals
    guard let newest = open.map(\.message.attempt).max() else {
      return .propose(attempt: 1, citations: [])
    }
    let current = open.filter { $0.message.attempt == newest }
    let isFree = logbook.firstApproval(by: lab, attempt: newest) == nil
    if let same = current.first(where: { $0.substance == substance }) {
      if same.canPass, same.approvers.contains(lab) { return .taken(same) }
      if same.canPass, isFree { return .approve(same) }
    } else if isFree, current.contains(where: \.canPass),
      let citations = logbook.citations(for: change, attempt: newest)
    {
      return .propose(attempt: newest, citations: citations)
    }
    if let citations = logbook.citations(for: change, attempt: newest + 1) {
      return .propose(attempt: newest + 1, citations: citations)
    }
    let others = open.filter { $0.canPass && $0.substance != substance }
    guard let other = others.first(where: { $0.approvers.contains(lab) }) ?? others.first else {
      throw Refusal(
        .refused, "the votes on this change cannot be told apart yet",
        hint: "try again in a minute, when more entries have come")
    }
    return .blocked(by: other)
  }

  /// The open change that keeps this lab from approving this one; nil when nothing does.
  package func hindrance(to change: Hanse_V1_Proposal.OneOf_Change) -> OpenProposal? {
    guard case .blocked(let other)? = try? way(for: change) else { return nil }
    return other
  }

  /// Says that a change has to wait for this other one.
  func refusal(for other: OpenProposal) -> Refusal {
    Refusal(.refused, "another change is still open: \(other.id.short)", hint: hint(about: other))
  }

  /// What a lab may do that cannot approve a change for this other one.
  package func hint(about other: OpenProposal) -> String {
    guard other.approvers.contains(lab) else {
      return
        "approve that one (hanse approve \(other.id.short)), or wait: this one can be proposed "
        + "once that is enacted, or once so many approve other things that it cannot be"
    }
    return "a lab has one approval at a time; it is free again once \(other.id.short) is enacted, "
      + "or once the others have approved so much else that it cannot be"
  }

  /// Approves in a later attempt what this lab has approved last: the same change, proposed anew
  /// because an earlier attempt could not pass without labs that are silent.
  mutating func renewApproval() -> Bool {
    guard logbook.hasLaterAttempts, canSign, !isAhead else { return false }
    let seen = [
      logbook.decisionCount, logbook.recounts, UInt64(logbook.roster.version),
    ]
    guard renewalSeen != seen else { return false }
    renewalSeen = seen
    let open = logbook.openProposals
    guard let newest = open.map(\.message.attempt).max(), newest > 1,
      logbook.firstApproval(by: lab, attempt: newest) == nil
    else { return false }
    for attempt in (1..<newest).reversed() {
      guard let approved = logbook.firstApproval(by: lab, attempt: attempt) else { continue }
      guard let change = logbook.proposal(approved),
        let again = open.first(where: {
          $0.message.attempt == newest && $0.substance == change.substance && $0.canPass
        }), !refuses(again)
      else { return false }
      return (try? signApproval(of: again.id)) != nil
    }
    return false
  }

  private mutating func signApproval(of proposal: ContentID) throws(Refusal) {
    var approval = Hanse_V1_Approval()
    approval.proposal = Data(proposal.bytes)
    try sign(.approval(approval))
  }

  private static let noSuchProposal = Refusal(
    .notFound, "no such proposal", hint: "hanse pending shows what waits")
}
