import Gossip
import Identities
import Ledger
import Records

/// What each node's disk bears out of seals, counted from the entries there as Protocol/Ledger.md,
/// "Seals", has it, and not by the ledger that is watched.
///
/// What an entry says is kept once for all nodes, since a hundred disks hold the same ones, and
/// everything by number: a hundred nodes ask for a hundred labs at every seal.
struct SealCount {
  private var labs = Numbers<LabID>()
  private var entries = Numbers<ContentID>()
  /// By number of the entry; nil for those that no disk has shown.
  private var places: [EntryPlace?] = []
  /// By lab whose log it is and lab that attested it, in the order in which they came first.
  private var attested: [[[Attested]]] = []
  private var readings: [Int: Reading] = [:]

  /// Numbers from 0 for what has been met.
  private struct Numbers<ID: Hashable> {
    private var known: [ID: Int] = [:]

    func number(of id: ID) -> Int? { known[id] }

    mutating func note(_ id: ID) -> Int {
      if let number = known[id] { return number }
      let number = known.count
      known[id] = number
      return number
    }
  }

  private struct EntryPlace {
    let sequence: UInt64
    let before: Int?
  }

  private struct Attested {
    let sequence: UInt64
    let tip: Int
    let entry: Int
  }

  /// How much of a node's disk was read, and which entries are there.
  private struct Reading {
    var entries = 0
    var forks = 0
    var isHeld: [Bool] = []

    func holds(_ entry: Int) -> Bool { entry < isHeld.count && isHeld[entry] }

    mutating func hold(_ entry: Int) {
      while isHeld.count <= entry { isHeld.append(false) }
      isHeld[entry] = true
    }
  }

  /// Attestations that seal a prefix among so many labs.
  static func quorum(of labs: Int) -> Int {
    let mayLie = labs > 0 ? (labs - 1) / 3 : 0
    return (labs + mayLie) / 2 + 1
  }

  /// Takes in what has come to a node's disk, from which nothing synced ever goes.
  mutating func read(_ disk: Disk, of node: Int) {
    var reading = readings.removeValue(forKey: node) ?? Reading()
    for entry in disk.entries[reading.entries...] + disk.forks[reading.forks...] {
      reading.hold(read(entry))
    }
    reading.entries = disk.entries.count
    reading.forks = disk.forks.count
    readings[node] = reading
  }

  private mutating func note(_ entry: ContentID) -> Int {
    let number = entries.note(entry)
    if number == places.count { places.append(nil) }
    return number
  }

  private mutating func note(_ lab: LabID) -> Int {
    let number = labs.note(lab)
    if number == attested.count {
      attested.append([])
      for row in attested.indices {
        while attested[row].count < attested.count { attested[row].append([]) }
      }
    }
    return number
  }

  private mutating func read(_ entry: Entry) -> Int {
    let number = note(entry.id)
    guard places[number] == nil else { return number }
    places[number] = EntryPlace(sequence: entry.sequence, before: entry.previous.map { note($0) })
    guard case .attestation(let attestation)? = entry.message.payload else { return number }
    let attester = note(entry.lab)
    for prefix in attestation.prefixes {
      guard let head = Head(prefix) else { continue }
      let row = note(head.lab)
      attested[row][attester].append(
        Attested(sequence: head.sequence, tip: note(head.entry), entry: number))
    }
    return number
  }

  /// Whether so many of these labs attested an entry or one that goes on from it, as far as a
  /// node's disk shows it.
  func isSealed(_ head: Head, by seats: [Seat], at node: Int) -> Bool {
    guard let row = labs.number(of: head.lab), let wanted = entries.number(of: head.entry),
      let reading = readings[node]
    else { return false }
    var missing = Self.quorum(of: seats.count)
    for seat in seats {
      guard missing > 0 else { break }
      guard let attester = labs.number(of: seat.lab) else { continue }
      let isAttested = attested[row][attester].reversed().contains {
        reading.holds($0.entry) && leads($0, to: wanted, at: head.sequence, in: reading)
      }
      if isAttested { missing -= 1 }
    }
    return missing <= 0
  }

  /// Whether an attested entry's chain has another in it, as far as it is on that disk.
  private func leads(
    _ tip: Attested, to entry: Int, at sequence: UInt64, in reading: Reading
  ) -> Bool {
    guard tip.sequence >= sequence else { return false }
    var next = tip.tip
    while reading.holds(next), let place = places[next], place.sequence > sequence,
      let before = place.before
    {
      next = before
    }
    return next == entry && reading.holds(next) && places[next]?.sequence == sequence
  }
}
