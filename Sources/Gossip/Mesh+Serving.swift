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
    serveBlocks(now)
  }

  mutating func blockServed(_ id: ConnectionID, _ bytes: Int, _ now: Instant) {
    guard let link = links[id], link.serving > 0 else { return }
    links[id]?.serving -= 1
    serving -= 1
    // A whole block was taken when it was begun; what it did not need is given back.
    let rest = GossipLimits.blockBytes - max(0, bytes)
    upload.take(-rest)
    peers[link.lab]?.upload.take(-rest)
    serveBlocks(now)
  }

  /// Starts as many answers as may be under way at once, a block for each connection in turn.
  mutating func serveBlocks(_ now: Instant) {
    while serving < GossipLimits.servedInAll, upload.isOpen(at: pace.bytesPerSecond, now),
      let id = nextToServe(now)
    {
      guard let lab = links[id]?.lab, let key = links[id]?.serveQueue.first else { return }
      links[id]?.serveQueue.removeFirst()
      links[id]?.serving += 1
      serving += 1
      upload.take(GossipLimits.blockBytes)
      peers[lab]?.upload.take(GossipLimits.blockBytes)
      serveNext = id
      out.append(.serveBlock(id, object: key.object, index: key.index))
    }
  }

  /// The next connection after the one served last that waits for a block and may have one.
  private mutating func nextToServe(_ now: Instant) -> ConnectionID? {
    var waiting: [ConnectionID] = []
    for id in links.keys {
      guard let link = links[id], !link.serveQueue.isEmpty,
        link.serving < GossipLimits.servedPerPeer,
        peers[link.lab]?.upload.isOpen(at: pace.bytesPerSecondPerPeer, now) == true
      else { continue }
      waiting.append(id)
    }
    guard let last = serveNext else { return waiting.first }
    return waiting.first { $0 > last } ?? waiting.first
  }
}
