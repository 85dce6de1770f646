import Control
import FoundationEssentials
import Identities
import Ledger
import Records

extension PageWriter {
  /// Every lab of the roster, this one first.
  func labStatuses(connected: Set<LabID>, lag: [LabID: Double]) -> [StatusPage.LabStatus] {
    let seats = logbook.roster.members.sorted {
      ($0.lab == lab ? 0 : 1, $0.name, $0.lab.description)
        < ($1.lab == lab ? 0 : 1, $1.name, $1.lab.description)
    }
    return seats.map { seat in
      let last = attestations(of: seat.lab).last
      return StatusPage.LabStatus(
        lab: named(seat.lab), trains: logbook.presence(of: seat.lab)?.trains,
        connected: connected.contains(seat.lab), lagSeconds: lag[seat.lab],
        lastRound: logbook.contributionsInOrder.last { $0.author == seat.lab }
          .map { Int($0.round) },
        headMerge: last?.merge.id.description,
        stateRoot: last.flatMap { ContentID(bytes: $0.stateRoot) }?.description)
    }
  }

  /// What the logs say that somebody should look at, worst first.
  func attention() -> [String] {
    var lines: [String] = []
    for lab in logbook.labs {
      if let fork = logbook.forks[lab] {
        lines.append(
          "\(named(lab).name) signed two entries at sequence \(fork.sequence); what it wrote from "
            + "there on does not count: hanse show \(lab.short), and the members may decide to "
            + "hanse revoke it")
      }
    }
    lines += toDecide()
    for state in logbook.contributionsInOrder.suffix(64) where state.author == lab {
      if state.status == .rejected {
        lines.append(
          "this lab's contribution \(state.id.short) to round \(state.round) was rejected "
            + "(hanse why \(state.id.short)); when that happens often, lower learning_rate or "
            + "steps under [training] in hanse.toml")
      }
    }
    return lines
  }

  /// What others ask of this lab: no fault of anybody's, but it waits for an answer.
  func toDecide() -> [String] {
    var lines = openRequests.map { request in
      "\(request.ask.name) asks to join (\(request.ask.key.fingerprint)); see hanse pending"
    }
    for proposal in logbook.openProposals where !proposal.approvers.contains(lab) {
      if case .admit = proposal.message.change { continue }
      lines.append(
        "\(named(proposal.author).name) proposes: \(describe(proposal.message)) "
          + "(\(proposal.id.short)); see hanse pending")
    }
    return lines
  }
}
