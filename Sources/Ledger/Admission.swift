import Identities
import Records

/// A contribution as the logs show it: who judged it, and what came of it.
public struct ContributionState: Sendable {
  /// How far a contribution has come.
  public enum Status: Sendable, Equatable {
    /// Too few verdicts yet.
    case pending
    /// More than half of its judges accepted it.
    case admitted
    /// So many judges rejected it that it can no longer be admitted.
    case rejected
    /// It breaks a rule of form, named here, and is not judged.
    case refused(String)
  }

  /// One judge's first verdict.
  public struct Judgement: Sendable {
    /// Who judged.
    public let judge: LabID
    /// The verdict's entry; the contribution's own entry for its author.
    public let entry: ContentID
    /// The verdict; nil for the author, who counts as one accept.
    public let verdict: Hanse_V1_Verdict?
    /// Whether it is an accept.
    public let accepts: Bool
  }

  /// The announcing entry.
  public let entry: Entry
  /// The message in it.
  public let message: Hanse_V1_Contribution
  /// The block list of its payload; nil when it names none.
  public let object: ContentID?
  /// Who may judge it, sorted.
  public let judges: [LabID]
  /// Sorted by judge.
  public internal(set) var judgements: [Judgement]
  /// What came of it.
  public internal(set) var status: Status
  /// Whether it is refused for citations that are not among the entries looked at: they may come.
  var lacksCitations = false

  /// The contribution's id.
  public var id: ContentID { entry.id }
  /// Its author.
  public var author: LabID { entry.lab }
  /// Its round.
  public var round: UInt32 { message.round }
  /// Judges that accepted, the author included.
  public var accepts: Int { judgements.count { $0.accepts } }
  /// Judges that rejected.
  public var rejects: Int { judgements.count { !$0.accepts } }
  /// Whether its status can no longer change.
  public var isDecided: Bool { status != .pending }
}

/// What the entries under a seal admit and reject for ever.
struct SealAdmissions: Sendable {
  let admitted: [ContentID]
  let rejected: Set<ContentID>
  let admittedSet: Set<ContentID>
  /// Highest round among the admitted.
  let round: UInt32
}

extension Logbook {
  /// A contribution by its id.
  public func contribution(_ id: ContentID) -> ContributionState? { contributions[id] }

  /// Every contribution that counts, by round and id.
  public var contributionsInOrder: [ContributionState] {
    contributionOrder.compactMap { contributions[$0] }
  }

  mutating func settleContributions() {
    contributions = judged(within: nil)
    contributionOrder = contributions.values.map { ($0.round, $0.id) }.sorted { $0 < $1 }.map(\.1)
  }

  /// What the entries within the bounds make of every contribution within them.
  func judged(within bounds: [LabID: UInt64]?) -> [ContentID: ContributionState] {
    var states: [ContentID: ContributionState] = [:]
    var verdicts: [(LabID, Entry, Hanse_V1_Verdict)] = []
    for lab in labs {
      var seen: Set<UInt64> = []
      for entry in entries(of: lab, within: bounds) {
        switch entry.message.payload {
        case .contribution(let message):
          let place = UInt64(message.round) << 32 | UInt64(message.attempt)
          let isFirst = seen.insert(place).inserted
          states[entry.id] = state(of: entry, message, isFirst: isFirst, within: bounds)
        case .verdict(let verdict): verdicts.append((lab, entry, verdict))
        default: break
        }
      }
    }
    for (judge, entry, verdict) in verdicts {
      guard let id = ContentID(bytes: verdict.contribution), let state = states[id],
        state.judges.contains(judge), !state.judgements.contains(where: { $0.judge == judge })
      else { continue }
      states[id]?.judgements.append(
        .init(judge: judge, entry: entry.id, verdict: verdict, accepts: verdict.accept))
    }
    for id in states.keys.sorted() { states[id]?.conclude() }
    return states
  }

  private func state(
    of entry: Entry, _ message: Hanse_V1_Contribution, isFirst: Bool,
    within bounds: [LabID: UInt64]?
  ) -> ContributionState {
    let judges =
      roster(version: entry.rosterVersion)?.judges(
        federation: charter.id, author: entry.lab, round: message.round,
        attempt: message.attempt, committee: Int(charter.message.judging.committee)) ?? []
    var state = ContributionState(
      entry: entry, message: message, object: ContentID(bytes: message.payload.blockList),
      judges: judges,
      judgements: [
        .init(judge: entry.lab, entry: entry.id, verdict: nil, accepts: true)
      ], status: .pending)
    if let fault = fault(of: entry, message, isFirst: isFirst) {
      state.status = .refused(fault)
    } else if message.attempt > 1, !citesEnough(entry, message, within: bounds) {
      state.status = .refused(
        "attempt \(message.attempt) without rejections by half of the judges")
      state.lacksCitations = true
    }
    return state
  }

  /// The rule of form that a contribution breaks, if it breaks one. Needs no vote.
  private func fault(
    of entry: Entry, _ message: Hanse_V1_Contribution, isFirst: Bool
  ) -> String? {
    let (next, overflow) = message.base.frontier.round.addingReportingOverflow(1)
    if overflow || message.round != next {
      return "round \(message.round) does not follow its base's round"
    }
    if message.base.rosterVersion > entry.rosterVersion { return "its base names a later roster" }
    if message.factorNorms.count != charter.message.adapter.modules.count * 2 {
      return "\(message.factorNorms.count) norms for an adapter of another shape"
    }
    if message.factorNorms.allSatisfy({ $0 == 0 }) { return "it changes nothing" }
    if !isFirst { return "a second contribution for the same round and attempt" }
    return nil
  }

  private func citesEnough(
    _ entry: Entry, _ message: Hanse_V1_Contribution, within bounds: [LabID: UInt64]?
  ) -> Bool {
    let earlier = log(of: entry.lab).first {
      guard case .contribution(let other)? = $0.message.payload else { return false }
      return other.round == message.round && other.attempt == message.attempt - 1
        && $0.sequence < entry.sequence
    }
    guard let earlier else { return false }
    var judges: Set<LabID> = []
    for citation in message.rejections {
      guard let id = ContentID(bytes: citation), let verdict = entryByID[id],
        isWithin(verdict, bounds), case .verdict(let body)? = verdict.message.payload,
        !body.accept, ContentID(bytes: body.contribution) == earlier.id
      else { continue }
      judges.insert(verdict.lab)
    }
    let total =
      roster(version: earlier.rosterVersion)?.judges(
        federation: charter.id, author: entry.lab, round: message.round,
        attempt: message.attempt - 1, committee: Int(charter.message.judging.committee)) ?? []
    return judges.intersection(total).count * 2 >= total.count
  }

  /// What is settled for ever under a seal; remembered, since it can never change.
  mutating func admissions(under seal: Hanse_V1_Seal) throws(LedgerError) -> SealAdmissions {
    let id = seal.id
    if let known = sealAdmissions[id] { return known }
    try requireHeld(seal.prefixes)
    guard isAttested(seal) else { throw .unsealed }
    var bounds: [LabID: UInt64] = [:]
    for prefix in seal.prefixes {
      if let lab = LabID(bytes: prefix.lab) { bounds[lab] = prefix.sequence }
    }
    let states = judged(within: bounds)
    var admitted: [ContentID] = []
    var rejected: Set<ContentID> = []
    var round: UInt32 = 0
    for id in states.keys.sorted() {
      guard let state = states[id] else { continue }
      switch state.status {
      case .admitted:
        admitted.append(id)
        round = max(round, state.round)
      case .refused where state.lacksCitations: break
      case .rejected, .refused: rejected.insert(id)
      case .pending: break
      }
    }
    let result = SealAdmissions(
      admitted: admitted, rejected: rejected, admittedSet: Set(admitted), round: round)
    sealAdmissions[id] = result
    return result
  }

  func requireHeld(_ positions: [Hanse_V1_LogPosition]) throws(LedgerError) {
    for position in positions {
      guard let lab = LabID(bytes: position.lab), let id = ContentID(bytes: position.entry) else {
        throw .wrongMembers
      }
      guard let entry = entryByID[id], entry.lab == lab, entry.sequence == position.sequence else {
        throw .missing(lab: lab, sequence: position.sequence)
      }
    }
  }
}

extension ContributionState {
  fileprivate mutating func conclude() {
    judgements.sort { $0.judge < $1.judge }
    guard status == .pending else { return }
    if accepts * 2 > judges.count {
      status = .admitted
    } else if (judges.count - rejects) * 2 <= judges.count {
      status = .rejected
    }
  }
}
