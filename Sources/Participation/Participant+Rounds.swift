import Determinism
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Records

extension Participant {
  /// Takes in what the worker did.
  mutating func work(_ event: ParticipantEvent) {
    switch event {
    case .workerIsFree(let last):
      drain()
      let step = nextStep(last: last)
      out.append(.work(step))
    case .folded(let merge, let root): adopt(merge, root: root)
    case .judged(let contribution, let judgement): saw(contribution, judgement)
    case .trained(let message): announce(message)
    case .abstained(let round): abstained = round
    case .measured(let merge): if merge == headID { measured = merge }
    case .prepared(let merge): prepared = merge
    default: break
    }
  }

  /// Looks at everything and decides.
  private mutating func nextStep(last: UInt32?) -> Step {
    settle()
    if !isStanding(head) {
      // What an equivocation or a removal took out of the logs, nobody can build on any more.
      head = head(upTo: round)
      headRoot = nil
    }
    if headRoot == nil { return adoption(of: head) ?? .wait(.catchingUp(round: round)) }
    guard isMember else {
      return .wait(logbook.roster.cutoffs[lab] != nil ? .removed : .approval)
    }
    guard signingKey != nil else { return .wait(.newKey) }
    guard maySign else {
      let isBarred = signedElsewhere != nil || logbook.forks[lab] != nil
      return .wait(isBarred ? .ownKey : .ownLog)
    }
    guard !isAhead else { return .wait(.rosterTakenBack) }
    let needed = Int(logbook.roster.rules.round.labsToBegin)
    // A lab that was removed after the first round began does not make it begin anew, nor need
    // whoever comes when the others have begun wait for another.
    guard round > 0 || highestAdmittedRound > 0 || logbook.roster.members.count >= needed else {
      return .wait(.labs(needed: needed, present: logbook.roster.members.count))
    }
    if isCatchingUp { return .wait(.catchingUp(round: logbook.highestRound)) }
    // What came as a state is the next head; what is cut at its round may fold to another.
    if let foundation, !footing.covered.isEmpty, round < foundation.round {
      return .adopt(foundation.merge)
    }
    let view = view
    if idle != view {
      rejectVoidBases()
      if let contribution = nextToJudge() { return .judge(contribution) }
      if let larger = largerHead() {
        if isFoldable(larger) { return .adopt(larger) }
        missLarger(larger)
      } else {
        idle = view
      }
    }
    if let last, round >= last {
      if measured != headID { return .measure }
      return isShown ? .finish : .wait(.attestations)
    }
    let facts = facts
    observeLatecomers(before: facts.round)
    if let upTo = rule.leave(facts, now: moment.now) {
      let next = closure(upTo: upTo)
      if next.round > round, let step = adoption(of: logbook.merge(of: next)) { return step }
    }
    if let step = ownTraining(facts) { return step }
    if measured != headID { return .measure }
    if let step = running(aheadOf: facts, last: last) { return step }
    return .wait(reason(facts))
  }

  /// What judging, and changing over to a larger head, follow from.
  struct View: Equatable, Sendable {
    var revision: UInt64
    var held: UInt64
    var round: UInt32
    var isQuiet: Bool
  }

  private var view: View {
    View(revision: logbook.revision, held: heldRevision, round: round, isQuiet: leftAlone)
  }

  /// A larger head of the same round that cannot be folded here matters only when it stays: the
  /// next round's is another.
  private mutating func missLarger(_ merge: Hanse_V1_Merge) {
    if footing.missed?.merge != merge.id { footing.missed = (merge.id, moment.now) }
    guard let since = footing.missed?.since,
      moment.now.seconds(since: since) >= Self.missedSeconds
    else { return }
    footing.stuck = merge
  }

  /// Folding and adopting a merge, if it can be folded from what is here.
  private mutating func adoption(of merge: Hanse_V1_Merge) -> Step? {
    if isFoldable(merge) { return .adopt(merge) }
    footing.stuck = merge
    return nil
  }

  // MARK: judging

  /// A contribution that this lab is to judge and can judge now, the oldest first.
  private mutating func nextToJudge() -> ContributionState? {
    refreshBaseFindings()
    for state in logbook.pendingContributions(judgedBy: lab) {
      guard mayJudge(state), isHeld(state), let base = try? logbook.base(of: state) else {
        continue
      }
      let digest = state.message.base.frontier.members
      let isUsable = baseFindings.usable[digest] ?? isUsable(base)
      baseFindings.usable[digest] = isUsable
      if isUsable, isFoldable(state.message.base) { return state }
    }
    return nil
  }

  /// Whether everything in a base is admitted and held.
  private mutating func isUsable(_ base: Expansion) -> Bool {
    guard logbook.isAdmitted(base) else { return false }
    let covered = footing.covered
    let held = heldObjects
    let book = logbook
    let isHeld = book.all(in: base, besides: knownHeld) { id in
      covered.contains(id) || (book.object(of: id).map(held.contains) ?? false)
    }
    if isHeld { knowHeld(base) }
    return isHeld
  }

  /// Remembers that these contributions are held, unless more is remembered.
  private mutating func knowHeld(_ set: Expansion) {
    if knownHeld.map({ $0.isSubset(of: set) }) ?? true { knownHeld = set }
  }

  /// Whether everything in a merge is still admitted.
  private mutating func isStanding(_ merge: Hanse_V1_Merge) -> Bool {
    guard standingSince != logbook.statusRevision else { return true }
    guard let expansion = try? logbook.expand(merge.frontier),
      logbook.isAdmitted(expansion)
    else { return false }
    standingSince = logbook.statusRevision
    return true
  }

  /// Rejects what was trained from contributions that no longer count, or from what is no frontier,
  /// so that its author may try again: it cannot be measured.
  private mutating func rejectVoidBases() {
    for state in logbook.pendingContributions(judgedBy: lab)
    where mayJudge(state) && isBaseVoid(of: state) {
      saw(state.id, Judgement(reason: .undecodable))
    }
  }

  private mutating func isBaseVoid(of state: ContributionState) -> Bool {
    refreshBaseFindings()
    do throws(LedgerError) {
      let base = try logbook.base(of: state)
      let digest = state.message.base.frontier.members
      if let known = baseFindings.void[digest] { return known }
      if logbook.isAdmitted(base) { return false }
      let isVoid = !logbook.all(in: base) { id in
        switch logbook.status(of: id) {
        case .admitted, .pending: true
        case .rejected, .refused, nil: false
        }
      }
      baseFindings.void[digest] = isVoid
      return isVoid
    } catch {
      switch error {
      case .otherBranch, .wrongMembers, .tooFarAboveSeal: return true
      case .missing(let lab, let sequence):
        // The other branch of a log that forked, which nobody may ever show here.
        return leftAlone && logbook.forks[lab].map { $0.sequence <= sequence } ?? false
      default: return false
      }
    }
  }

  /// What was found of bases, by their members. Contributions of one round mostly share theirs.
  struct BaseFindings: Sendable {
    var statuses: UInt64?
    var held: UInt64?
    /// Whether all members are admitted and held.
    var usable: [Data: Bool] = [:]
    /// Whether some members no longer count.
    var void: [Data: Bool] = [:]
  }

  /// Forgets what rests on other statuses, or other payloads, than there are now.
  private mutating func refreshBaseFindings() {
    guard
      baseFindings.statuses != logbook.statusRevision || baseFindings.held != heldRevision
    else { return }
    baseFindings = BaseFindings(statuses: logbook.statusRevision, held: heldRevision)
  }

  /// Whether this lab is to judge a contribution and has not.
  private func mayJudge(_ state: ContributionState) -> Bool {
    state.round <= round + 1 && state.round + 2 >= round && state.author != lab
      && state.judges.contains(lab) && !state.judgements.contains { $0.judge == lab }
  }

  /// Whether a contribution's payload is here, or a state that stands for it.
  package func isHeld(_ state: ContributionState) -> Bool {
    isCovered(state.id) || (state.object.map(heldObjects.contains) ?? false)
  }

  /// Signs this lab's verdict, unless it has spoken already.
  private mutating func saw(_ contribution: ContentID, _ judgement: Judgement) {
    // The members may have removed this lab while it computed.
    guard canSign, let state = logbook.contribution(contribution),
      !state.judgements.contains(where: { $0.judge == lab })
    else { return }
    var verdict = Hanse_V1_Verdict()
    verdict.contribution = .init(contribution.bytes)
    verdict.accept = judgement.reason == .accepted
    verdict.reason = judgement.reason
    verdict.lossBeforeMicronats = judgement.before
    verdict.lossAfterMicronats = judgement.after
    verdict.tokens = judgement.tokens
    signOrSay(.verdict(verdict))
  }

  // MARK: training

  /// Whether this lab's log has a contribution of this round and attempt.
  package func hasContributed(round: UInt32, attempt: UInt32) -> Bool {
    logbook.contributions(ofRound: round, by: lab).contains { $0.message.attempt == attempt }
  }

  /// Announces a delta whose payload is durable.
  private mutating func announce(_ message: Hanse_V1_Contribution) {
    guard canSign, !hasContributed(round: message.round, attempt: message.attempt),
      let object = ContentID(bytes: message.payload.blockList)
    else { return }
    heldObjects.insert(object)
    signOrSay(.contribution(message))
    tell(.held(object))
  }

  // MARK: heads

  mutating func head(upTo limit: UInt32) -> Hanse_V1_Merge {
    logbook.merge(of: closure(upTo: limit))
  }

  /// What the largest set of contributions follows from.
  struct ClosureView: Equatable, Sendable {
    var statuses: UInt64
    var held: UInt64
    /// The ledger's revision, when bases are still to be told.
    var revision: UInt64?
  }

  /// The largest set of contributions whose payloads are here; found anew only when what it follows
  /// from has changed.
  mutating func closure(upTo limit: UInt32) -> Expansion {
    logbook.settle()
    let covered = footing.covered
    // What lies beneath the foundation cannot be folded in part.
    let limit = max(limit, covered.isEmpty ? 0 : footing.lowest?.round ?? 0)
    let view = ClosureView(statuses: logbook.statusRevision, held: heldRevision)
    let known = closures.first { known in
      known.upTo == limit && known.view.statuses == view.statuses && known.view.held == view.held
        && known.view.revision.map { $0 == logbook.revision } ?? true
    }
    if let known { return known.set }
    let held = heldObjects
    let found = logbook.closure(upTo: limit, held: knownHeld) { state in
      covered.contains(state.id) || (state.object.map(held.contains) ?? false)
    }
    knowHeld(found.set)
    closures.removeAll { $0.upTo == limit }
    var current = view
    if !found.isComplete { current.revision = logbook.revision }
    closures.append((limit, current, found.set))
    if closures.count > Self.closuresMax { closures.removeFirst() }
    return found.set
  }

  /// The own round, and the next.
  private static let closuresMax = 2

  /// A head of the same round with more in it, while this node has not built on the old one.
  private mutating func largerHead() -> Hanse_V1_Merge? {
    guard round > 0, logbook.contributions(ofRound: round + 1, by: lab).isEmpty else { return nil }
    let set = closure(upTo: round)
    if set.digest.bytes.elementsEqual(head.frontier.members) {
      // The same contributions under a roster that has recalled some of them fold to another state.
      let isSame =
        recalled(among: set, version: logbook.roster.version)
        == recalled(among: set, version: head.rosterVersion)
      return isSame ? nil : logbook.merge(of: set)
    }
    guard set.round == round, let now = try? logbook.expand(head.frontier),
      now.isSubset(of: set)
    else { return nil }
    let candidate = logbook.merge(of: set)
    return (try? logbook.expand(candidate.frontier)) == nil ? nil : candidate
  }

  /// Those of some contributions that a roster has recalled, sorted.
  private func recalled(among set: Expansion, version: UInt32) -> [ContentID] {
    logbook.roster(version: version)?.recalled.filter { logbook.contains($0, in: set) } ?? []
  }

  /// Makes a folded merge this node's head.
  private mutating func adopt(_ merge: Hanse_V1_Merge, root: ContentID) {
    let isNew = merge.id != head.id || headRoot == nil
    head = merge
    headRoot = root
    standingSince = nil
    var changes: [Change] = [.head(merge)]
    if let feedback = admittedFeedback(in: merge) { changes.append(.feedback(feedback)) }
    out.append(.persist(changes))
    out.append(.keepFeedback(openFeedback))
    noteAdopted(merge, root: root)
    for lab in logbook.labs {
      if let attestation = logbook.newestAttestation(of: lab) { compareRoot(attestation, by: lab) }
    }
    if isNew { out.append(.news(.standsOn(merge: merge.id, round: round, root: root))) }
    showRound()
  }

  /// Own payloads whose feedback may still be used: those of contributions that may yet be
  /// admitted, or were and are not in the head.
  private var openFeedback: [ContentID] {
    let later = logbook.contributions(fromRound: round + 1).filter { $0.status == .admitted }
    return (logbook.pendingContributions + later).filter { $0.author == lab }
      .sorted { ($0.round, $0.id) < ($1.round, $1.id) }.compactMap(\.object)
  }

  /// The payload of the newest own contribution in a merge: its feedback is used from now on.
  private mutating func admittedFeedback(in merge: Hanse_V1_Merge) -> ContentID? {
    guard let groups = try? logbook.landingGroups(of: merge) else { return nil }
    let own = groups.flatMap(\.contributions).filter { $0.author == lab }
    // Of two tries that were both admitted, the one that weighs.
    let newest = own.max { ($0.round, $1.isRecalled ? 1 : 0) < ($1.round, $0.isRecalled ? 1 : 0) }
    return newest.flatMap { logbook.contribution($0.id)?.object }
  }

  // MARK: leaving a round

  private var facts: RoundRule.Facts {
    mutating get {
      let view = view
      var facts = known.flatMap { $0.view == view ? $0.facts : nil } ?? knownFacts
      facts.trainers = trainers
      known = (view, facts)
      return facts
    }
  }

  /// What it follows from who trains.
  struct PresenceView: Equatable, Sendable {
    var present: UInt64
    var said: UInt64
    var rosterVersion: UInt32
  }

  /// Labs that train and are present, found anew only when that may have changed.
  private var trainers: [LabID] {
    mutating get {
      let view = PresenceView(
        present: mesh.presenceRevision, said: logbook.presenceCount,
        rosterVersion: logbook.roster.version)
      if let known = knownTrainers, known.view == view { return known.labs }
      var labs: [LabID] = []
      let connected = mesh.presentLabs
      var next = connected.startIndex
      for seat in logbook.roster.members {
        while next < connected.endIndex, connected[next] < seat.lab { next += 1 }
        let isConnected = next < connected.endIndex && connected[next] == seat.lab
        let trains =
          seat.lab == lab
          ? settings.trains : isConnected && logbook.presence(of: seat.lab)?.trains == true
        if trains { labs.append(seat.lab) }
      }
      knownTrainers = (view, labs)
      return labs
    }
  }

  /// What the logs say of the round; who trains is left out.
  private var knownFacts: RoundRule.Facts {
    mutating get {
      let working = round + 1
      var facts = RoundRule.Facts(
        round: working, trainers: [], admitted: [], decided: [], furthest: 0)
      // Rounds are counted by their contributions: a lab can claim any number.
      for state in logbook.contributions(fromRound: working + 1).reversed()
      where state.status == .admitted && isHeld(state) && (try? logbook.base(of: state)) != nil {
        facts.furthest = state.round
        break
      }
      for state in logbook.contributions(ofRound: working) {
        facts.known += state.judgements.count
        if state.status == .admitted { facts.admitted.append(state.author) }
        if state.isDecided, isHeld(state) || state.status != .admitted {
          facts.decided.append(state.author)
        }
      }
      return facts
    }
  }

  /// Training for the round, or another try when every judge has spoken against the last one.
  private func ownTraining(_ facts: RoundRule.Facts) -> Step? {
    guard settings.trains, abstained != facts.round, !isTooLateToTrain else { return nil }
    let own = logbook.contributions(ofRound: facts.round, by: lab)
    guard let newest = own.max(by: { $0.message.attempt < $1.message.attempt }) else {
      return .train(round: facts.round, attempt: 1, rejections: [])
    }
    // A judge that says nothing, and one that said no, leave it undecided for ever.
    let isStuck = newest.status == .pending && newest.rejects > 0 && rule.isStuck(now: moment.now)
    guard newest.status == .rejected || isStuck, facts.admitted.isEmpty,
      newest.message.attempt < UInt32(Limits.attemptsMax)
    else { return nil }
    return .train(
      round: facts.round, attempt: newest.message.attempt + 1,
      rejections: newest.judgements.filter { !$0.accepts }.map(\.entry))
  }

  private func reason(_ facts: RoundRule.Facts) -> Waiting {
    if let seconds = rule.remaining(now: moment.now) {
      return .grace(round: facts.round, seconds: Int(seconds))
    }
    if facts.trainers.count <= 1, logbook.roster.members.count > 1 {
      return .alone(round: facts.round)
    }
    let open = logbook.contributions(ofRound: facts.round).filter { !$0.isDecided }
    // What a lab contributed and nobody has decided waits for its judges, not for that lab.
    let heard = Set(facts.decided + open.map(\.author))
    let missing = facts.trainers.filter { $0 != lab && !heard.contains($0) }
    guard missing.isEmpty else { return .contributions(round: facts.round, missing) }
    guard !open.isEmpty || !facts.admitted.isEmpty else { return .rejected(round: facts.round) }
    var due: Set<LabID> = []
    for state in open {
      for judge in state.judges where !state.judgements.contains(where: { $0.judge == judge }) {
        due.insert(judge)
      }
    }
    let judges = logbook.roster.members.map(\.lab).filter { $0 != lab && due.contains($0) }
    let connected = mesh.connectedLabs
    return .verdicts(
      round: facts.round, by: judges, away: judges.filter { !connected.contains($0) })
  }

  /// Whether every lab that is present has attested this head, so that nobody needs this node any
  /// more.
  private var isShown: Bool {
    mutating get {
      let connected = mesh.presentLabs
      let attested = connected.allSatisfy { lab in
        logbook.newestAttestation(of: lab).map { $0.merge.frontier.round >= round } ?? false
      }
      let others = logbook.roster.members.count > 1
      return attested && lastAttested?.merge.id == head.id
        && (logbook.isSealed(head.frontier) || (others && connected.isEmpty && leftAlone))
    }
  }

  /// Whether the others have been gone so long that waiting for them makes no sense.
  private var leftAlone: Bool {
    moment.now.seconds(since: quietSince) > Double(logbook.roster.rules.round.graceSeconds)
  }
}
