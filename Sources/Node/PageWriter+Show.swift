import Control
import FoundationEssentials
import Identities
import Ledger
import Records

extension PageWriter {
  /// Everything about the one thing whose id begins so.
  ///
  /// - Throws: `ControlError` when there is none or more than one.
  mutating func show(_ prefix: String) throws -> EntryPage {
    guard prefix.utf8.count >= 4 else {
      throw ControlError(
        .wrongUse, "\(prefix.debugDescription) is too short for an id",
        hint: "give at least four characters, as hanse log shows them")
    }
    var merges: [ContentID: Hanse_V1_Attestation] = [:]
    var entries: [Entry] = []
    for lab in logbook.labs {
      for entry in logbook.log(of: lab) {
        if entry.id.description.hasPrefix(prefix) { entries.append(entry) }
        if case .attestation(let attestation)? = entry.message.payload,
          attestation.merge.id.description.hasPrefix(prefix)
        {
          merges[attestation.merge.id] = attestation
        }
      }
    }
    // The other branch of a log stands in none, but it is evidence.
    entries += logbook.labs.compactMap { logbook.forks[$0]?.other }
      .filter { $0.id.description.hasPrefix(prefix) }
    let labs = logbook.labs.filter { $0.description.hasPrefix(prefix) }
    switch entries.count + merges.count + labs.count {
    case 0: return try charterPage(prefix)
    case 1: break
    default:
      throw ControlError(
        .wrongUse, "\(prefix) begins \(entries.count + merges.count + labs.count) ids",
        hint: "give more characters of the id")
    }
    if let lab = labs.first { return page(of: lab) }
    if let attestation = merges.values.first { return try page(of: attestation) }
    return page(of: entries[0])
  }

  private func charterPage(_ prefix: String) throws -> EntryPage {
    guard logbook.charter.id.description.hasPrefix(prefix) else {
      throw ControlError(
        .notFound, "no entry, merge or charter begins with \(prefix)",
        hint: "hanse log shows what there is")
    }
    let message = logbook.charter.message
    return EntryPage(
      kind: "charter", id: logbook.charter.id.description,
      fields: [
        .init("federation", message.name), .init("base", message.base.name),
        .init("architecture", message.base.architecture),
        .init("rank", "\(message.adapter.rank)"), .init("alpha", "\(message.adapter.alpha)"),
        .init("rule", message.merge.rule),
        .init("outer rate", "\(Double(message.merge.outerRateQ16) / 65536)"),
        .init("momentum", "\(Double(message.merge.momentumQ16) / 65536)"),
        .init("steps a round", "\(message.round.localSteps)"),
        .init("tolerance", "\(Double(message.judging.toleranceMicronats) / 1e6) nats per token"),
        .init("privacy", message.privacyPolicy),
        .init("founders", message.founders.map(\.name).joined(separator: ", ")),
      ])
  }

  private mutating func page(of attestation: Hanse_V1_Attestation) throws -> EntryPage {
    let id = attestation.merge.id
    let expansion = try logbook.expand(attestation.merge.frontier)
    return EntryPage(
      kind: "merge", id: id.description,
      merge: mergeRow(
        attestation, expansion: expansion, after: merge(before: id),
        attesters: attesters(of: [id])),
      fields: [.init("roster version", "\(attestation.merge.rosterVersion)")])
  }

  /// What the lab that adopted a merge had for its head before that: this node itself if it did.
  private func merge(before id: ContentID) -> Hanse_V1_Merge? {
    for lab in [lab] + logbook.labs {
      let adopted = distinctMerges(of: lab)
      guard let place = adopted.firstIndex(where: { $0.merge.id == id }) else { continue }
      return place == 0 ? nil : adopted[place - 1].merge
    }
    return nil
  }

  private func page(of entry: Entry) -> EntryPage {
    var page = EntryPage(kind: kind(entry), id: entry.id.description, entry: row(entry))
    page.fields = [
      .init("previous", entry.previous?.description ?? "none"),
      .init("roster version", "\(entry.rosterVersion)"),
      .init("bytes", "\(entry.body.count)"),
    ]
    if let proof = evidence(entry.lab), proof.entries.contains(entry.id.description) {
      page.evidence = proof
    }
    switch entry.message.payload {
    case .contribution(let message):
      let state = logbook.contribution(entry.id)
      page.contribution = state.map(row) ?? excluded(entry, message)
      if let absence = state.flatMap(own.absence) { page.fields.append(.init("payload", absence)) }
      page.fields += [
        .init("steps", "\(message.steps)"), .init("windows", "\(message.examples)"),
        .init("engine", message.engine), .init("codec", message.payload.codec),
        .init("licence of the data", message.licence.isEmpty ? "none declared" : message.licence),
      ]
    case .verdict(let verdict):
      if let id = ContentID(bytes: verdict.contribution), let state = logbook.contribution(id) {
        page.contribution = row(state)
      }
    case .proposal: page.proposal = proposalRow(entry.id)
    case .approval(let approval):
      page.proposal = ContentID(bytes: approval.proposal).flatMap(proposalRow)
    default: break
    }
    return page
  }

  private func proposalRow(_ id: ContentID) -> ProposalRow? {
    logbook.proposal(id).map(row)
  }
}
