import Determinism
import Identities

/// How far the fetching of one object has come.
struct ObjectFetch: Sendable {
  let object: ContentID
  var urgency: UInt64
  var hints: [LabID]
  /// Nil until the block list is stored.
  var plan: BlockPlan?
  /// Blocks neither stored nor asked for.
  var open = BlockSet()
  var stored = 0
  var total = 0
  /// Blocks asked for, the list under ``GossipLimits/blockListIndex``.
  var inFlight = OrderedTable<UInt32, BlockRequest>()
  /// What was received and is being stored, with who sent it.
  var storing = OrderedTable<UInt32, LabID>()
  /// Blocks that a lab sent wrongly; never asked of it again.
  var bad = OrderedTable<LabID, [UInt32]>()
  /// Labs not to be asked until then: they do not hold it, or kept us waiting.
  var rested = OrderedTable<LabID, Instant>()
  /// Nothing is asked for until then: our own storage failed.
  var pausedUntil: Instant?
  var failures = 0
  /// Where among the blocks this node begins.
  var place: UInt64 = 0
  /// Blocks stored when peers were last told.
  var told = 0
  /// Blocks asked for twice at the end.
  var doubled = 0
  /// Since when no connected lab has it.
  var lonelySince: Instant?

  init(object: ContentID, plan: BlockPlan?, hints: [LabID], urgency: UInt64) {
    self.object = object
    self.hints = hints
    self.urgency = urgency
    if let plan { adopt(plan) }
  }

  /// Takes over a plan; false when it names more blocks than any object has.
  @discardableResult
  mutating func adopt(_ plan: BlockPlan) -> Bool {
    let blocks = BlockPlan.blocks(in: plan.size)
    guard blocks <= UInt64(GossipLimits.blocksPerObject) else { return false }
    total = Int(blocks)
    open = BlockSet(count: total)
    for index in plan.missing where Int(index) < total { open.insert(index) }
    stored = total - open.count
    self.plan = plan
    return true
  }

  /// The blocks that are stored, a bit each, the lowest first.
  var storedBits: [UInt8] {
    var bits = [UInt8](repeating: 0, count: (total + 7) / 8)
    for index in 0..<total {
      let block = UInt32(index)
      if !open.contains(block), !inFlight.contains(block), !storing.contains(block) {
        bits[index / 8] |= 1 << UInt8(index % 8)
      }
    }
    return bits
  }

}

extension Shared<ObjectFetch> {
  var isComplete: Bool { self.plan != nil && self.stored == self.total }

  /// Whether a lab may be asked for a block now.
  func allows(_ lab: LabID, _ index: UInt32, now: Instant) -> Bool {
    if let until = self.rested[lab], now < until { return false }
    guard let bad = self.bad[lab] else { return true }
    return bad.count < GossipLimits.badBlocksPerObject && !bad.contains(index)
  }
}

/// A block asked of a peer.
struct BlockRequest: Sendable {
  var link: ConnectionID
  var lab: LabID
  var since: Instant
  var deadline: Instant
  var misses = 0
}

/// A set of block indexes that gives its lowest one quickly.
package struct BlockSet: Sendable {
  private var words: [UInt64] = []
  package private(set) var count = 0
  private var firstWord = 0

  package init() {}

  /// An empty set for indexes below `count`.
  package init(count: Int) {
    words = [UInt64](repeating: 0, count: (max(count, 0) + 63) / 64)
  }

  /// A set from a bit for each index, the lowest first.
  package init(bits: [UInt8]) {
    self.init(count: 8 * bits.count)
    for (place, byte) in bits.enumerated() {
      words[place / 8] |= UInt64(byte) << UInt64(8 * (place % 8))
      count += byte.nonzeroBitCount
    }
  }

  package var isEmpty: Bool { count == 0 }

  /// Hands out every index, ascending.
  package func visit(_ body: (UInt32) -> Void) {
    for (word, value) in words.enumerated() {
      var bits = value
      while bits != 0 {
        body(UInt32(word * 64 + bits.trailingZeroBitCount))
        bits &= bits - 1
      }
    }
  }

  package mutating func insert(_ index: UInt32) {
    let word = Int(index / 64)
    guard word < words.count, words[word] & (1 << UInt64(index % 64)) == 0 else { return }
    words[word] |= 1 << UInt64(index % 64)
    count += 1
    firstWord = min(firstWord, word)
  }

  /// Takes an index out; false when it was not in.
  @discardableResult
  package mutating func remove(_ index: UInt32) -> Bool {
    let word = Int(index / 64)
    guard word < words.count, words[word] & (1 << UInt64(index % 64)) != 0 else { return false }
    words[word] &= ~(1 << UInt64(index % 64))
    count -= 1
    return true
  }

  package func contains(_ index: UInt32) -> Bool {
    let word = Int(index / 64)
    return word < words.count && words[word] & (1 << UInt64(index % 64)) != 0
  }

  /// The lowest index at or after `start`; nil when there is none.
  package mutating func next(from start: UInt32 = 0) -> UInt32? {
    guard count > 0 else { return nil }
    while firstWord < words.count && words[firstWord] == 0 { firstWord += 1 }
    var word = max(firstWord, Int(start / 64))
    while word < words.count {
      var bits = words[word]
      if word == Int(start / 64) { bits &= ~0 << UInt64(start % 64) }
      if bits != 0 { return UInt32(word * 64 + bits.trailingZeroBitCount) }
      word += 1
    }
    return nil
  }
}
