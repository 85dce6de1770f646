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
    /// Its place in the judge's log.
    let sequence: UInt64
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
  /// Whether its judges decided it.
  var isJudged: Bool { status == .admitted || status == .rejected }
}

/// What the entries under a seal admit and reject for ever.
struct SealAdmissions: Sendable {
  var admitted = PlaceSet()
  var rejected = PlaceSet()
  /// Highest round among the admitted.
  var round: UInt32 = 0
}

extension Logbook {
  /// A contribution by its id.
  public func contribution(_ id: ContentID) -> ContributionState? { contributions[id] }

  /// What became of a contribution; nil when it does not count.
  public func status(of id: ContentID) -> ContributionState.Status? { contributions[id]?.status }

  /// Every contribution that counts, by round and id.
  public var contributionsInOrder: [ContributionState] {
    contributionOrder.compactMap { contributions[$0.id] }
  }

  /// Those that are pending, by round and id.
  public var pendingContributions: [ContributionState] {
    pendingOrder.compactMap { contributions[$0.id] }
  }

  /// Those that are pending and wait for this lab's verdict, by round and id.
  public func pendingContributions(judgedBy lab: LabID) -> [ContributionState] {
    (duties[lab] ?? []).compactMap { contributions[$0.id] }
  }

  /// A lab's own of one round, by id.
  public func contributions(ofRound round: UInt32, by lab: LabID) -> [ContributionState] {
    contributionOrder.ids(ofRound: round).filter { contributions[$0]?.author == lab }
      .compactMap { contributions[$0] }
  }

  /// Those of one round, by id.
  public func contributions(ofRound round: UInt32) -> [ContributionState] {
    contributionOrder.ids(ofRound: round).compactMap { contributions[$0] }
  }

  /// Those of a round and later ones, by round and id.
  public func contributions(fromRound round: UInt32) -> [ContributionState] {
    contributionOrder.fromRound(round).compactMap { contributions[$0.id] }
  }

  /// The highest round that has a contribution; 0 when there is none.
  public var highestRound: UInt32 { contributionOrder.last?.round ?? 0 }

  /// The highest round that has something admitted; 0 when there is none.
  public var highestAdmittedRound: UInt32 {
    contributionOrder.last { admitted.contains($0.place) }?.round ?? 0
  }

  /// The names of those of lower rounds than this one, by round and id.
  public func contributions(below round: UInt32) -> [ContentID] {
    contributionOrder.prefix { $0.round < round }.map(\.id)
  }

  /// What a contribution's payload is kept as; nil when it does not count or names none.
  public func object(of contribution: ContentID) -> ContentID? {
    contributions[contribution]?.object
  }

  /// Contributions whose state has changed since this was last asked, some perhaps more than once.
  public mutating func takeChanged() -> [ContentID] {
    defer { changed = [] }
    return changed
  }

  func state(
    of entry: Entry, _ message: Hanse_V1_Contribution, isFirst: Bool
  ) -> ContributionState {
    let judges =
      roster(version: entry.rosterVersion)?.judges(
        federation: charter.id, author: entry.lab, round: message.round,
        attempt: message.attempt) ?? []
    var state = ContributionState(
      entry: entry, message: message, object: ContentID(bytes: message.payload.blockList),
      judges: judges,
      judgements: [
        .init(
          judge: entry.lab, entry: entry.id, sequence: entry.sequence, verdict: nil, accepts: true)
      ], status: .pending)
    if let fault = fault(of: entry, message, isFirst: isFirst) {
      state.status = .refused(fault)
    } else if message.attempt > 1, !citesEnough(entry, message, within: nil) {
      state.status = .refused(
        "attempt \(message.attempt) without a judge's rejection of the one before")
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

  /// Whether a later attempt cites a rejection of the one before by one of its judges.
  func citesEnough(
    _ entry: Entry, _ message: Hanse_V1_Contribution, within bounds: [LabID: UInt64]?
  ) -> Bool {
    let earlier = contributions(of: entry.lab, through: entry.sequence - 1).first {
      guard case .contribution(let other)? = $0.message.payload else { return false }
      return other.round == message.round && other.attempt == message.attempt - 1
    }
    guard let earlier else { return false }
    var judges: Set<LabID> = []
    for citation in message.rejections {
      guard let id = ContentID(bytes: citation), let verdict = entryByID[id],
        isWithin(verdict, bounds), case .verdict(let body)? = verdict.message.payload,
        !body.accept, ContentID(bytes: body.contribution) == earlier.id, verdict.lab != entry.lab
      else { continue }
      judges.insert(verdict.lab)
    }
    let total =
      roster(version: earlier.rosterVersion)?.judges(
        federation: charter.id, author: entry.lab, round: message.round,
        attempt: message.attempt - 1) ?? []
    return total.contains(where: judges.contains)
  }

  /// What is settled for ever under a seal; remembered, since it can never change.
  mutating func admissions(under seal: Hanse_V1_Seal) throws(LedgerError) -> SealAdmissions {
    try admissions(under: seal, id: seal.id)
  }

  mutating func admissions(
    under seal: Hanse_V1_Seal, id: ContentID
  ) throws(LedgerError) -> SealAdmissions {
    if let known = sealAdmissions.last(where: { $0.id == id }) { return known.admissions }
    try requireHeld(seal.prefixes)
    guard isAttested(seal) else { throw .unsealed }
    var bounds: [LabID: UInt64] = [:]
    for prefix in seal.prefixes {
      if let lab = LabID(bytes: prefix.lab) { bounds[lab] = prefix.sequence }
    }
    // What an earlier seal settled stays so under one that reaches further.
    var result =
      sealAdmissions.last { known in
        known.seal.prefixes.allSatisfy { prefix in
          LabID(bytes: prefix.lab).map { (bounds[$0] ?? 0) >= prefix.sequence } ?? false
        }
      }?.admissions ?? SealAdmissions()
    for standing in contributionOrder {
      let place = standing.place
      if result.admitted.contains(place) || result.rejected.contains(place) { continue }
      guard let state = contributions[standing.id], isWithin(state.entry, bounds) else { continue }
      switch fate(of: state, within: bounds) {
      case .admitted:
        result.admitted.insert(standing.place)
        result.round = max(result.round, state.round)
      case .rejected, .refused: result.rejected.insert(standing.place)
      case .pending: break
      }
    }
    sealAdmissions.append((id, seal, result))
    if sealAdmissions.count > Self.sealAdmissionsMax { sealAdmissions.removeFirst() }
    return result
  }

  /// What the entries within the bounds, which are all sealed, make of a contribution.
  private func fate(
    of state: ContributionState, within bounds: [LabID: UInt64]
  ) -> ContributionState.Status {
    if case .refused = state.status, !state.lacksCitations { return state.status }
    // Citations that the seal does not cover may be covered by the next.
    if state.message.attempt > 1, !citesEnough(state.entry, state.message, within: bounds) {
      return .pending
    }
    var accepts = 0
    var rejects = 0
    for judgement in state.judgements where judgement.sequence <= bounds[judgement.judge] ?? 0 {
      if judgement.accepts { accepts += 1 } else { rejects += 1 }
    }
    return .of(accepts: accepts, rejects: rejects, judges: state.judges.count)
  }

  func requireHeld(_ positions: [Hanse_V1_LogPosition]) throws(LedgerError) {
    for position in positions {
      guard let lab = LabID(bytes: position.lab), let id = ContentID(bytes: position.entry) else {
        throw .wrongMembers
      }
      guard let entry = entryByID[id], entry.lab == lab, entry.sequence == position.sequence else {
        if position.sequence <= sealed[lab] ?? 0 {
          throw .otherBranch(lab: lab, sequence: position.sequence)
        }
        throw .missing(lab: lab, sequence: position.sequence)
      }
    }
  }
}

extension ContributionState {
  /// Draws the conclusion from the judgements there are.
  mutating func conclude() {
    judgements.sort { $0.judge < $1.judge }
    guard status == .pending else { return }
    status = .of(accepts: accepts, rejects: rejects, judges: judges.count)
  }
}

extension ContributionState.Status {
  /// What so many verdicts make.
  static func of(accepts: Int, rejects: Int, judges: Int) -> Self {
    if accepts * 2 > judges { return .admitted }
    return (judges - rejects) * 2 <= judges ? .rejected : .pending
  }
}
