import Identities
import Records

/// What is kept of a forked log beside the log: Protocol/Ledger.md, "Branches".
struct Branches: Sendable {
  /// Entries that were fetched because a quorum may have attested them, oldest first.
  private var order: [ContentID] = []
  private var entries: [ContentID: Entry] = [:]
  /// Entries that stood in the log here until it changed over. What they attest still counts.
  var left: [Entry] = []
  /// Kept attestations that helped a branch to its quorum: they count for seals from then on.
  var heard: [Entry] = []

  /// What is kept, oldest first.
  var kept: [Entry] { order.compactMap { entries[$0] } }

  func contains(_ id: ContentID) -> Bool { entries[id] != nil }

  func entry(_ id: ContentID) -> Entry? { entries[id] }

  /// The sequences at which a kept branch may go on, the highest first.
  var tips: [UInt64] {
    var parents: Set<ContentID> = []
    for id in order { if let before = entries[id]?.previous { parents.insert(before) } }
    return order.filter { !parents.contains($0) }.compactMap { entries[$0]?.sequence }
      .sorted(by: >)
  }

  mutating func add(_ entry: Entry) {
    guard entries.updateValue(entry, forKey: entry.id) == nil else { return }
    order.append(entry.id)
    if order.count > Limits.branchEntriesMax { entries[order.removeFirst()] = nil }
  }

  mutating func remove(_ gone: [Entry]) {
    for entry in gone { entries[entry.id] = nil }
    order.removeAll { entries[$0] == nil }
  }
}

/// A forked log of which a quorum has attested what is not in it here.
public struct WantedBranch: Sendable {
  /// Whose log.
  public let lab: LabID
  /// Sequences after which the wanted entries may begin, the likeliest first.
  public let after: [UInt64]
  /// Who attested something of the log that is not here, and should have it; sorted.
  public let attesters: [LabID]
}

/// A log that has changed over to the branch that a quorum attested, or of which more is sealed
/// since others attested branches that go on from it.
public struct ChangedLog: Sendable {
  /// Whose log.
  public let lab: LabID
  /// Entries that this rests on, in order. To be kept as forks are: a ledger that is told of them
  /// anew concludes what this one did.
  public let entries: [Entry]
  /// Whether they stand in the log now.
  public let isFollowed: Bool
}

extension Logbook {
  /// Logs that have changed over since this was last asked, in that order.
  public mutating func takeChangedLogs() -> [ChangedLog] {
    defer { changedLogs = [] }
    return changedLogs
  }

  func isBranchWanted(_ lab: LabID) -> Bool { wantedBranches.contains { $0.lab == lab } }

  /// Whether an entry goes on with the log or with a branch that is kept, at a place that is not
  /// sealed.
  func isBranch(_ entry: Entry) -> Bool {
    guard entry.sequence > sealed[entry.lab] ?? 0 else { return false }
    guard let before = entry.previous else { return entry.sequence == 1 }
    if branches[entry.lab]?.entry(before)?.sequence == entry.sequence - 1 { return true }
    let log = log(of: entry.lab)
    let index = Int(clamping: entry.sequence) - 2
    return log.indices.contains(index) && log[index].id == before
  }

  mutating func keep(_ entry: Entry) -> Outcome {
    if branches[entry.lab]?.contains(entry.id) == true { return .known }
    branches[entry.lab, default: .init()].add(entry)
    if let fork = forks[entry.lab], entry.sequence < fork.sequence {
      let held = log(of: entry.lab)[Int(entry.sequence) - 1]
      forks[entry.lab] = Fork(sequence: entry.sequence, held: held.id, other: entry)
      mustRecount = true
    }
    isSettled = false
    return .branch
  }

  /// Puts the branches that a quorum attested in the place of what was here; whether there were
  /// any. What follows from the logs must then be found anew.
  mutating func changeOver() -> Bool {
    if !wantedBranches.isEmpty { wantedBranches = [] }
    guard !forks.isEmpty else { return false }
    var hasChanged = false
    let forked = labs.filter { forks[$0] != nil }
    guard !forked.isEmpty else { return false }
    let besides = attestedBeside(forked)
    for lab in forked {
      let last = sealed[lab] ?? 0
      let known = (cover.beside[lab] ?? []) + (cover.ahead[lab] ?? [])
      let beside = besides[lab] ?? []
      let elsewhere = (known + beside.map { ($0.entry.lab, $0.position) }).filter {
        $0.position.sequence > last
      }
      guard !elsewhere.isEmpty else { continue }
      if countCommonPart(of: lab, known) {
        hasChanged = true
        continue
      }
      // What forked labs attest may stand on branches that are not here; and who attests another
      // branch attests what it has in common with this one.
      let common = forks[lab].map { $0.sequence - 1 > last } ?? false
      let here = common ? labs.filter { cover.reach(of: lab, by: $0) > last } : []
      guard reachesQuorum(elsewhere.map(\.attester) + here + forked) else { continue }
      if let chain = attestedBranch(of: lab, elsewhere) {
        follow(chain, of: lab, hearing: beside.map(\.entry))
        hasChanged = true
        continue
      }
      let missing = elsewhere.filter { attested in
        branches[lab]?.contains(attested.position.entry) != true
      }
      var attesters: [LabID] = []
      for attester in missing.map(\.attester).sorted() where attesters.last != attester {
        attesters.append(attester)
      }
      guard !attesters.isEmpty, let fork = forks[lab] else { continue }
      let start = max(last, fork.sequence - 1)
      let tips = (branches[lab]?.tips ?? []).filter { $0 > start }
      wantedBranches.append(
        WantedBranch(lab: lab, after: [start] + tips.prefix(1), attesters: attesters))
    }
    return hasChanged
  }

  /// What forked labs attest on branches that are kept beside their logs, by the lab whose log it
  /// is.
  private func attestedBeside(
    _ forked: [LabID]
  ) -> [LabID: [(entry: Entry, position: LogPlace)]] {
    var result: [LabID: [(entry: Entry, position: LogPlace)]] = [:]
    for attester in forked {
      for entry in branches[attester]?.kept ?? [] {
        for place in entry.attested where forks[place.lab] != nil {
          result[place.lab, default: []].append((entry, place))
        }
      }
    }
    return result
  }

  /// Whether these labs are a quorum of a roster that may seal.
  private func reachesQuorum(_ attesters: [LabID]) -> Bool {
    let distinct = Set(attesters)
    return rosters.prefix(Int(seal.rosterVersion)).contains { roster in
      distinct.count >= roster.sealQuorum
        && roster.members.count(where: { distinct.contains($0.lab) }) >= roster.sealQuorum
    }
  }

  /// The longest branch that a quorum attested, from where it leaves the log; nil when none that is
  /// kept here has a quorum.
  private func attestedBranch(
    of lab: LabID, _ elsewhere: [(attester: LabID, position: LogPlace)]
  ) -> [Entry]? {
    guard let kept = branches[lab] else { return nil }
    // Who attests an entry attests all before it.
    var attesters: [ContentID: [LabID]] = [:]
    var reached: [Entry] = []
    for (attester, position) in elsewhere {
      var next = kept.entry(position.entry)
      guard next?.sequence == position.sequence else { continue }
      while let entry = next, attesters[entry.id]?.contains(attester) != true {
        if attesters[entry.id] == nil { reached.append(entry) }
        attesters[entry.id, default: []].append(attester)
        next = entry.previous.flatMap { kept.entry($0) }
      }
    }
    let sealed = reached.filter { reachesQuorum(attesters[$0.id] ?? []) }
    guard let entry = sealed.max(by: { ($0.sequence, $0.id) < ($1.sequence, $1.id) }) else {
      return nil
    }
    let chain = chain(of: lab, to: entry)
    return isBranch(chain[0]) ? chain : nil
  }

  /// A kept branch up to an entry, from where it leaves the log or as far as it is kept.
  private func chain(of lab: LabID, to tip: Entry) -> [Entry] {
    var chain = [tip]
    while let before = chain[chain.count - 1].previous.flatMap({ branches[lab]?.entry($0) }) {
      chain.append(before)
    }
    return chain.reversed()
  }

  /// Counts what was attested of kept branches for the part that they have in common with the log,
  /// if that part is then sealed further; whether it was.
  private mutating func countCommonPart(
    of lab: LabID, _ known: [(attester: LabID, position: LogPlace)]
  ) -> Bool {
    let last = sealed[lab] ?? 0
    var roots: [LabID: UInt64] = [:]
    var relied: [Entry] = []
    for (attester, position) in known {
      guard let tip = branches[lab]?.entry(position.entry), tip.sequence == position.sequence
      else { continue }
      let chain = chain(of: lab, to: tip)
      let root = chain[0].sequence - 1
      guard isBranch(chain[0]), root > last, root > cover.reach(of: lab, by: attester) else {
        continue
      }
      roots[attester] = max(roots[attester] ?? 0, root)
      relied += chain
    }
    guard !roots.isEmpty else { return false }
    let isSealed = rosters.prefix(Int(seal.rosterVersion)).contains { roster in
      roster.members.count { member in
        max(cover.reach(of: lab, by: member.lab), roots[member.lab] ?? 0) > last
      } >= roster.sealQuorum
    }
    guard isSealed else { return false }
    for attester in roots.keys.sorted() { cover.raise(lab, by: attester, to: roots[attester] ?? 0) }
    changedLogs.append(ChangedLog(lab: lab, entries: Self.each(relied), isFollowed: false))
    return true
  }

  /// Each entry once, what comes first in a log first.
  private static func each(_ entries: [Entry]) -> [Entry] {
    var seen: Set<ContentID> = []
    return entries.sorted { ($0.sequence, $0.id) < ($1.sequence, $1.id) }
      .filter { seen.insert($0.id).inserted }
  }

  private mutating func follow(
    _ chain: [Entry], of lab: LabID, hearing attestations: [Entry]
  ) {
    var relied = chain
    for entry in attestations {
      relied += self.chain(of: entry.lab, to: entry)
      branches[entry.lab]?.heard.append(entry)
    }
    let log = log(of: lab)
    let start = Int(chain[0].sequence) - 1
    let left = Array(log[start...])
    logs[lab] = Array(log[..<start]) + chain
    indexes[lab] = LogIndex(self.log(of: lab))
    for entry in left { entryByID[entry.id] = nil }
    for entry in chain { entryByID[entry.id] = entry }
    branches[lab]?.remove(chain)
    branches[lab]?.left += left
    if let first = left.first, let fork = forks[lab], chain[0].sequence <= fork.sequence {
      forks[lab] = Fork(sequence: chain[0].sequence, held: chain[0].id, other: first)
    }
    changedLogs.append(ChangedLog(lab: lab, entries: Self.each(relied), isFollowed: true))
    // Whatever was concluded from the branch that was left is concluded anew.
    cover = Cover()
    expansions = [:]
    lastExpanded = nil
    bases = [:]
    course = nil
    closed = nil
    touched = labs
    mustRecount = true
  }
}
