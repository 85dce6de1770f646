import Control
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Logging
import Participation
import Records
import Storage

extension NodeCore {
  /// Asks the participant and does what its answer brings up.
  func ask<Value>(_ body: () throws(Refusal) -> Participant.Answer<Value>) throws -> Value {
    do {
      let answer = try body()
      perform(answer.directives)
      if let failure { throw failure }
      return answer.value
    } catch let refusal as Refusal {
      throw ControlError(refusal)
    }
  }

  /// Announces a one-time key and makes the ticket that holds its private half.
  func invite(_ request: InviteRequest) throws -> InvitePage {
    let ticket = try ask { () throws(Refusal) in
      try participant.invite(
        SigningKey.generate(), uses: request.uses, expiresInSeconds: request.expiresInSeconds,
        at: Self.moment)
    }
    return InvitePage(
      ticket: TicketText.write(ticket), expiresSeconds: ticket.expiresSeconds, uses: request.uses)
  }

  /// Answers a stranger who asks to join.
  func answer(_ request: Hanse_V1_JoinRequest, from key: PublicKey) -> Hanse_V1_JoinAnswer {
    let answer = participant.answer(request, from: key, at: Self.moment)
    perform(answer.directives)
    guard failure == nil else {
      var refusal = Hanse_V1_JoinAnswer()
      refusal.reason = "the request could not be recorded"
      refusal.hint = "try again later"
      return refusal
    }
    return answer.value
  }

  // MARK: approving

  func approve(_ request: ApproveRequest) throws -> ApprovePage {
    do { try participant.requireSigning() } catch { throw ControlError(error) }
    let subject = request.subject
    if let proposal = logbook.proposal(startingWith: subject) { return try approve(proposal.id) }
    if let settled = try writer.settled(subject) { return settled }
    let pending = try declinedRequest(subject) ?? openRequest(subject)
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

  /// A request that was declined here, by its fingerprint: who turned it down may think better of
  /// it. Its name is not enough, for another lab may ask under that by now.
  private func declinedRequest(_ fingerprint: String) -> PendingRequest? {
    let declined = writer.own.declined
    return logbook.pendingRequests.first {
      $0.isInvited && declined.contains($0.ask.id) && $0.ask.key.fingerprint == fingerprint
    }
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
    do { try participant.requireSigning() } catch { throw ControlError(error) }
    switch request.change {
    case .remove: return try propose(.remove(removal(request.subjects, reason: request.reason)))
    case .recall, .recallLab: return try propose(.recall(recall(request)))
    case .rotate: return try propose(.rotate(rotation(request.subjects)))
    case .rule:
      let change = try RuleText.change(request.subjects, reason: request.reason)
      do { _ = try logbook.roster.rules.applying(change) } catch {
        throw ControlError(.refused, "\(error)", hint: "hanse roster shows the rules as they are")
      }
      return try propose(.changeRule(change))
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

  /// The rotation of a line that a lab without its key has printed.
  private func rotation(_ subjects: [String]) throws -> Hanse_V1_KeyRotation {
    guard subjects.count == 2 else {
      throw ControlError(
        .wrongUse, "a rotation takes a lab and its line",
        hint: "hanse propose rotate LAB LINE, where hanse rotate-key --request prints the line")
    }
    let seat = try seat(subjects[0])
    let rotation: Hanse_V1_KeyRotation
    do { rotation = try KeyRotationText.read(subjects[1]) } catch {
      throw ControlError(
        .wrongUse, "\(error)",
        hint: "paste the line exactly as hanse rotate-key --request printed it")
    }
    guard LabID(bytes: rotation.lab) == seat.lab else {
      throw ControlError(
        .refused, "the line is not one of \(printable(seat.name))",
        hint: "ask that lab for its line, and compare the fingerprint over another channel")
    }
    if let open = participant.openRotation(of: seat.lab) {
      throw ControlError(
        .refused, "a new key for \(printable(seat.name)) is proposed already (\(open.id.short))",
        hint: "approve that one: hanse approve \(open.id.short)")
    }
    do { try participant.requireUnused(rotation) } catch { throw ControlError(error) }
    return rotation
  }

  private func recall(_ request: ProposeRequest) throws -> Hanse_V1_Recall {
    var recall = Hanse_V1_Recall()
    recall.reason = String(request.reason.prefix(200))
    let states = logbook.contributionsInOrder
    if request.change == .recallLab {
      let seat = try seat(request.subjects.joined(separator: " "), orFormer: true)
      recall.contributions = try recallable(
        states.filter { $0.author == seat.lab }, of: seat, since: request.sinceRound ?? 0)
    } else {
      recall.contributions = try request.subjects.map { prefix in
        let found = states.filter { $0.id.description.hasPrefix(prefix) }
        guard found.count == 1, prefix.utf8.count >= 4 else {
          throw ControlError(
            .notFound, "\(printable(prefix)) is not one contribution",
            hint: "hanse log shows their ids")
        }
        guard !logbook.roster.recalled.contains(found[0].id) else {
          throw ControlError(
            .refused, "contribution \(found[0].id.short) was recalled already",
            hint: "hanse why \(found[0].id.short) says by whom")
        }
        return Data(found[0].id.bytes)
      }
    }
    guard recall.contributions.count <= Limits.recallsMax else {
      throw ControlError(
        .refused, "\(recall.contributions.count) contributions cannot be recalled at once",
        hint: "1 to \(Limits.recallsMax) in one proposal")
    }
    return recall
  }

  /// What a recall of a lab's contributions since a round names: those that are not recalled yet.
  /// Throws, with the round to give instead, when they are more or older than a recall can reach.
  private func recallable(
    _ states: [ContributionState], of seat: Seat, since round: Int
  ) throws -> [Data] {
    let name = printable(seat.name)
    let wanted = states.filter {
      $0.round >= UInt32(clamping: round) && !logbook.roster.recalled.contains($0.id)
    }
    guard !wanted.isEmpty else {
      throw ControlError(
        .notFound, "\(name) has no contribution since round \(round) that is not recalled already",
        hint: "hanse blame shows whose contributions are in the model")
    }
    func way(since round: UInt32) -> String {
      "hanse recall --lab \(name) --since \(round)"
    }
    var book = logbook
    let (sealed, kept) = (book.sealedRound(), charter.retention)
    let reach = sealed > kept ? sealed - kept : 0
    let reached = wanted.filter { $0.round >= reach }
    guard reached.count == wanted.count else {
      throw ControlError(
        .refused,
        "\(wanted.count - reached.count) of \(name)'s contributions are of rounds before \(reach), "
          + "whose payloads are kept no more: a recall reaches no further back",
        hint: reached.isEmpty
          ? "what a newer contribution undoes needs no recall"
          : "recall those that can be: \(way(since: reach))")
    }
    guard wanted.count <= Limits.recallsMax else {
      let newest = wanted.map(\.round).sorted().suffix(Limits.recallsMax)
      // Of a round that does not fit as a whole nothing is named.
      let first = wanted.count { $0.round >= newest[newest.startIndex] } > Limits.recallsMax ? 1 : 0
      throw ControlError(
        .refused,
        "\(wanted.count) of \(name)'s contributions cannot be recalled at once; a proposal names "
          + "up to \(Limits.recallsMax)",
        hint: "begin with the newest, \(way(since: newest[newest.startIndex] + UInt32(first))), "
          + "and give this command again once that is enacted")
    }
    return wanted.map { Data($0.id.bytes) }
  }

  /// The one member of this name, or whose id begins so; or one that was a member once.
  private func seat(_ subject: String, orFormer: Bool = false) throws -> Seat {
    func isMeant(_ seat: Seat) -> Bool {
      seat.name == subject || (subject.utf8.count >= 4 && seat.lab.description.hasPrefix(subject))
    }
    var found = logbook.roster.members.filter(isMeant)
    if found.isEmpty, orFormer {
      for seat in logbook.rosters.flatMap(\.members)
      where isMeant(seat) && !found.contains(where: { $0.lab == seat.lab }) { found.append(seat) }
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
    try requireNoHindrance(to: change)
    let id = try ask { () throws(Refusal) in
      try participant.propose(change, at: Self.moment)
    }
    return try approve(id)
  }

  private func requireNoHindrance(to change: Hanse_V1_Proposal.OneOf_Change) throws {
    guard let other = participant.hindrance(to: change) else { return }
    let what = writer.describe(other.message)
    throw ControlError(
      .refused,
      other.approvers.contains(lab)
        ? "this lab has approved another change, which is still open: \(what)"
        : "another change can still be enacted, and this one not beside it: \(what)",
      hint: participant.hint(about: other))
  }

  func approve(_ id: ContentID) throws -> ApprovePage {
    if let wanted = logbook.proposal(id), !wanted.approvers.contains(lab) || !wanted.canPass,
      logbook.roster.version < wanted.message.makesVersion, let change = wanted.message.change
    {
      try requireNoHindrance(to: change)
    }
    let after = try ask { () throws(Refusal) in try participant.approve(id, at: Self.moment) }
    let made = after.message.makesVersion
    let row = writer.row(after)
    let message =
      logbook.roster.version >= made
      ? "enacted: roster version \(made)"
      : (after.id == id ? "" : "proposed anew, as attempt \(after.message.attempt): ")
        + "\(after.approvers.count) of \(after.needed) approvals; "
        + "the others see it under hanse pending"
    return ApprovePage(proposal: row, message: message)
  }
}

extension ControlError {
  /// What the participant refused, as the command line says it.
  init(_ refusal: Refusal) {
    let kind: ControlError.Kind =
      switch refusal.kind {
      case .refused: .refused
      case .notFound: .notFound
      case .wrongUse: .wrongUse
      }
    self.init(kind, refusal.reason, hint: refusal.hint)
  }
}
