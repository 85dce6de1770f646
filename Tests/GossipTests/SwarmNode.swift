import Determinism
import FoundationEssentials
import Gossip
import Identities
import Records

/// A node of a ``Swarm``: its mesh, and in memory what storage would hold.
struct SwarmNode {
  enum Answer {
    case tell(GossipEvent)
    case send(ConnectionID, Hanse_V1_Frame)
  }

  let index: Int
  let key: SigningKey
  let lab: LabID
  let federation: ContentID
  var mesh: Mesh
  /// Until then the process is stopped; what comes for it waits.
  var wakesAt = 0.0
  /// The process is dead.
  var isDown = false
  var isDialable = true
  /// When the line is free for the next block.
  var uplinkFree = 0.0
  var logs: [LabID: [Entry]] = [:]
  /// Entries that stand beside ours at one sequence.
  var evidence: [LabID: [UInt64: Entry]] = [:]
  var objects: [ContentID: SwarmObject] = [:]
  var complete: Set<ContentID> = []
  /// Blocks asked for and not answered, with who was asked.
  var asked: [String: Int] = [:]
  var blocksRefused = 0
  /// Every block this node serves is broken.
  var isPoisoner = false
  /// Requests for blocks are taken and never answered.
  var withholds = false
  var compared = 0
  /// Which object the state of a root is, as this node has it or says so.
  var snapshots: [ContentID: ContentID] = [:]
  /// What a wanted state's object is in truth.
  var trueSnapshot: ContentID?
  var snapshotsWrong = 0
  var foundNoSnapshot = false

  init(index: Int, key: SigningKey, federation: ContentID, seed: UInt64) {
    self.index = index
    self.key = key
    self.federation = federation
    lab = LabID(firstKey: key.publicKey)
    mesh = Self.mesh(lab, federation, seed, Instant(nanoseconds: 0))
  }

  private static func mesh(
    _ lab: LabID, _ federation: ContentID, _ seed: UInt64, _ now: Instant
  ) -> Mesh {
    Mesh(
      lab: lab, federation: federation, software: "swarm", generator: SeededGenerator(seed: seed),
      now: now)
  }

  /// A new process: a mesh that knows nothing yet.
  mutating func start(seed: UInt64, now: Instant) {
    mesh = Self.mesh(lab, federation, seed, now)
  }

  /// A new entry of this node's lab; `salt` makes two at one place differ.
  func sign(after last: Entry?, salt: UInt64 = 0) -> Entry {
    var message = Hanse_V1_Entry()
    message.federation = Data(federation.bytes)
    message.lab = Data(lab.bytes)
    message.rosterVersion = 1
    message.sequence = (last?.sequence ?? 0) + 1
    message.previous = last.map { Data($0.id.bytes) } ?? Data()
    message.timeSeconds = salt
    message.presence.software = "swarm"
    return try! Entry(signing: message, with: key)
  }

  mutating func carryOut(_ directive: Directive) -> [Answer] {
    switch directive {
    case .verify(let batch, let from, let entries):
      return entries.flatMap { take($0, from: from) }.map(Answer.tell)
        + [.tell(.verified(batch: batch))]
    case .sendEntries(let id, let lab, let after, let limit):
      let entries = (logs[lab] ?? []).filter { $0.sequence > after }.prefix(limit)
      return [
        .send(id, frame(of: Array(entries))),
        .tell(.entriesSent(id, lab: lab, through: entries.last?.sequence ?? after)),
      ]
    case .sendEvidence(let id, let lab, let sequence):
      let both = [entry(lab, sequence), evidence[lab]?[sequence]].compactMap { $0 }
      return [.send(id, frame(of: both))]
    case .compare(let id, let head):
      compared += 1
      guard let ours = entry(head.lab, head.sequence), ours.id != head.entry else { return [] }
      return [.send(id, frame(of: [ours]))]
    case .storeBlockList, .storeBlock, .complete, .serveBlock: return carryOutBlock(directive)
    case .makeSnapshot, .snapshotNamed, .snapshotStalled, .snapshotNowhere:
      return carryOutSnapshot(directive)
    case .dial, .close, .send: return []
    }
  }

  private func entry(_ lab: LabID, _ sequence: UInt64) -> Entry? {
    (logs[lab] ?? []).first { $0.sequence == sequence }
  }

  private func frame(of entries: [Entry]) -> Hanse_V1_Frame {
    var frame = Hanse_V1_Frame()
    frame.entries.entries = entries.map(\.signed)
    return frame
  }

  /// What storage and the ledger do with an entry.
  private mutating func take(_ entry: Entry, from: ConnectionID) -> [GossipEvent] {
    let log = logs[entry.lab] ?? []
    if let ours = self.entry(entry.lab, entry.sequence) {
      guard ours.id != entry.id else { return [] }
      evidence[entry.lab, default: [:]][entry.sequence] = entry
      return [
        .forked(
          entry.lab, sequence: entry.sequence, isFirst: ours.previous == entry.previous,
          from: from)
      ]
    }
    guard entry.sequence == UInt64(log.count) + 1, entry.previous == log.last?.id else {
      return [.entryRefused(from: from, reason: "does not follow")]
    }
    logs[entry.lab, default: []].append(entry)
    return [.appended(entry)]
  }

  private mutating func carryOutSnapshot(_ directive: Directive) -> [Answer] {
    switch directive {
    case .makeSnapshot(let id, let roots):
      let root = roots.first { snapshots[$0] != nil }
      let object = root.flatMap { snapshots[$0] }
      let size = object.flatMap { objects[$0]?.size } ?? 0
      return [.tell(.snapshotMade(id, root: root, object: object, size: size))]
    case .snapshotNamed(_, let object, let labs):
      return [.tell(.want(object, plan: nil, hints: labs, urgency: .max))]
    case .snapshotNowhere: foundNoSnapshot = true
    default: break
    }
    return []
  }

  private mutating func carryOutBlock(_ directive: Directive) -> [Answer] {
    switch directive {
    case .storeBlockList(let object, let bytes, let from):
      guard let list = SwarmObject(list: Array(bytes)), list.id == object else {
        return [
          .tell(
            .blockRefused(
              object, index: GossipLimits.blockListIndex, from: from, reason: "wrong list"))
        ]
      }
      objects[object] = list
      return [.tell(.blockListStored(object, plan: BlockPlan(size: list.size)))]
    case .storeBlock(let object, let index, let bytes, let from):
      guard objects[object]?.store(bytes, index) == true else {
        blocksRefused += 1
        return [.tell(.blockRefused(object, index: index, from: from, reason: "wrong block"))]
      }
      return [.tell(.blockStored(object, index: index))]
    case .complete(let object):
      if let trueSnapshot, object != trueSnapshot {
        snapshotsWrong += 1
        objects[object] = nil
        return [.tell(.snapshotWrong(object))]
      }
      complete.insert(object)
      return [.tell(.held(object))]
    case .serveBlock(let id, let object, let index):
      if withholds { return [.tell(.blockServed(id, bytes: 0))] }
      var frame = Hanse_V1_Frame()
      frame.block.object = Data(object.bytes)
      frame.block.index = index
      frame.block.bytes = objects[object]?.bytes(of: index) ?? Data()
      if isPoisoner, index != GossipLimits.blockListIndex, !frame.block.bytes.isEmpty {
        frame.block.bytes[frame.block.bytes.startIndex] ^= 1
      }
      return [.send(id, frame), .tell(.blockServed(id, bytes: frame.block.bytes.count))]
    default: return []
    }
  }
}

/// An object in memory: its block list, and the blocks held.
struct SwarmObject {
  var size: UInt64
  var hashes: [ContentID]
  var blocks: [UInt32: Data] = [:]
  private var proven: (hash: ContentID, bytes: Data)?

  /// A whole object of pseudo-random bytes.
  init(size: Int, seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    self.size = UInt64(size)
    hashes = []
    let plan = BlockPlan(size: UInt64(size))
    for index in plan.missing {
      var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: plan.bytes(of: index))
      for place in 0..<min(64, bytes.count) {
        bytes[place] = UInt8(truncatingIfNeeded: generator.next())
      }
      hashes.append(ContentID(of: bytes, kind: .block))
      blocks[index] = Data(bytes)
    }
  }

  /// A whole object whose blocks all have the same bytes but for the last: what a large one costs
  /// in memory is one block.
  init(repeating fill: UInt64, size: Int) {
    var bytes = Data(repeating: UInt8(truncatingIfNeeded: fill), count: GossipLimits.blockBytes)
    for place in 0..<8 { bytes[place] = UInt8(truncatingIfNeeded: fill >> UInt64(8 * place)) }
    self.size = UInt64(size)
    let plan = BlockPlan(size: UInt64(size))
    let whole = ContentID(of: Array(bytes), kind: .block)
    hashes = []
    for index in plan.missing {
      let count = plan.bytes(of: index)
      let isWhole = count == bytes.count
      let block = isWhole ? bytes : Data(bytes.prefix(count))
      hashes.append(isWhole ? whole : ContentID(of: Array(block), kind: .block))
      blocks[index] = block
    }
  }

  /// An object of which only the block list is known.
  init?(list: [UInt8]) {
    guard list.count >= 8, (list.count - 8) % 32 == 0 else { return nil }
    size = list.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    hashes = stride(from: 8, to: list.count, by: 32).compactMap {
      ContentID(bytes: list[$0..<$0 + 32])
    }
  }

  var list: [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: size >> UInt64(56 - 8 * $0)) }
      + hashes.flatMap(\.bytes)
  }
  var id: ContentID { ContentID(of: list, kind: .object) }

  func bytes(of index: UInt32) -> Data? {
    index == GossipLimits.blockListIndex ? Data(list) : blocks[index]
  }

  mutating func store(_ bytes: Data, _ index: UInt32) -> Bool {
    guard Int(index) < hashes.count else { return false }
    // What equals a block with the same hash need not be hashed again.
    if let known = proven, known.hash == hashes[Int(index)], known.bytes == bytes {
      blocks[index] = known.bytes
      return true
    }
    guard ContentID(of: Array(bytes), kind: .block) == hashes[Int(index)] else { return false }
    blocks[index] = bytes
    proven = (hashes[Int(index)], bytes)
    return true
  }

  /// Which blocks are missing, as a process finds it when it starts.
  var plan: BlockPlan {
    BlockPlan(size: size, missing: hashes.indices.map { UInt32($0) }.filter { blocks[$0] == nil })
  }
}
