import Gossip
import Identities
import Records

/// What each node's disk bears out of seals, counted from the entries there as Protocol/Ledger.md,
/// "Seals", has it, and not by the ledger that is watched.
///
/// What an entry says is kept once for all nodes: a hundred disks hold the same ones.
struct SealCount {
  private var places: [ContentID: EntryPlace] = [:]
  /// By lab whose log it is and lab that attested it, in the order in which they came first.
  private var attested: [LabID: [LabID: [Attested]]] = [:]
  private var readings: [Int: Reading] = [:]

  private struct EntryPlace {
    let sequence: UInt64
    let before: ContentID?
  }

  private struct Attested {
    let head: Head
    let entry: ContentID
  }

  /// How much of a node's disk was read.
  private struct Reading {
    var entries = 0
    var forks = 0
    var ids: Set<ContentID> = []
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
      reading.ids.insert(entry.id)
      read(entry)
    }
    reading.entries = disk.entries.count
    reading.forks = disk.forks.count
    readings[node] = reading
  }

  private mutating func read(_ entry: Entry) {
    guard places[entry.id] == nil else { return }
    places[entry.id] = EntryPlace(sequence: entry.sequence, before: entry.previous)
    guard case .attestation(let attestation)? = entry.message.payload else { return }
    for prefix in attestation.prefixes {
      guard let head = Head(prefix) else { continue }
      attested[head.lab, default: [:]][entry.lab, default: []]
        .append(Attested(head: head, entry: entry.id))
    }
  }

  /// How many of these labs attested an entry or one that goes on from it, as far as a node's disk
  /// shows it.
  func attesters(of head: Head, among labs: [LabID], at node: Int) -> Int {
    guard let known = attested[head.lab], let ids = readings[node]?.ids else { return 0 }
    return labs.count { lab in
      known[lab]?.reversed().contains {
        ids.contains($0.entry) && leads($0.head, to: head, within: ids)
      } == true
    }
  }

  /// Whether an entry's chain has another in it, as far as it is among these.
  private func leads(_ tip: Head, to head: Head, within ids: Set<ContentID>) -> Bool {
    guard tip.sequence >= head.sequence else { return false }
    var next = tip.entry
    while ids.contains(next), let place = places[next], place.sequence > head.sequence,
      let before = place.before
    {
      next = before
    }
    return next == head.entry && ids.contains(next) && places[next]?.sequence == head.sequence
  }
}
