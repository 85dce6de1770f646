import Determinism
import FoundationEssentials
import Identities
import Records

/// Blocks of objects that are still being fetched: who has which, and which to ask for first.
extension Mesh {
  /// Tells peers what has been stored of the objects that are being fetched, so that a block can be
  /// had before somebody has them all. Once a tick.
  mutating func announceParts(_ now: Instant) {
    guard nextParts <= now else { return }
    nextParts = now.adding(seconds: jittered(GossipLimits.partSeconds))
    let news = fetchOrder.filter { object in
      guard let fetch = fetches[object], fetch.plan != nil, fetch.stored > fetch.told else {
        return false
      }
      return fetch.total >= GossipLimits.windowFirst
    }.prefix(GossipLimits.partsPerHave)
    guard !news.isEmpty else { return }
    for object in news {
      guard let stored = fetches[object]?.stored else { continue }
      fetches[object]?.told = stored
    }
    let parts = news.map { object in
      var part = Hanse_V1_Part()
      part.object = Data(object.bytes)
      part.blocks = Data(fetches[object]?.value.storedBits ?? [])
      return (object: object, part: part)
    }
    for lab in linkedLabs {
      guard let id = route(to: lab) else { continue }
      var have = Hanse_V1_Have()
      have.parts = parts.filter { peers[lab]?.holds.contains($0.object) == false }.map(\.part)
      if !have.parts.isEmpty { send(.have(have), on: id) }
    }
  }

  mutating func receivedPart(_ part: Hanse_V1_Part, of lab: LabID) {
    guard let object = ContentID(bytes: part.object), let fetch = fetches[object],
      8 * part.blocks.count <= GossipLimits.blocksPerObject + 7,
      peers[lab]?.parts.contains(object) == true
        || (peers[lab]?.parts.count ?? 0) < GossipLimits.partsPerHave
    else { return }
    peers[lab]?.parts[object] = BlockSet(bits: Array(part.blocks))
    noteChange(of: object)
    // While nobody has it whole, who has a part also has the list.
    if fetch.plan == nil || !fetch.open.isEmpty { objectsChanged = true }
  }

  /// Whether a lab has said, or is said, to have a block.
  func has(_ lab: LabID, _ index: UInt32, of fetch: Shared<ObjectFetch>) -> Bool {
    if isHolder(lab, of: fetch) { return true }
    guard let part = peers[lab]?.parts[fetch.object] else { return false }
    return index == GossipLimits.blockListIndex || part.contains(index)
  }

  /// The blocks to ask for, the rarest among those connected first; of equally rare ones in their
  /// order from a place that differs from node to node, so that nodes have something to exchange.
  func openBlocks(of fetch: Shared<ObjectFetch>) -> [UInt32] {
    var order: [UInt32] = []
    order.reserveCapacity(fetch.open.count)
    let start = UInt32(fetch.place % UInt64(max(1, fetch.total)))
    fetch.open.visit { order.append($0) }
    if let first = order.firstIndex(where: { $0 >= start }) {
      order = Array(order[first...] + order[..<first])
    }
    let parts = linkedLabs.compactMap { lab in
      isHolder(lab, of: fetch) ? nil : peers[lab]?.parts[fetch.object]
    }
    guard !parts.isEmpty else { return order }
    // Holders of the whole object count the same for every block.
    var byRarity = [[UInt32]](repeating: [], count: parts.count + 1)
    for index in order { byRarity[parts.count { $0.contains(index) }].append(index) }
    return byRarity.flatMap { $0 }
  }
}
