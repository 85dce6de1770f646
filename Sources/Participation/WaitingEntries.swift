import Records

/// Entries that came before what they rest on, oldest first, within the limits.
///
/// They cannot be checked yet, so anybody may have written them: there are no more than a few
/// mebibytes, and whether one is there already is told without a look at the others.
struct WaitingEntries {
  private(set) var inOrder: [Entry] = []
  /// Bytes of their bodies.
  private(set) var bytes = 0
  private var known: Set<Entry> = []
  /// The state of the ledger in which each of them was last found to have no place.
  var triedAt: UInt64?

  var isEmpty: Bool { inOrder.isEmpty }

  /// Keeps an entry: not one with another signature in the place of the true one.
  mutating func add(_ entry: Entry) {
    guard known.insert(entry).inserted else { return }
    inOrder.append(entry)
    bytes += entry.body.count
    var dropped = 0
    while inOrder.count - dropped > Limits.waitingEntriesMax || bytes > Limits.waitingBytesMax {
      bytes -= inOrder[dropped].body.count
      known.remove(inOrder[dropped])
      dropped += 1
    }
    inOrder.removeFirst(dropped)
  }

  /// Hands all of them out.
  mutating func takeAll() -> [Entry] {
    let all = inOrder
    inOrder = []
    bytes = 0
    known = []
    return all
  }
}
