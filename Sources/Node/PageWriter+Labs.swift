import Control
import FoundationEssentials
import Identities
import Ledger
import Records

/// What the logs say of a lab, and of what it wrote in vain.
extension PageWriter {
  /// The proof that a lab signed two entries at one place; nil when there is none.
  func evidence(_ lab: LabID) -> EvidenceRow? {
    logbook.forks[lab].map { fork in
      EvidenceRow(
        lab: named(lab), sequence: fork.sequence,
        entries: [fork.held, fork.other.id].sorted().map(\.description))
    }
  }

  /// Everything about a lab.
  func page(of lab: LabID) -> EntryPage {
    var page = EntryPage(kind: "lab", id: lab.description, fields: [.init("name", named(lab).name)])
    let log = logbook.log(of: lab)
    if let seat = logbook.roster.member(lab) {
      page.fields += [
        .init("fingerprint", seat.key.fingerprint), .init("since roster version", "\(seat.since)"),
      ]
    } else if let last = logbook.roster.cutoffs[lab] {
      page.fields.append(.init("removed", "its log counts up to entry \(last)"))
    }
    page.fields += [
      .init("entries", "\(log.count)"),
      .init("last entry", log.last?.id.description ?? "none"),
      .init(
        "contributions",
        "\(logbook.contributionsInOrder.count { $0.author == lab && $0.status == .admitted }) "
          + "admitted of \(logbook.contributionsInOrder.count { $0.author == lab })"),
    ]
    if let presence = logbook.presence(of: lab) {
      page.fields += [
        .init("addresses", presence.addresses.joined(separator: " ")),
        .init("software", presence.software), .init("trains", presence.trains ? "yes" : "no"),
      ]
    }
    page.evidence = evidence(lab)
    if let fork = logbook.forks[lab] {
      let lost = log.count { $0.sequence >= fork.sequence }
      page.fields.append(
        .init(
          "because of that",
          "nothing new of it is taken until the members decide; of \(lost) entries from there on "
            + "those that are sealed stand, the others do not count"))
    }
    return page
  }

  /// A contribution that is in a log and counts for nothing, with the reason.
  func excluded(_ entry: Entry, _ message: Hanse_V1_Contribution) -> ContributionRow {
    var row = row(message, of: entry)
    row.status = .excluded
    if let fork = logbook.forks[entry.lab], entry.sequence >= fork.sequence {
      row.reason =
        "\(named(entry.lab).name) signed two entries at sequence \(fork.sequence): what "
        + "it wrote from there on counts only if it was sealed"
    } else if let last = logbook.roster.cutoffs[entry.lab], entry.sequence > last {
      row.reason =
        "the members removed \(named(entry.lab).name), whose log counts up to entry "
        + "\(last)"
    } else {
      row.reason = "an earlier entry of its log names a later roster version"
    }
    return row
  }
}
