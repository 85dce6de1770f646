import Adapters
import Deltas
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Participation
import Records

/// What must never happen, looked at while it could.
struct Watch {
  struct Unreadable: Error, CustomStringConvertible {
    let entry: Entry
    var description: String { "entry \(entry.sequence) of \(entry.lab.short) does not fit" }
  }

  private(set) var violations: [String] = []
  /// The entries of honest labs, as first written.
  private var written: [LabID: [ContentID]] = [:]
  private var rootOf: [ContentID: ContentID] = [:]
  private var sealedPlaces: [Place: ContentID] = [:]
  private var fates: [ContentID: Bool] = [:]
  private var rosters: [UInt32: Roster] = [:]
  private var forkers: [LabID] = []
  private var seen: [Int: Seen] = [:]
  private var count = SealCount()

  private struct Place: Hashable {
    let lab: LabID
    let sequence: UInt64
  }

  /// What was last seen of a node.
  private struct Seen {
    var revision: UInt64?
    var sealed: [LabID: UInt64] = [:]
    var seal: Hanse_V1_Seal?
    /// How many of the decided contributions were looked at.
    var decided = 0
    var lastDecided: ContentID?
    var rosterVersion: UInt32 = 0
  }

  mutating func report(_ violation: String, at seconds: Double) {
    guard violations.count < 8 else { return }
    violations.append("at \(Int(seconds)) s: \(violation)")
  }

  /// A node starts anew: what was seen of it before may not hold any more, but for what was sealed.
  mutating func forget(_ node: Int) {
    var next = Seen()
    next.sealed = seen[node]?.sealed ?? [:]
    seen[node] = next
  }

  mutating func expectFork(of lab: LabID) { forkers.append(lab) }

  // MARK: entries

  /// An entry of a lab's own log is durable.
  mutating func wrote(_ entry: Entry, _ node: SimulatedNode, seconds: Double) {
    guard node.isHonest else { return }
    var log = written[entry.lab] ?? []
    if entry.sequence == UInt64(log.count) + 1 {
      log.append(entry.id)
      written[entry.lab] = log
    } else if entry.sequence > UInt64(log.count)
      || log[Int(entry.sequence) - 1] != entry.id
    {
      report(
        "node \(node.index) signed a second entry at sequence \(entry.sequence) of its own log",
        at: seconds)
    }
  }

  /// Nothing is shown before it is durable.
  mutating func sends(_ frame: Hanse_V1_Frame, _ node: SimulatedNode, seconds: Double) {
    guard node.isHonest else { return }
    switch frame.kind {
    case .heads(let heads): check(heads.heads, node, seconds)
    case .hello(let hello): check(hello.heads, node, seconds)
    case .have(let have):
      for bytes in have.objects {
        guard let object = ContentID(bytes: bytes) else { continue }
        if node.disk.objects[object]?.isComplete != true {
          report(
            "node \(node.index) announces the object \(object.short), which it does not hold "
              + "(\(node.participant?.isAnnounced(object) == true ? "a payload" : "no payload"))",
            at: seconds)
        }
      }
    default: break
    }
  }

  private mutating func check(
    _ heads: [Hanse_V1_LogPosition], _ node: SimulatedNode, _ seconds: Double
  ) {
    for position in heads {
      guard let head = Head(position) else { continue }
      if head.sequence > node.disk.lengths[head.lab] ?? 0 {
        report(
          "node \(node.index) shows entry \(head.sequence) of \(head.lab.short) before it is "
            + "durable", at: seconds)
      }
    }
  }

  // MARK: objects

  mutating func stored(
    _ object: ContentID, _ bytes: [UInt8], _ node: SimulatedNode, seconds: Double
  ) {
    guard (try? BlockList(of: bytes))?.id != object else { return }
    report("node \(node.index) stored a payload that is not \(object.short)", at: seconds)
  }

  // MARK: training

  /// A lab announces the norms that its delta has, counted here from each coordinate's change, and
  /// builds on what counts.
  mutating func trained(
    _ delta: Delta, from head: Hanse_V1_Merge, norms: [UInt64], _ node: SimulatedNode,
    seconds: Double
  ) {
    let units = delta.units()
    for (factor, norm) in zip(delta.layout.factors, norms) {
      var sum: UInt128 = 0
      for unit in units[factor.range] { sum += UInt128(unit.magnitude) * UInt128(unit.magnitude) }
      let (low, high) = (UInt128(norm), UInt128(norm) + 1)
      guard low * low <= sum, sum < high * high else {
        return report("node \(node.index) announces a norm that its delta has not", at: seconds)
      }
    }
    guard var book = node.process?.participant.logbook else { return }
    let members = (try? book.expand(head.frontier)).map { book.members(of: $0) } ?? []
    if members.contains(where: { book.status(of: $0) != .admitted }) {
      report("node \(node.index) trains from what counts no longer", at: seconds)
    }
  }

  // MARK: folds

  /// No contribution is folded twice, nor two of one author and round.
  mutating func folds(
    _ groups: [LandingGroup], of merge: Hanse_V1_Merge, _ node: SimulatedNode, seconds: Double
  ) {
    var ids: Set<ContentID> = []
    var places: Set<Place> = []
    for contribution in groups.flatMap(\.contributions) {
      let place = Place(lab: contribution.author, sequence: UInt64(contribution.round))
      let isSecond = !contribution.isRecalled && !places.insert(place).inserted
      if !ids.insert(contribution.id).inserted || isSecond {
        report("node \(node.index) folds \(contribution.id.short) twice", at: seconds)
      }
    }
  }

  /// One merge, one root.
  mutating func folded(
    _ merge: Hanse_V1_Merge, _ groups: [LandingGroup], _ root: ContentID, _ node: SimulatedNode,
    seconds: Double
  ) {
    guard node.isHonest else { return }
    if let known = rootOf[merge.id], known != root {
      report(
        "merge \(merge.id.short) gives \(known.short), and \(root.short) at node \(node.index)",
        at: seconds)
    }
    rootOf[merge.id] = root
  }

  // MARK: the ledger

  /// Looks at what a node concludes from what it knows now.
  mutating func look(at node: SimulatedNode, isCalm: Bool, seconds: Double) {
    guard node.isHonest, let process = node.process else { return }
    guard seen[node.index]?.revision != process.participant.logbook.revision else { return }
    var last = seen[node.index] ?? Seen()
    last.revision = process.participant.logbook.revision
    if forkers.isEmpty {
      checkFates(process.participant.logbook, node, &last, seconds)
      checkRosters(process.participant.logbook, node, &last, seconds)
    }
    if last.seal != process.participant.logbook.seal {
      let before = last.seal?.prefixes ?? []
      last.seal = process.participant.logbook.seal
      checkSeal(process.participant.logbook, before: before, node, &last, seconds)
    }
    seen[node.index] = last
  }

  /// Without forks, what one admits nobody rejects.
  private mutating func checkFates(
    _ book: Logbook, _ node: SimulatedNode, _ last: inout Seen, _ seconds: Double
  ) {
    // Counted anew: looked at anew.
    if book.decided.count < last.decided
      || (last.decided > 0 && book.decided[last.decided - 1] != last.lastDecided)
    {
      last.decided = 0
    }
    for id in book.decided[last.decided...] {
      guard let status = book.status(of: id) else { continue }
      let isAdmitted = status == .admitted
      if let known = fates[id], known != isAdmitted {
        report(
          "node \(node.index) \(isAdmitted ? "admits" : "rejects") \(id.short), "
            + "another does not", at: seconds)
      }
      fates[id] = isAdmitted
    }
    last.decided = book.decided.count
    last.lastDecided = book.decided.last
  }

  /// Without forks there is one roster of a version, and none is taken back.
  private mutating func checkRosters(
    _ book: Logbook, _ node: SimulatedNode, _ last: inout Seen, _ seconds: Double
  ) {
    let version = book.roster.version
    guard version != last.rosterVersion else { return }
    if version < last.rosterVersion {
      report("node \(node.index) takes roster version \(last.rosterVersion) back", at: seconds)
    }
    for roster in book.rosters {
      if let known = rosters[roster.version], known != roster {
        report(
          "node \(node.index) has another roster of version \(roster.version)", at: seconds)
      }
      rosters[roster.version] = roster
    }
    last.rosterVersion = version
  }

  /// What is sealed stands, everywhere the same, and has its quorum.
  private mutating func checkSeal(
    _ book: Logbook, before: [Hanse_V1_LogPosition], _ node: SimulatedNode, _ last: inout Seen,
    _ seconds: Double
  ) {
    count.read(node.disk, of: node.index)
    let rosters = book.rosters.prefix(Int(book.seal.rosterVersion))
    var hasSameLabs = book.seal.prefixes.count == before.count
    for (index, prefix) in book.seal.prefixes.enumerated() {
      // Most of a seal is the one before.
      if index < before.count {
        if before[index] == prefix { continue }
        if before[index].lab != prefix.lab { hasSameLabs = false }
      }
      guard let head = Head(prefix) else { continue }
      let known = last.sealed[head.lab] ?? 0
      guard head.sequence != known else { continue }
      if head.sequence < known {
        report("node \(node.index) unseals entries of \(head.lab.short)", at: seconds)
      }
      last.sealed[head.lab] = head.sequence
      let isBorneOut = rosters.reversed().contains {
        count.isSealed(head, by: $0.members, at: node.index)
      }
      if !isBorneOut {
        report(
          "node \(node.index) seals the log of \(head.lab.short) to \(head.sequence) without a "
            + "quorum", at: seconds)
      }
      let place = Place(lab: head.lab, sequence: head.sequence)
      if let known = sealedPlaces[place], known != head.entry {
        report(
          "two entries of \(head.lab.short) at sequence \(head.sequence) are sealed", at: seconds)
      }
      sealedPlaces[place] = head.entry
    }
    if !hasSameLabs {
      let labs = Set(book.seal.prefixes.compactMap { LabID(bytes: $0.lab) })
      for lab in last.sealed.keys.sorted() where !labs.contains(lab) {
        report("node \(node.index) unseals the log of \(lab.short)", at: seconds)
      }
    }
  }
}
