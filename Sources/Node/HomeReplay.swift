import Identities
import Ledger
import Records
import Storage

/// The logs of a home, replayed: what can be built on, and what had to be left out.
struct HomeReplay {
  /// Everything that fits.
  var logbook: Logbook
  /// Entries that are not what was signed, or that rest on such; each the first of its log, for
  /// what follows it cannot be taken without it.
  var faults: [Fault] = []

  /// An entry that cannot be taken.
  struct Fault: CustomStringConvertible {
    /// Whose log, as the store has it.
    let lab: LabID
    /// Its place there.
    let sequence: UInt64
    /// Its id, as the store has it.
    let id: ContentID
    /// What is wrong with it.
    let reason: String

    var description: String {
      "entry \(sequence) of lab \(lab.short) (\(id.short)): \(reason)"
    }
  }

  /// Checks every stored entry as if it had just arrived, in the order in which it did.
  init(_ store: Store, _ charter: Charter) throws {
    logbook = Logbook(charter: charter)
    var open = try store.allEntries()
    read(&open)
    for stored in try store.forks() {
      if let entry = try? stored.entry() { _ = try? logbook.append(entry, wasKept: true) }
    }
    logbook.settle()
    // A roster may rest on the branch of a log that was kept among the forks.
    var count = -1
    while open.count != count, !open.isEmpty {
      count = open.count
      read(&open)
      logbook.settle()
    }
    var cut: Set<LabID> = []
    for stored in open where cut.insert(stored.lab).inserted {
      let reason = fault(of: stored) ?? "what stands before it could not be read"
      faults.append(
        Fault(lab: stored.lab, sequence: stored.sequence, id: stored.id, reason: reason))
    }
    logbook.settle()
  }

  /// Takes what fits and leaves the rest, each log from its first entry on that does not.
  private mutating func read(_ open: inout [StoredEntry]) {
    var cut: Set<LabID> = []
    var left: [StoredEntry] = []
    for stored in open {
      if cut.contains(stored.lab) {
        left.append(stored)
      } else if fault(of: stored) != nil {
        cut.insert(stored.lab)
        left.append(stored)
      }
    }
    open = left
  }

  private mutating func fault(of stored: StoredEntry) -> String? {
    do {
      let entry = try stored.entry()
      guard entry.id == stored.id else { return "its bytes are not those that were signed" }
      guard entry.lab == stored.lab, entry.sequence == stored.sequence else {
        return "it stands at another place than it was signed for"
      }
      switch try logbook.append(entry) {
      case .appended: return nil
      case .known: return "it stands there twice"
      case .gap(let sequence): return "entry \(sequence + 1) before it is missing"
      case .unknownRoster(let version): return "roster version \(version) is not known here"
      case .equivocation, .branch: return "another entry stands at its place"
      }
    } catch {
      return oneLine(error)
    }
  }

  /// Takes what does not fit out of the store, so that the other labs send it again.
  func mend(_ store: Store) throws {
    for fault in faults {
      // A row that says another place leaves a hole at its own: nothing behind that can stay.
      let next = (logbook.log(of: fault.lab).last?.sequence ?? 0) + 1
      try store.truncate(fault.lab, from: min(fault.sequence, next))
    }
  }
}

/// What an error says, without its way out, in one line.
func oneLine(_ error: any Error) -> String {
  "\(error)".split(separator: "\n").prefix { !$0.hasPrefix("hint: ") }.joined(separator: "; ")
}
