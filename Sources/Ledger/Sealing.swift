import Identities
import Records

/// What labs attested of logs, as far as the logs here hold it.
struct Cover: Sendable {
  /// Row and column of each lab.
  private var indexes: [LabID: Int] = [:]
  /// By lab whose log it is and lab that attested it.
  private var reach: [[UInt64]] = []
  /// Entries read of each attester's log.
  var next: [LabID: Int] = [:]
  /// What was attested of entries that are not here, by the lab whose they are.
  var ahead: [LabID: [(attester: LabID, position: LogPlace)]] = [:]
  /// What was attested of other branches of a log, by the lab whose it is.
  var beside: [LabID: [(attester: LabID, position: LogPlace)]] = [:]
  /// Labs whose logs are attested further than when the seal was last looked at.
  private(set) var grown: [LabID] = []
  /// Whether a lab is among them, by row.
  private var isGrown: [Bool] = []
  /// The columns of each roster's members, version 1 first, as far as they were asked for.
  private var columns: [[Int]] = []

  mutating func index(of lab: LabID) -> Int {
    if let known = indexes[lab] { return known }
    let index = reach.count
    indexes[lab] = index
    for row in reach.indices { reach[row].append(0) }
    reach.append([UInt64](repeating: 0, count: index + 1))
    isGrown.append(false)
    return index
  }

  /// The columns of a roster's members. Rosters are asked for from version 1 on.
  mutating func columns(of roster: Roster) -> [Int] {
    let place = Int(roster.version) - 1
    if place < columns.count { return columns[place] }
    let found = roster.members.map { index(of: $0.lab) }
    if place == columns.count { columns.append(found) }
    return found
  }

  /// Other rosters were enacted.
  mutating func forgetRosters() { columns.removeAll() }

  mutating func raise(_ lab: LabID, by attester: LabID, to sequence: UInt64) {
    raise(lab, column: index(of: attester), to: sequence)
  }

  mutating func raise(_ lab: LabID, column: Int, to sequence: UInt64) {
    let row = index(of: lab)
    guard reach[row][column] < sequence else { return }
    reach[row][column] = sequence
    guard !isGrown[row] else { return }
    isGrown[row] = true
    grown.append(lab)
  }

  mutating func forgetGrown() {
    grown.removeAll(keepingCapacity: true)
    for row in isGrown.indices { isGrown[row] = false }
  }

  func reach(of lab: LabID, by attester: LabID) -> UInt64 {
    guard let row = indexes[lab], let column = indexes[attester] else { return 0 }
    return reach[row][column]
  }

  /// The sequence that so many of these labs attested of a log, if it is beyond `least`.
  func quorum(_ quorum: Int, of columns: [Int], on lab: LabID, beyond least: UInt64) -> UInt64? {
    guard let row = indexes[lab], quorum <= columns.count else { return nil }
    let reached = reach[row]
    var count = 0
    for column in columns where reached[column] > least { count += 1 }
    guard count >= quorum else { return nil }
    return columns.map { reached[$0] }.sorted(by: >)[quorum - 1]
  }
}

extension Logbook {
  /// Finds the log prefixes that a quorum attested, roster after roster.
  mutating func settleSeal(reading touched: [LabID]) {
    for lab in touched { readAttestations(of: lab) }
    for lab in touched { meetAttestations(of: lab) }
    guard !cover.grown.isEmpty || Int(seal.rosterVersion) != rosters.count else { return }
    var version: UInt32 = 1
    var grew = false
    while let roster = roster(version: version) {
      let columns = cover.columns(of: roster)
      // A roster that is reached only now has seen none of the logs.
      let open = version > seal.rosterVersion ? labs : cover.grown
      for lab in open {
        let last = sealed[lab] ?? 0
        guard
          let sequence = cover.quorum(roster.sealQuorum, of: columns, on: lab, beyond: last)
        else { continue }
        sealed[lab] = sequence
        grew = true
        if decides(lab, after: last, through: sequence) {
          sealedRosterCount = nil
          if let fork = forks[lab], sequence >= fork.sequence { hasSealedDecisions = true }
        }
        // Of a log that was cut, what is sealed counts all the same.
        touch(lab)
      }
      // Only what is sealed may decide who seals next.
      guard Int(version) < rosters.count,
        version < seal.rosterVersion || countSealedRosters() > Int(version)
      else { break }
      version += 1
    }
    cover.forgetGrown()
    guard grew || version != seal.rosterVersion else { return }
    var next = Hanse_V1_Seal()
    next.rosterVersion = version
    next.prefixes = labs.compactMap { lab in
      guard let last = sealed[lab], last > 0, Int(last) <= log(of: lab).count else { return nil }
      return log(of: lab)[Int(last) - 1].position
    }
    olderSeals.append((sealID, seal))
    if olderSeals.count > Self.olderSealsMax { olderSeals.removeFirst() }
    seal = next
  }

  private mutating func countSealedRosters() -> Int {
    if let known = sealedRosterCount { return known }
    let count = rosters(after: [rosters[0]], within: sealed).count
    sealedRosterCount = count
    return count
  }

  /// Whether a log has a proposal or an approval in these places.
  private func decides(_ lab: LabID, after last: UInt64, through sequence: UInt64) -> Bool {
    indexes[lab]?.decisions.contains { $0.sequence > last && $0.sequence <= sequence } ?? false
  }

  /// Reads what is new of a lab's attestations.
  ///
  /// What lies behind an equivocation or a removal, on a branch that was left, or names an older
  /// roster counts here too: a quorum leaves room for as many labs as may lie, and what was once
  /// sealed must be sealed for whoever reads the same entries in another order.
  private mutating func readAttestations(of attester: LabID) {
    let entries = log(of: attester)
    var index = cover.next[attester] ?? 0
    if index == 0 {
      for entry in branches[attester]?.left ?? [] { readAttestation(entry) }
      for entry in branches[attester]?.heard ?? [] { readAttestation(entry) }
    }
    while index < entries.count {
      readAttestation(entries[index])
      index += 1
    }
    cover.next[attester] = index
  }

  private mutating func readAttestation(_ entry: Entry) {
    guard !entry.attested.isEmpty else { return }
    let column = cover.index(of: entry.lab)
    for place in entry.attested {
      let held = logs[place.lab].flatMap { log in
        place.sequence <= UInt64(log.count) ? log[Int(place.sequence) - 1].id : nil
      }
      if held == place.entry {
        cover.raise(place.lab, column: column, to: place.sequence)
      } else if held == nil {
        cover.ahead[place.lab, default: []].append((entry.lab, place))
      } else {
        cover.beside[place.lab, default: []].append((entry.lab, place))
      }
    }
  }

  /// Counts an attested place if it is this ledger's branch.
  private mutating func meet(
    _ position: LogPlace, of lab: LabID, by attester: LabID
  ) {
    let entry = log(of: lab)[Int(position.sequence) - 1]
    guard position.entry == entry.id else {
      cover.beside[lab, default: []].append((attester, position))
      return
    }
    cover.raise(lab, by: attester, to: position.sequence)
  }

  /// Looks at what was attested of entries that have come since.
  private mutating func meetAttestations(of lab: LabID) {
    guard let ahead = cover.ahead[lab] else { return }
    let count = UInt64(log(of: lab).count)
    cover.ahead[lab] = ahead.filter { $0.position.sequence > count }
    for (attester, position) in ahead where position.sequence <= count {
      meet(position, of: lab, by: attester)
    }
  }

  /// How far a lab has attested another's log, as far as it is this ledger's branch.
  public func coverage(of lab: LabID, by attester: LabID) -> UInt64 {
    cover.reach(of: lab, by: attester)
  }

  /// Whether a quorum attested every prefix that this seal names.
  public func isAttested(_ seal: Hanse_V1_Seal) -> Bool {
    seal.prefixes.allSatisfy { prefix in
      LabID(bytes: prefix.lab).map { (sealed[$0] ?? 0) >= prefix.sequence } ?? false
    }
  }
}
