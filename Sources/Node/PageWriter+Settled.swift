import Control
import Gossip
import Identities
import Ledger
import Records

extension PageWriter {
  /// What an approval comes too late for and is not needed for: a proposal that is enacted, or a
  /// lab that has its seat. nil when nothing of that name was decided, or something still waits.
  ///
  /// - Throws: `ControlError` for what was decided otherwise, or never had to be.
  func settled(_ subject: String) throws -> ApprovePage? {
    let isLong = subject.utf8.count >= 4
    let waits = logbook.pendingRequests.contains { request in
      request.ask.key.fingerprint == subject
        || (request.ask.name == subject && !own.declined.contains(request.ask.id))
    }
    guard !waits else { return nil }
    let seats = logbook.roster.members.filter {
      $0.name == subject || $0.key.fingerprint == subject
        || (isLong && $0.lab.description.hasPrefix(subject))
    }
    if seats.count == 1 { return try settled(seats[0]) }
    guard isLong else { return nil }
    let entries = logbook.labs.flatMap { logbook.log(of: $0) }.filter { entry in
      guard case .proposal(_)? = entry.message.payload else { return false }
      return entry.id.description.hasPrefix(subject)
    }
    guard entries.count == 1, let proposal = logbook.proposal(entries[0].id) else { return nil }
    return try settled(proposal)
  }

  private func settled(_ seat: Seat) throws -> ApprovePage {
    let name = printable(seat.name)
    guard let before = logbook.roster(version: seat.since &- 1),
      let proposal = logbook.enactedProposal(after: before)
    else {
      throw ControlError(
        .refused, "\(name) is a founder: the charter names it, and nobody approves it",
        hint: "hanse pending shows who waits, hanse roster who is a member")
    }
    return page(
      proposal, "\(name) is a member already, since roster version \(seat.since)")
  }

  private func settled(_ proposal: OpenProposal) throws -> ApprovePage? {
    let made = proposal.message.makesVersion
    guard made <= logbook.roster.version, let before = logbook.roster(version: made &- 1),
      let enacted = logbook.enactedProposal(after: before)
    else { return nil }
    guard enacted.substance == proposal.substance else {
      throw ControlError(
        .refused,
        "proposal \(proposal.id.short) waits no more: roster version \(made) was made by another, "
          + "\(enacted.id.short) (\(printable(describe(enacted.message))))",
        hint: "if it is still wanted, propose it anew: hanse propose --help")
    }
    return page(proposal, "enacted already, as roster version \(made)")
  }

  private func page(_ proposal: OpenProposal, _ what: String) -> ApprovePage {
    let time = logbook.entry(proposal.id).map { " on " + Figures.time($0.message.timeSeconds) }
    return ApprovePage(
      proposal: row(proposal),
      message: "nothing to do: \(what) (entry \(proposal.id.short), proposed"
        + (time ?? "") + " by \(printable(named(proposal.author).name)))")
  }
}
