import Control
import Deltas
import FoundationEssentials
import Identities
import Ledger
import Records
import Storage

/// Writes everything that a store has of a federation into one file.
struct BundleExport {
  let store: Store
  let federation: ContentID
  let note: Hanse_V1_BundleNote
  /// Signs what is written; nil for a copy that was given away without its key.
  let key: SigningKey?
  /// Whether payloads are written, and not the logs alone.
  let payloads: Bool

  func write(to path: String) throws -> BundlePage {
    let file = try BundleOutput(path)
    var writer = try BundleWriter(federation: federation, note: note) { try file.write($0) }
    var entries = 0
    var announced: Set<ContentID> = []
    for stored in try store.allEntries() {
      let entry = try stored.entry()
      try writer.add(entry.signed)
      entries += 1
      guard case .contribution(let message)? = entry.message.payload,
        let object = ContentID(bytes: message.payload.blockList)
      else { continue }
      announced.insert(object)
    }
    for fork in try store.forks() { try writer.add(evidence: fork.entry().signed) }
    var objects = 0
    // What else is there was made for a lab that asked for a state.
    for id in payloads ? try store.objects().filter(announced.contains) : [] {
      guard let status = try store.object(id), status.missing.isEmpty else { continue }
      try writer.begin(
        blockList: status.list.size.littleEndianBytes + status.list.blocks.flatMap(\.bytes))
      for index in status.list.blocks.indices {
        guard let block = try store.readBlock(index, of: id) else {
          throw NodeError.bundle(
            "block \(index) of payload \(id.short) has gone while it was read", hint: "try again")
        }
        try writer.add(block: block, at: UInt32(index))
      }
      objects += 1
    }
    try writer.finish(signedWith: key)
    try file.finish()
    return BundlePage(
      file: path, federation: federation.description, entries: entries, payloads: objects,
      signed: key != nil, bytes: file.bytes)
  }
}
