import Deltas
import FoundationEssentials
import Gossip
import Identities
import Participation
import Records

/// What one node has synced, and what it has only written.
struct Disk {
  /// An object, whole or in part.
  struct Object {
    let list: BlockList
    var blocks: [Data?]

    var isComplete: Bool { !blocks.contains { $0 == nil } }

    var plan: BlockPlan {
      BlockPlan(
        size: UInt64(list.byteCount),
        missing: blocks.indices.filter { blocks[$0] == nil }.map { UInt32($0) })
    }
  }

  /// Entries in the order in which they were appended.
  private(set) var entries: [Entry] = []
  private(set) var forks: [Entry] = []
  private(set) var head: Hanse_V1_Merge?
  private(set) var foundations = Hanse_V1_Foundations()
  /// Chains of the states that are kept, in the order in which they came.
  private(set) var snapshots: [ContentID] = []
  /// Those that are not to be pruned.
  var spared: [ContentID] = []
  /// By block list; those that are not complete are gone after a crash.
  private(set) var objects: [ContentID: Object] = [:]
  /// In the order in which they came.
  private(set) var objectOrder: [ContentID] = []
  /// By lab, up to which sequence entries of its log are durable.
  private(set) var lengths: [LabID: UInt64] = [:]

  mutating func write(_ changes: [Change]) {
    for change in changes {
      switch change {
      case .append(let entry):
        entries.append(entry)
        lengths[entry.lab] = max(lengths[entry.lab] ?? 0, entry.sequence)
      case .fork(let entry):
        forks.append(entry)
        lengths[entry.lab] = max(lengths[entry.lab] ?? 0, entry.sequence)
      case .head(let merge): head = merge
      case .feedback: break
      case .foundations(let message): foundations = message
      }
    }
  }

  mutating func begin(_ object: ContentID, _ list: BlockList) -> BlockPlan {
    if let known = objects[object] { return known.plan }
    let made = Object(list: list, blocks: Array(repeating: nil, count: list.hashes.count))
    objects[object] = made
    objectOrder.append(object)
    return made.plan
  }

  /// Stores a block if it is the one that the list names.
  mutating func store(_ object: ContentID, _ index: UInt32, _ bytes: Data) -> Bool {
    guard let known = objects[object], Int(index) < known.blocks.count,
      known.list.accepts(Array(bytes), at: Int(index))
    else { return false }
    objects[object]?.blocks[Int(index)] = bytes
    return true
  }

  mutating func add(_ object: ContentID, _ list: BlockList, _ bytes: [UInt8]) {
    _ = begin(object, list)
    for index in list.hashes.indices {
      guard let range = list.range(ofBlock: index) else { continue }
      objects[object]?.blocks[index] = Data(bytes[range])
    }
  }

  /// A block, or the block list; nil when it is not held.
  func read(_ object: ContentID, _ index: UInt32) -> Data? {
    guard let known = objects[object] else { return nil }
    if index == GossipLimits.blockListIndex { return Data(known.list.encoded()) }
    return Int(index) < known.blocks.count ? known.blocks[Int(index)] : nil
  }

  /// The bytes of a whole object.
  func bytes(of object: ContentID) -> [UInt8]? {
    guard let known = objects[object], known.isComplete else { return nil }
    return known.blocks.flatMap { Array($0 ?? Data()) }
  }

  mutating func remove(_ object: ContentID) {
    objects[object] = nil
    objectOrder.removeAll { $0 == object }
  }

  /// Keeps a state, and prunes all but the last few and those to be spared.
  mutating func keep(_ chain: ContentID) {
    snapshots.removeAll { $0 == chain }
    snapshots.append(chain)
    let last = snapshots.suffix(4)
    snapshots.removeAll { !last.contains($0) && !spared.contains($0) }
  }

  var complete: [ContentID] { objectOrder.filter { objects[$0]?.isComplete == true } }

  /// Forgets what was written and not synced: objects in part.
  mutating func lose() {
    let lost = objectOrder.filter { objects[$0]?.isComplete != true }
    for object in lost { objects[object] = nil }
    objectOrder.removeAll { lost.contains($0) }
  }
}
