import Control
import FoundationEssentials
import Identities
import Ledger
import Records

/// Writes the pages that a running node and an offline reader share, from the logs alone.
struct PageWriter {
  var logbook: Logbook
  let lab: LabID
  let head: Hanse_V1_Merge
  let headRoot: ContentID?
  /// This node as it knows itself, on the roster or not.
  let own: Own

  /// What a node knows of itself that stands in no log.
  struct Own {
    /// What the lab calls itself.
    let name: String
    /// Of its key.
    let fingerprint: String
    /// Requests to join that its operator declined.
    let declined: Set<ContentID>
    /// Why a contribution's payload is not here; nil when it is.
    var absence: @Sendable (ContributionState) -> String? = { _ in nil }
  }

  var federation: Named {
    Named(name: logbook.charter.message.name, id: logbook.charter.id.description)
  }

  func named(_ lab: LabID) -> Named {
    let seat = logbook.rosters.last { $0.member(lab) != nil }?.member(lab)
    let name = seat?.name ?? (lab == self.lab ? own.name : "?")
    return Named(name: name, id: lab.description)
  }

  mutating func mergeHead() -> MergeHead {
    MergeHead(
      id: head.id.description, round: Int(head.frontier.round),
      stateRoot: (headRoot ?? attestedRoot(of: head.id))?.description ?? "",
      sealed: logbook.isSealed(head.frontier))
  }

  private func attestedRoot(of merge: ContentID) -> ContentID? {
    attestations(of: lab).last { $0.merge.id == merge }.flatMap { ContentID(bytes: $0.stateRoot) }
  }

  func attestations(of lab: LabID) -> [Hanse_V1_Attestation] {
    logbook.log(of: lab).compactMap { entry in
      guard case .attestation(let attestation)? = entry.message.payload else { return nil }
      return attestation
    }
  }

  // MARK: rows

  func row(_ state: ContributionState) -> ContributionRow {
    var row = row(state.message, of: state.entry)
    row.verdicts = state.judgements.compactMap { judgement in
      guard let verdict = judgement.verdict else { return nil }
      return VerdictRow(
        judge: named(judgement.judge), accept: verdict.accept, reason: text(verdict.reason),
        before: nats(verdict.lossBeforeMicronats), after: nats(verdict.lossAfterMicronats),
        tokens: verdict.tokens)
    }
    row.status = status(state)
    row.reason = row.status == .recalled ? recallReason(state.id) : reason(state)
    return row
  }

  /// What a contribution says of itself, before anybody has judged it.
  func row(_ message: Hanse_V1_Contribution, of entry: Entry) -> ContributionRow {
    let squares = message.factorNorms.reduce(0.0) { $0 + Double($1) * Double($1) }
    return ContributionRow(
      id: entry.id.description, author: named(entry.lab), round: Int(message.round),
      attempt: Int(message.attempt), base: message.base.id.description, tokens: message.tokens,
      bytes: message.payload.size, before: nats(message.lossBeforeMicronats),
      after: nats(message.lossAfterMicronats), norm: squares.squareRoot() * 0x1p-40,
      verdicts: [], status: .pending, reason: "")
  }

  private func status(_ state: ContributionState) -> ContributionRow.Status {
    switch state.status {
    case .pending: return .pending
    case .rejected: return .rejected
    case .refused: return .excluded
    case .admitted:
      if logbook.roster.recalled.contains(state.id) { return .recalled }
      var copy = logbook
      return copy.isSealedContribution(state.id) ? .sealed : .admitted
    }
  }

  private func reason(_ state: ContributionState) -> String {
    switch state.status {
    case .refused(let fault): return fault
    case .rejected: return "\(state.rejects) of \(state.judges.count) judges rejected it"
    case .pending:
      return "\(state.judgements.count) of \(state.judges.count) judges have spoken"
    case .admitted: return ""
    }
  }

  /// Which change of the roster took a contribution out of the fold, whose it was, and why.
  private func recallReason(_ id: ContentID) -> String {
    let bytes = Data(id.bytes)
    for roster in logbook.rosters.dropLast() {
      guard let proposal = logbook.enactedProposal(after: roster),
        case .recall(let recall)? = proposal.message.change,
        recall.contributions.contains(bytes)
      else { continue }
      let approvers = proposal.approvers.map { named($0).name }.joined(separator: ", ")
      return
        "by roster version \(proposal.message.makesVersion) (\(proposal.id.short)), proposed by "
        + "\(named(proposal.author).name), approved by \(approvers)"
        + (recall.reason.isEmpty ? "; no reason given" : ": \(recall.reason)")
    }
    return ""
  }

  private func nats(_ micronats: UInt64) -> Double { Double(micronats) / 1e6 }

  func text(_ reason: Hanse_V1_Reason) -> String {
    switch reason {
    case .accepted: "accepted"
    case .lossRose: "loss rose"
    case .undecodable: "undecodable"
    case .notFinite: "not finite"
    default: "unknown"
    }
  }

  func row(_ proposal: OpenProposal) -> ProposalRow {
    let message = proposal.message
    return ProposalRow(
      id: proposal.id.description, makesVersion: Int(message.makesVersion),
      change: describe(message), details: details(message), proposer: named(proposal.author),
      approvals: proposal.approvers.map { named($0).name }, needed: proposal.needed,
      enacted: proposal.isEnacted, attempt: Int(message.attempt), canPass: proposal.canPass)
  }

  func describe(_ proposal: Hanse_V1_Proposal) -> String {
    switch proposal.change {
    case .admit(let admission):
      guard let ask = try? JoinAsk(admission.request) else { return "admit a lab" }
      return "admit \(ask.name) (\(ask.key.fingerprint))"
    case .remove(let removal):
      return "remove \(LabID(bytes: removal.lab).map { named($0).name } ?? "?")"
    case .rotate(let rotation):
      return "new key for \(LabID(bytes: rotation.lab).map { named($0).name } ?? "?")"
    case .recall(let recall):
      let count = recall.contributions.count
      return "recall \(count) contribution\(count == 1 ? "" : "s")"
    case .changeRule: return "change the rules"
    case nil: return "a change that this version does not know"
    }
  }

  /// What somebody who is to approve a change must know of it.
  private func details(_ proposal: Hanse_V1_Proposal) -> [String] {
    switch proposal.change {
    case .admit(let admission):
      guard let ask = try? JoinAsk(admission.request) else { return [] }
      return ["lab id \(ask.lab)"]
    case .remove(let removal):
      return [
        "its log counts up to entry \(removal.lastSequence)",
        removal.reason.isEmpty ? "no reason given" : "reason: \(removal.reason)",
      ]
    case .rotate(let rotation):
      guard let key = PublicKey(bytes: rotation.newKey) else { return [] }
      return ["fingerprint of the new key: \(key.fingerprint)"]
    case .recall(let recall):
      let shown = recall.contributions.prefix(16).compactMap { ContentID(bytes: $0) }.map { id in
        guard let state = logbook.contribution(id) else { return "\(id.short), not known here" }
        return "\(id.short) by \(named(state.author).name), round \(state.round)"
      }
      let more = recall.contributions.count - shown.count
      return shown + (more > 0 ? ["and \(more) more"] : [])
        + [recall.reason.isEmpty ? "no reason given" : "reason: \(recall.reason)"]
    case .changeRule(let change): return details(of: change, makes: proposal.makesVersion)
    case nil: return []
    }
  }

  // MARK: pages

  /// Requests to join that wait and that this node's operator has not declined.
  var openRequests: [PendingRequest] {
    logbook.pendingRequests.filter { $0.isInvited && !own.declined.contains($0.ask.id) }
  }

  func pending() -> PendingPage {
    let requests = openRequests.map { request in
      PendingPage.Request(
        lab: Named(name: request.ask.name, id: request.ask.lab.description),
        fingerprint: request.ask.key.fingerprint, addresses: request.ask.addresses,
        askedSeconds: request.ask.timeSeconds, proposal: request.proposal?.id.description,
        approvals: request.proposal?.approvers.map { named($0).name } ?? [],
        needed: logbook.roster.approvalQuorum)
    }
    // What was declined here and others propose all the same is a proposal like any other.
    let others = logbook.openProposals.filter { proposal in
      guard case .admit = proposal.message.change else { return true }
      return !logbook.pendingRequests.contains {
        $0.proposal?.id == proposal.id && !own.declined.contains($0.ask.id)
      }
    }
    let waits =
      logbook.roster.member(lab) == nil
      && !logbook.rosters.contains {
        $0.member(lab) != nil
      }
    return PendingPage(
      requests: requests, proposals: others.map(row),
      ownFingerprint: waits ? own.fingerprint : nil)
  }

  func roster() -> RosterPage {
    RosterPage(
      rosterVersion: Int(logbook.roster.version), id: logbook.roster.id.description,
      labs: logbook.roster.members.map { seat in
        RosterPage.Member(
          lab: named(seat.lab), fingerprint: seat.key.fingerprint,
          sinceVersion: Int(seat.since), isOwn: seat.lab == lab)
      }.sorted { $0.lab.name < $1.lab.name }, rules: rules,
      evidence: logbook.labs.compactMap(evidence),
      history: logbook.rosters.dropLast().compactMap { roster in
        logbook.enactedProposal(after: roster).map(row)
      })
  }

  /// The newest merges of some rounds. What is not shown is not looked at: a node that has run for
  /// years answers as fast as a young one.
  mutating func log(limit: Int, entries: Bool, rounds: RoundSpan) -> LogPage {
    // Once, before every row asks for itself.
    _ = logbook.sealedRound()
    let adopted = distinctMerges(of: lab)
    var places = adopted.indices.filter { rounds.contains(Int(adopted[$0].merge.frontier.round)) }
    places = Array(places.suffix(max(0, limit)))
    let attesters = attesters(of: Set(places.map { adopted[$0].merge.id }))
    var rows: [MergeRow] = []
    var listed = (try? logbook.expand(head.frontier)).map { [$0] } ?? []
    for place in places {
      guard let expansion = try? logbook.expand(adopted[place].merge.frontier) else { continue }
      rows.append(
        mergeRow(
          adopted[place], expansion: expansion, after: place == 0 ? nil : adopted[place - 1].merge,
          attesters: attesters))
      listed.append(expansion)
    }
    let lowest = rows.first.map { $0.round } ?? 0
    let open = logbook.contributionsInOrder.filter {
      $0.round >= lowest && rounds.contains(Int($0.round))
    }.filter { state in !listed.contains { logbook.contains(state.id, in: $0) } }
    return LogPage(
      federation: federation, merges: rows.reversed(), open: open.map(row),
      entries: entries ? entryRows(limit: limit) : [])
  }

  /// The merges that a lab adopted, in its log's order, each once.
  func distinctMerges(of lab: LabID) -> [Hanse_V1_Attestation] {
    var seen: Set<ContentID> = []
    return attestations(of: lab).filter { seen.insert($0.merge.id).inserted }
  }

  /// A merge that its lab adopted after another one.
  mutating func mergeRow(
    _ attestation: Hanse_V1_Attestation, expansion: Expansion, after last: Hanse_V1_Merge?,
    attesters: [ContentID: [ContentID: [LabID]]]
  ) -> MergeRow {
    let known = last.flatMap { try? logbook.expand($0.frontier) }
    let states = logbook.members(of: expansion)
      .filter { id in known.map { !logbook.contains(id, in: $0) } ?? true }
      .compactMap { logbook.contribution($0) }
    var parents: [ContentID] = last.map { [$0.id] } ?? []
    for state in states where !parents.contains(state.message.base.id) {
      if state.message.base.id != attestation.merge.id { parents.append(state.message.base.id) }
    }
    let id = attestation.merge.id
    let root = ContentID(bytes: attestation.stateRoot)
    return MergeRow(
      id: id.description, round: Int(expansion.round), parents: parents.map(\.description),
      contributions: states.map(row), stateRoot: root?.description ?? "",
      attestedBy: (root.flatMap { attesters[id]?[$0] } ?? []).map { named($0).name },
      sealed: logbook.isSealed(attestation.merge.frontier))
  }

  /// Who attested each of these merges, by merge and state root.
  func attesters(of merges: Set<ContentID>) -> [ContentID: [ContentID: [LabID]]] {
    var result: [ContentID: [ContentID: [LabID]]] = [:]
    for lab in logbook.labs {
      for attestation in distinctRoots(of: lab, merges) {
        result[attestation.merge, default: [:]][attestation.root, default: []].append(lab)
      }
    }
    return result
  }

  private struct MergeAndRoot: Hashable {
    let merge: ContentID
    let root: ContentID
  }

  private func distinctRoots(of lab: LabID, _ merges: Set<ContentID>) -> Set<MergeAndRoot> {
    var result: Set<MergeAndRoot> = []
    for attestation in attestations(of: lab) where merges.contains(attestation.merge.id) {
      guard let root = ContentID(bytes: attestation.stateRoot) else { continue }
      result.insert(MergeAndRoot(merge: attestation.merge.id, root: root))
    }
    return result
  }

  // MARK: entries

  private func entryRows(limit: Int) -> [EntryRow] {
    logbook.labs.flatMap { logbook.log(of: $0) }
      .sorted { ($0.message.timeSeconds, $0.id) > ($1.message.timeSeconds, $1.id) }
      .prefix(max(0, limit)).map(row)
  }

  func row(_ entry: Entry) -> EntryRow {
    EntryRow(
      id: entry.id.description, lab: named(entry.lab), sequence: entry.sequence,
      kind: kind(entry), timeSeconds: entry.message.timeSeconds, summary: summary(entry))
  }

  func kind(_ entry: Entry) -> String {
    switch entry.message.payload {
    case .contribution: "contribution"
    case .verdict: "verdict"
    case .attestation: "attestation"
    case .proposal: "proposal"
    case .approval: "approval"
    case .presence: "presence"
    case nil: "unknown"
    }
  }

  private func summary(_ entry: Entry) -> String {
    switch entry.message.payload {
    case .contribution(let message):
      return "round \(message.round), \(message.tokens) tokens"
    case .verdict(let verdict):
      let target = ContentID(bytes: verdict.contribution)?.short ?? "?"
      return "\(text(verdict.reason)): \(target)"
    case .attestation(let attestation):
      let root = ContentID(bytes: attestation.stateRoot)?.short ?? "?"
      let merge = attestation.merge
      return "merge \(merge.id.short), round \(merge.frontier.round), root \(root)"
    case .proposal(let proposal): return describe(proposal)
    case .approval(let approval): return ContentID(bytes: approval.proposal)?.short ?? "?"
    case .presence(let presence):
      return presence.addresses.joined(separator: " ") + (presence.trains ? ", trains" : ", judges")
    case nil: return "a kind that this version does not know"
    }
  }
}
