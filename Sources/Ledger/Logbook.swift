import Identities
import Records

/// The logs of all labs, and everything that follows from them: roster, seals, admission, frontier.
///
/// A pure function of the set of entries: two ledgers with the same entries agree on everything, in
/// whatever order the entries came. It knows no socket, file, clock or random source.
///
/// `append` only files an entry; ``settle()`` draws the conclusions, so that a batch is concluded
/// once. What the properties show is as of the last `settle`.
public struct Logbook: Sendable {
  /// What became of an entry.
  public enum Outcome: Sendable, Equatable {
    /// It is now in its log.
    case appended
    /// It was there already.
    case known
    /// The entry before it has not arrived: entries after this sequence are needed first.
    case gap(after: UInt64)
    /// It names a roster version that is not known here yet.
    case unknownRoster(UInt32)
    /// Another entry stands at its sequence: proof that its lab lied. The log is excluded from
    /// here.
    case equivocation(UInt64)
    /// It is kept beside its log, which forked: a quorum may have attested it.
    case branch
  }

  /// Two entries by one lab at one sequence.
  public struct Fork: Sendable {
    /// The lowest sequence at which two were seen.
    public let sequence: UInt64
    /// The entry that is in the log here.
    public let held: ContentID
    /// The other one.
    public let other: Entry
  }

  /// The founding document.
  public let charter: Charter
  /// Every lab that has a log here or a seat, sorted.
  public private(set) var labs: [LabID]
  var logs: [LabID: [Entry]] = [:]
  var entryByID: [ContentID: Entry] = [:]
  var indexes: [LabID: LogIndex] = [:]
  /// Proofs of equivocation by lab.
  public internal(set) var forks: [LabID: Fork] = [:]
  /// Entries of forked logs that are not in the log here.
  var branches: [LabID: Branches] = [:]
  /// Logs of which a quorum has attested what is not in them here, by lab.
  public internal(set) var wantedBranches: [WantedBranch] = []
  /// Logs that have changed over to a branch since this was last asked.
  var changedLogs: [ChangedLog] = []

  /// All rosters that were enacted, version 1 first.
  public private(set) var rosters: [Roster] { didSet { cover.forgetRosters() } }
  /// The seal of the current logs.
  public internal(set) var seal: Hanse_V1_Seal { didSet { sealID = seal.id } }
  private(set) var sealID: ContentID
  /// Seals of earlier settles, oldest first: what a head that lags behind the seal is written over.
  var olderSeals: [(id: ContentID, seal: Hanse_V1_Seal)] = []
  static let olderSealsMax = 64
  /// Highest sealed sequence by lab.
  var sealed: [LabID: UInt64] = [:]
  /// How many rosters the sealed entries enact; nil when it is to be found anew.
  var sealedRosterCount: Int?
  /// What labs attested of logs.
  var cover = Cover()
  /// How far the logs have been read.
  var reading = Reading()
  var contributions: [ContentID: ContributionState] = [:]
  /// Contributions by round and id.
  var contributionOrder: [Standing] = []
  /// Those of them that are admitted.
  var admitted = PlaceSet()
  /// Those of them that are pending.
  var pendingOrder: [Standing] = []
  /// The pending ones that wait for a judge's verdict, by judge.
  var duties: [LabID: [Standing]] = [:]
  /// Counts what became of contributions: while it is the same, so is every status.
  public internal(set) var statusRevision: UInt64 = 0
  /// Contributions that are admitted or rejected, in the order in which they came to be; begun anew
  /// when everything is counted anew.
  public internal(set) var decided: [ContentID] = []
  /// Contributions whose state has changed since they were last taken, in that order.
  var changed: [ContentID] = []
  /// What seals settle, the newest last; a bounded memory of what can never change.
  var sealAdmissions: [(id: ContentID, seal: Hanse_V1_Seal, admissions: SealAdmissions)] = []
  static let sealAdmissionsMax = 32
  var expansions: [ContentID: Expansion] = [:]
  /// The frontier that was last expanded: it is mostly the next one too.
  var lastExpanded: (frontier: Hanse_V1_Frontier, expansion: Expansion)?
  /// The expansions of contributions' bases, by contribution.
  var bases: [ContentID: Expansion] = [:]
  /// One expansion for each set of contributions.
  var interned: [ContentID: Expansion] = [:]
  /// What sets of contributions are written with.
  var places = Places()
  /// The set of contributions, closed under bases, that was found last.
  var closed: Closed?
  /// What merges fold that were asked for last: the same one is asked for again and again.
  var landings: [Landing] = []
  static let landingsMax = 4
  /// The names of what was named last; they hold until everything is counted anew.
  var lastChain: (groups: [LandingGroup], recounts: UInt64, names: [ContentID])?
  /// How the last of them landed.
  var course: Course?
  /// How sets of contributions that were asked for last are written as merges.
  var writings: [Writing] = []
  static let writingsMax = 4
  var isSettled = true { didSet { if !isSettled { filings += 1 } } }
  /// Counts what was filed.
  private var filings: UInt64 = 0
  /// Labs with entries that were not read yet.
  var touched: [LabID] = []
  /// The lowest roster version whose next one may be another by what has come since the rosters
  /// were last found; nil for none.
  private var mayChangeAfter: UInt32?
  /// Whether a seal has brought proposals or approvals back that lie behind an equivocation.
  var hasSealedDecisions = false
  /// Whether a proposal is a later attempt, which rests on votes wherever they stand.
  public private(set) var hasLaterAttempts = false
  /// Counts the proposals and approvals that were filed, and seals that brought some back: while it
  /// and ``recounts`` are the same, so are the votes on a roster version.
  public private(set) var decisionCount: UInt64 = 0
  /// Whether something that was read counts no longer.
  var mustRecount = false
  /// Counts the settles in which something was new.
  public private(set) var revision: UInt64 = 0
  /// While it is the same, an entry that had no place here has none.
  public var changeCount: UInt64 { filings + revision }
  /// Counts those of them after which something that was read before may count no longer.
  public private(set) var recounts: UInt64 = 0

  /// An empty ledger of a federation.
  public init(charter: Charter) {
    self.charter = charter
    rosters = [Roster(charter: charter)]
    labs = charter.founders.map(\.lab).sorted()
    var none = Hanse_V1_Seal()
    none.rosterVersion = 1
    seal = none
    sealID = none.id
  }

  /// The newest roster that was enacted.
  public var roster: Roster { rosters[rosters.count - 1] }

  /// A roster by version.
  public func roster(version: UInt32) -> Roster? {
    version >= 1 && Int(version) <= rosters.count ? rosters[Int(version) - 1] : nil
  }

  /// A lab's log, sequence 1 first.
  public func log(of lab: LabID) -> [Entry] { logs[lab] ?? [] }

  /// An entry by its id.
  public func entry(_ id: ContentID) -> Entry? { entryByID[id] }

  /// Where each log ends, sorted by lab; labs without entries are left out.
  public var heads: [Hanse_V1_LogPosition] { labs.compactMap { logs[$0]?.last?.position } }

  /// How many entries there are in all.
  public var entryCount: Int { entryByID.count }

  /// Files an entry in its log, or beside it when the log forked and a quorum wants more of it.
  ///
  /// - Parameter wasKept: it was kept here before, as proof or as a part of a branch.
  /// - Throws: ``LedgerError`` when it has no place there; the ledger is then unchanged.
  public mutating func append(
    _ entry: Entry, wasKept: Bool = false
  ) throws(LedgerError) -> Outcome {
    guard entry.federation == charter.id else { throw .otherFederation(entry.federation) }
    if entryByID[entry.id] != nil { return .known }
    if entry.rosterVersion > roster.version { settle() }
    guard let roster = roster(version: entry.rosterVersion) else {
      return .unknownRoster(entry.rosterVersion)
    }
    guard let member = roster.member(entry.lab) else {
      throw .notAMember(lab: entry.lab, version: entry.rosterVersion)
    }
    if forks[entry.lab] != nil, wasKept || isBranchWanted(entry.lab),
      branches[entry.lab]?.contains(entry.id) == true || isBranch(entry)
    {
      do { try entry.verify(with: member.key) } catch { throw .record(error) }
      return keep(entry)
    }
    let sequence = Int(clamping: entry.sequence)
    let count = logs[entry.lab]?.count ?? 0
    guard sequence <= count + 1 else { return .gap(after: UInt64(count)) }
    do { try entry.verify(with: member.key) } catch { throw .record(error) }
    if sequence <= count { return fork(entry, held: log(of: entry.lab)[sequence - 1]) }
    if let fork = forks[entry.lab] {
      throw .equivocated(lab: entry.lab, sequence: fork.sequence)
    }
    guard entry.previous == logs[entry.lab]?.last?.id else {
      throw .brokenChain(lab: entry.lab, sequence: entry.sequence)
    }
    logs[entry.lab, default: []].append(entry)
    entryByID[entry.id] = entry
    indexes[entry.lab, default: LogIndex()].add(entry)
    if !labs.contains(entry.lab) {
      labs.append(entry.lab)
      labs.sort()
    }
    touch(entry.lab)
    noteDecision(entry)
    isSettled = false
    return .appended
  }

  private mutating func noteDecision(_ entry: Entry) {
    var version = entry.rosterVersion
    switch entry.message.payload {
    case .proposal(let proposal):
      version = min(version, max(1, proposal.makesVersion) - 1)
      if proposal.attempt > 1 { hasLaterAttempts = true }
    case .approval: break
    default: return
    }
    decisionCount += 1
    mayChangeAfter = min(mayChangeAfter ?? version, version)
  }

  private mutating func fork(_ entry: Entry, held: Entry) -> Outcome {
    if let known = forks[entry.lab], known.sequence <= entry.sequence {
      return .equivocation(known.sequence)
    }
    forks[entry.lab] = Fork(sequence: entry.sequence, held: held.id, other: entry)
    if isBranch(entry) { branches[entry.lab, default: .init()].add(entry) }
    mustRecount = true
    isSettled = false
    return .equivocation(entry.sequence)
  }

  /// Whether both entries of a fork follow the same one, so that there is no lower fork.
  public func isWhereBranchesPart(_ fork: Fork) -> Bool {
    entryByID[fork.held]?.previous == fork.other.previous
  }

  /// Draws the conclusions from what was appended since the last call.
  public mutating func settle() {
    guard !isSettled else { return }
    repeat {
      if mayChangeAfter != nil || mustRecount || hasSealedDecisions { settleRosters() }
      settleSeal(reading: touched)
    } while changeOver() || hasSealedDecisions
    if mustRecount {
      recounts += 1
      changed += contributionOrder.map(\.id)
      reading = Reading()
      contributions = [:]
      contributionOrder = []
      admitted = PlaceSet()
      pendingOrder = []
      duties = [:]
      statusRevision += 1
      decided = []
      touched = labs
    }
    for lab in touched { read(lab) }
    readCitations()
    touched.removeAll(keepingCapacity: true)
    mayChangeAfter = nil
    mustRecount = false
    isSettled = true
    revision += 1
  }

  private mutating func settleRosters() {
    let before = rosters
    // What a version's successor is follows from what names that version, and from forks.
    let isAnyNew = mustRecount || hasSealedDecisions
    let known = isAnyNew ? 1 : max(1, Int(mayChangeAfter ?? 1))
    if hasSealedDecisions { decisionCount += 1 }
    hasSealedDecisions = false
    rosters = rosters(after: Array(rosters.prefix(known)), within: nil)
    if isAnyNew || hasLaterAttempts { sealedRosterCount = nil }
    // A removal takes away what was counted, and so does a version that no longer is.
    if rosters.count < before.count
      || rosters[rosters.count - 1].cutoffs != before[before.count - 1].cutoffs
    {
      mustRecount = true
    }
    for member in roster.members where !labs.contains(member.lab) { labs.append(member.lab) }
    labs.sort()
  }

  /// Notes that a log has something to be read.
  mutating func touch(_ lab: LabID) {
    if !touched.contains(lab) { touched.append(lab) }
  }

  /// The last entry of a log that counts: before an equivocation and within a removal, unless it is
  /// sealed.
  func lastCounting(_ lab: LabID) -> UInt64 {
    var last = UInt64.max
    if let cutoff = roster.cutoffs[lab] { last = min(last, max(cutoff, sealed[lab] ?? 0)) }
    if let fork = forks[lab] { last = min(last, max(fork.sequence - 1, sealed[lab] ?? 0)) }
    return last
  }

  func isWithin(_ entry: Entry, _ bounds: [LabID: UInt64]?) -> Bool {
    guard let bounds else { return true }
    return entry.sequence <= bounds[entry.lab] ?? 0
  }
}
