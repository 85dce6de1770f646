import Determinism
import Identities
import Records

/// Blocks that others ask for: a queue for each connection, served in turn.
extension Mesh {
  mutating func queueBlock(_ want: Hanse_V1_WantObject, on id: ConnectionID, _ now: Instant) {
    guard let object = ContentID(bytes: want.object) else {
      return fault(.outOfTurn, on: id, "a request for the block of no object", now)
    }
    let key = BlockKey(object: object, index: want.index)
    guard let queue = links[id]?.serveQueue, queue.count < GossipLimits.serveQueue else {
      return fault(.tooManyRequests, on: id, "too many requests for blocks at once", now)
    }
    guard !queue.contains(key) else { return }
    links[id]?.serveQueue.append(key)
    serveBlocks()
  }

  mutating func blockServed(_ id: ConnectionID) {
    guard let link = links[id], link.serving > 0 else { return }
    links[id]?.serving -= 1
    serving -= 1
    serveBlocks()
  }

  /// Starts as many answers as may be under way at once, a block for each connection in turn.
  private mutating func serveBlocks() {
    while serving < GossipLimits.servedInAll, let id = nextToServe() {
      guard let key = links[id]?.serveQueue.first else { return }
      links[id]?.serveQueue.removeFirst()
      links[id]?.serving += 1
      serving += 1
      serveNext = id
      out.append(.serveBlock(id, object: key.object, index: key.index))
    }
  }

  /// The next connection after the one served last that waits for a block and may have one.
  private func nextToServe() -> ConnectionID? {
    let waiting = links.keys.filter { id in
      guard let link = links[id] else { return false }
      return !link.serveQueue.isEmpty && link.serving < GossipLimits.servedPerPeer
    }
    guard let last = serveNext else { return waiting.first }
    return waiting.first { $0 > last } ?? waiting.first
  }
}
