import Adapters
import Deltas
import Determinism
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Logging
import Records
import Storage
import SwiftProtobuf

/// What the round loop is to do next.
enum Step: Sendable {
  /// Nothing can be done yet; says why.
  case wait(String)
  /// Judge this contribution.
  case judge(ContributionState)
  /// Train for a round, as the so-manieth try.
  case train(round: UInt32, attempt: UInt32, rejections: [ContentID])
  /// Fold and adopt this merge.
  case adopt(Hanse_V1_Merge)
  /// Measure the head on the held-out text, while there is nothing else to do.
  case measure
  /// The round to stop after is over and shown to everybody present.
  case finish
}

extension NodeCore {
  /// Looks at everything and decides.
  ///
  /// - Parameter last: the round to stop after, if there is one.
  func nextStep(last: UInt32?) -> Step {
    logbook.settle()
    if headRoot == nil { return .adopt(head) }
    guard isMember else {
      let wasRemoved = logbook.roster.cutoffs[lab] != nil
      return .wait(
        wasRemoved
          ? "this lab was removed by the members: see hanse roster"
          : "waiting for the members to approve this lab")
    }
    guard maySign else {
      return .wait("waiting for other labs to confirm where this lab's log ends")
    }
    let needed = Int(charter.message.round.labsToBegin)
    guard round > 0 || logbook.roster.members.count >= needed else {
      return .wait("waiting for \(needed) labs, there are \(logbook.roster.members.count)")
    }
    if let contribution = nextToJudge() { return .judge(contribution) }
    if let larger = largerHead() { return .adopt(larger) }
    if let last, round >= last {
      if measured != head.id { return .measure }
      return isShown ? .finish : .wait("waiting for the other labs' attestations")
    }
    let facts = facts
    if let upTo = rule.leave(facts, now: Self.clock()) {
      let next = head(upTo: upTo)
      if next.frontier.round > round { return .adopt(next) }
    }
    if let step = ownTraining(facts) { return step }
    if measured != head.id { return .measure }
    return .wait(describeWaiting(facts))
  }

  // MARK: judging

  /// A contribution that this lab is to judge and can judge now, the oldest first.
  private func nextToJudge() -> ContributionState? {
    for state in logbook.contributionsInOrder where state.status == .pending {
      guard state.round <= round + 1, state.round + 2 >= round, state.author != lab,
        state.judges.contains(lab), !state.judgements.contains(where: { $0.judge == lab }),
        isHeld(state), let base = try? logbook.expand(state.message.base.frontier),
        base.members.allSatisfy({ logbook.contribution($0).map(isHeld) ?? false })
      else { continue }
      return state
    }
    return nil
  }

  func isHeld(_ state: ContributionState) -> Bool {
    ContentID(bytes: state.message.payload.blockList).map(heldObjects.contains) ?? false
  }

  // MARK: heads

  private func head(upTo limit: UInt32) -> Hanse_V1_Merge {
    logbook.head(upTo: limit) { self.isHeld($0) }
  }

  /// A head of the same round with more in it, while this node has not built on the old one.
  private func largerHead() -> Hanse_V1_Merge? {
    let own = logbook.contributionsInOrder.contains { $0.author == lab && $0.round == round + 1 }
    guard round > 0, !own else { return nil }
    let candidate = head(upTo: round)
    guard candidate.frontier.members != head.frontier.members,
      candidate.frontier.round == round,
      let larger = try? logbook.expand(candidate.frontier),
      let now = try? logbook.expand(head.frontier), now.set.isSubset(of: larger.set)
    else { return nil }
    return candidate
  }

  /// What a merge is folded from.
  func recipe(for merge: Hanse_V1_Merge) throws -> Folding.Recipe {
    try logbook.recipe(for: merge)
  }

  /// Makes a folded merge this node's head.
  func adopt(_ merge: Hanse_V1_Merge, root: ContentID) throws {
    let isNew = merge.id != head.id || headRoot == nil
    head = merge
    headRoot = root
    var changes: [Change] = [.value(name: OwnValue.head, bytes: try merge.serializedBytes())]
    if let feedback = admittedFeedback(in: merge) {
      changes.append(.value(name: OwnValue.feedback, bytes: feedback.bytes))
    }
    try store.commit(changes)
    try pruneFeedback()
    for lab in logbook.labs { checkAttested(by: lab) }
    if isNew {
      log.notice(
        "stands on merge \(merge.id.short)",
        metadata: ["round": "\(merge.frontier.round)", "root": "\(root.short)"])
    }
    tell(.round(UInt64(round)))
    react()
  }

  /// Forgets what earlier deltas left unsaid: one buffer is in use, and those of own contributions
  /// that may still be admitted.
  private func pruneFeedback() throws {
    var needed: Set<String> = []
    if let bytes = try? store.value(OwnValue.feedback), let id = ContentID(bytes: bytes) {
      needed.insert("feedback-\(id)")
    }
    for state in logbook.contributionsInOrder where state.author == lab {
      let isOpen = state.status == .pending || (state.status == .admitted && state.round > round)
      if isOpen, let id = ContentID(bytes: state.message.payload.blockList) {
        needed.insert("feedback-\(id)")
      }
    }
    for name in try store.workNames() where name.hasPrefix("feedback-") && !needed.contains(name) {
      try store.removeWork(name)
    }
  }

  private func checkAttested(by lab: LabID) {
    for entry in logbook.log(of: lab).reversed() {
      guard case .attestation(let attestation)? = entry.message.payload else { continue }
      guard attestation.merge.id == head.id, let own = headRoot,
        let other = ContentID(bytes: attestation.stateRoot), other != own
      else { return }
      let error = NodeError.differentRoots(merge: head.id, own: own, other: other, lab: lab)
      log.critical("\(error)")
      attention.append("\(error)")
      return
    }
  }

  // MARK: feedback

  /// The payload of the newest own contribution in a merge: its feedback is used from now on.
  private func admittedFeedback(in merge: Hanse_V1_Merge) -> ContentID? {
    guard let expansion = try? logbook.expand(merge.frontier) else { return nil }
    return logbook.contributionsInOrder.last { $0.author == lab && expansion.set.contains($0.id) }
      .flatMap { ContentID(bytes: $0.message.payload.blockList) }
  }

  // MARK: leaving a round

  private var facts: RoundRule.Facts {
    let working = round + 1
    var facts = RoundRule.Facts(
      round: working, trainers: [], admitted: [], decided: [], furthest: 0)
    let connected = Set(mesh.peerStatus.filter { $0.state == .connected }.map(\.lab))
    for seat in logbook.roster.members {
      let trains =
        seat.lab == lab
        ? configuration.trains ?? true
        : connected.contains(seat.lab) && logbook.presence(of: seat.lab)?.trains == true
      if trains { facts.trainers.append(seat.lab) }
    }
    for state in logbook.contributionsInOrder {
      if state.status == .admitted, isHeld(state),
        (try? logbook.expand(state.message.base.frontier)) != nil
      {
        facts.furthest = max(facts.furthest, state.round)
      }
      guard state.round == working else { continue }
      if state.status == .admitted { facts.admitted.append(state.author) }
      if state.isDecided, isHeld(state) || state.status != .admitted {
        facts.decided.append(state.author)
      }
    }
    return facts
  }

  /// Training for the round, or another try when every judge has spoken against the last one.
  private func ownTraining(_ facts: RoundRule.Facts) -> Step? {
    guard configuration.trains ?? true, abstained != facts.round else { return nil }
    let own = logbook.contributionsInOrder.filter { $0.author == lab && $0.round == facts.round }
    guard let newest = own.max(by: { $0.message.attempt < $1.message.attempt }) else {
      return .train(round: facts.round, attempt: 1, rejections: [])
    }
    guard newest.status == .rejected, facts.admitted.isEmpty,
      newest.message.attempt < UInt32(Limits.attemptsMax)
    else { return nil }
    return .train(
      round: facts.round, attempt: newest.message.attempt + 1,
      rejections: newest.judgements.filter { !$0.accepts }.map(\.entry))
  }

  private func describeWaiting(_ facts: RoundRule.Facts) -> String {
    let missing = facts.trainers.filter { !facts.decided.contains($0) && $0 != lab }
    if let seconds = rule.remaining(now: Self.clock()) {
      return "round \(facts.round): a quorum is done, \(Int(seconds)) s of grace for the rest"
    }
    if facts.trainers.count <= 1, logbook.roster.members.count > 1 {
      return "round \(facts.round): no other lab is connected"
    }
    if missing.isEmpty, facts.admitted.isEmpty {
      return "round \(facts.round): every try of every lab was rejected; see hanse log"
    }
    if missing.isEmpty { return "round \(facts.round): waiting for verdicts" }
    let names = missing.map { name(of: $0) }.joined(separator: ", ")
    return "round \(facts.round): waiting for \(names)"
  }

  /// Whether every lab that is present has attested this head, so that nobody needs this node any
  /// more.
  private var isShown: Bool {
    let connected = mesh.peerStatus.filter { $0.state == .connected }.map(\.lab)
    let attested = connected.allSatisfy { lab in
      for entry in logbook.log(of: lab).reversed() {
        guard case .attestation(let attestation)? = entry.message.payload else { continue }
        return attestation.merge.frontier.round >= round
      }
      return false
    }
    let others = logbook.roster.members.count > 1
    return attested && lastAttested?.merge.id == head.id
      && (logbook.isSealed(head.frontier) || (others && connected.isEmpty && leftAlone))
  }

  /// Whether the others have been gone so long that waiting for them makes no sense.
  private var leftAlone: Bool {
    Self.clock().seconds(since: quietSince) > Double(charter.message.round.graceSeconds)
  }
}
