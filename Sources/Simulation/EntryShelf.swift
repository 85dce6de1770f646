import FoundationEssentials
import Identities
import Records

/// Entries read from signed bytes, each once for all nodes of a world.
///
/// Reading is a pure function of the bytes; what differs from node to node is whose they come from
/// and what the node has, and neither is kept here.
final class EntryShelf: EntryReading, @unchecked Sendable {
  // One world, one thread: nothing else ever sees a shelf.
  private var known: [Data: (body: Data, entry: Entry)] = [:]

  func read(_ signed: Hanse_V1_SignedEntry) throws(RecordError) -> Entry {
    if let found = known[signed.signature], found.body == signed.body { return found.entry }
    let entry = try Entry(signed)
    known[signed.signature] = (signed.body, entry)
    return entry
  }
}
