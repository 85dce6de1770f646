import Determinism
import Foundation
import Gossip
import Identities
import Logging
import Records
import Transport

/// The least node there can be: a mesh, a switchboard, and blocks in memory.
actor Glue {
  private enum Happening: Sendable {
    case transport(TransportEvent)
    case served(ConnectionID, bytes: Int)
    case tick
  }

  nonisolated let lab: LabID
  nonisolated let board: Switchboard
  private let keys: [LabID: PublicKey]
  private var mesh: Mesh
  private let happenings: AsyncStream<Happening>
  private let continuation: AsyncStream<Happening>.Continuation
  private let start = ContinuousClock.now
  private(set) var objects: [ContentID: HeldObject] = [:]
  private(set) var complete: Set<ContentID> = []
  private var running: [Task<Void, Never>] = []

  init(_ key: SigningKey, keys: [PublicKey]) throws {
    lab = LabID(firstKey: key.publicKey)
    let labs = Dictionary(uniqueKeysWithValues: keys.map { (LabID(firstKey: $0), $0) })
    self.keys = labs
    (happenings, continuation) = AsyncStream.makeStream()
    mesh = Mesh(
      lab: lab, federation: ContentID(of: [1], kind: .charter), software: "glue",
      generator: SeededGenerator(seed: UInt64(key.seed[0])), now: Instant(nanoseconds: 0))
    board = try Switchboard(
      key: key, listen: Endpoint(host: "127.0.0.1", port: 0),
      membership: { labs[LabID(firstKey: $0)] == $0 ? LabID(firstKey: $0) : nil },
      guests: { _, _ in Hanse_V1_JoinAnswer() },
      logger: Logger(label: "glue") { _ in SwiftLogNoOpLogHandler() },
      events: { [continuation] in continuation.yield(.transport($0)) })
  }

  func run() async throws {
    try await board.start()
    let continuation = continuation
    let happenings = happenings
    running = [
      Task { for await happening in happenings { self.take(happening) } },
      Task {
        while !Task.isCancelled {
          continuation.yield(.tick)
          try? await Task.sleep(for: .milliseconds(100))
        }
      },
    ]
  }

  func stop() async {
    await board.shutdown()
    for task in running { task.cancel() }
  }

  func meet(_ members: [Member]) { tell(.members(members, logs: members.map(\.lab))) }

  func hold(_ object: HeldObject) {
    objects[object.id] = object
    tell(.held(object.id))
  }

  func want(_ object: ContentID, from lab: LabID) {
    tell(.want(object, plan: nil, hints: [lab], urgency: 1))
  }

  var status: [PeerStatus] { mesh.peerStatus }
  var received: ReceivedCounts { mesh.received }

  private func take(_ happening: Happening) {
    switch happening {
    case .tick: tell(.tick)
    case .served(let id, let bytes): tell(.blockServed(id, bytes: bytes))
    case .transport(.connected(let id, let lab, let address, let dialledByUs)):
      tell(.connected(id, lab: lab, address: address, dialledByUs: dialledByUs))
    case .transport(.frame(let id, let frame, let receipt)):
      tell(.frame(id, frame))
      receipt.consumed()
    case .transport(.disconnected(let id, let reason)):
      tell(.disconnected(id, reason: "\(reason)"))
    case .transport(.dialFailed(let lab, let address, let reason)):
      tell(.dialFailed(lab, address: address, reason: "\(reason)"))
    }
  }

  private func tell(_ event: GossipEvent) {
    let passed = ContinuousClock.now - start
    let now = Instant(nanoseconds: UInt64(passed / .nanoseconds(1)))
    for directive in mesh.handle(event, now: now) { carryOut(directive) }
  }

  private func carryOut(_ directive: Directive) {
    switch directive {
    case .dial(let lab, let address): board.connect(to: lab, address: address, key: keys[lab]!)
    case .close(let id, let reason): board.close(id, reason: reason)
    case .send(let id, let frame): board.send(frame, on: id)
    case .makeSnapshot(let id, _):
      tell(.snapshotMade(id, root: nil, object: nil, size: 0))
    case .snapshotNamed, .snapshotStalled, .snapshotNowhere: break
    case .storeBlockList(let id, let bytes, let from):
      guard let object = HeldObject(list: bytes), object.id == id else {
        return tell(
          .blockRefused(id, index: GossipLimits.blockListIndex, from: from, reason: "list"))
      }
      objects[id] = object
      tell(.blockListStored(id, plan: BlockPlan(size: object.size)))
    case .storeBlock(let id, let index, let bytes, let from):
      guard objects[id]?.store(bytes, index) == true else {
        return tell(.blockRefused(id, index: index, from: from, reason: "hash"))
      }
      tell(.blockStored(id, index: index))
    case .complete(let id):
      complete.insert(id)
      tell(.held(id))
    case .serveBlock(let id, let object, let index):
      var frame = Hanse_V1_Frame()
      frame.block.object = Data(object.bytes)
      frame.block.index = index
      frame.block.bytes = objects[object]?.bytes(of: index) ?? Data()
      let continuation = continuation
      let bytes = frame.block.bytes.count
      let isSent = board.send(frame, on: id, bulk: true) { _ in
        continuation.yield(.served(id, bytes: bytes))
      }
      if !isSent { tell(.blockServed(id, bytes: 0)) }
    case .verify(let batch, _, _): tell(.verified(batch: batch))
    case .sendEntries(let id, let lab, let after, _):
      tell(.entriesSent(id, lab: lab, through: after))
    case .sendEvidence, .compare: break
    }
  }
}

/// An object in memory: its block list, and the blocks held.
struct HeldObject: Sendable {
  let size: UInt64
  let list: Data
  private var blocks: [UInt32: Data] = [:]

  init(size: Int, fill: UInt8) {
    self.size = UInt64(size)
    var list = Data((0..<8).map { UInt8(truncatingIfNeeded: size >> (8 * $0)) })
    let plan = BlockPlan(size: UInt64(size))
    for index in plan.missing {
      let bytes = Data(
        repeating: fill ^ UInt8(truncatingIfNeeded: index), count: plan.bytes(of: index))
      list += ContentID(of: Array(bytes), kind: .block).bytes
      blocks[index] = bytes
    }
    self.list = list
  }

  init?(list: Data) {
    guard list.count >= 8, (list.count - 8) % 32 == 0 else { return nil }
    self.list = list
    size = list.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  var id: ContentID { ContentID(of: Array(list), kind: .object) }

  func bytes(of index: UInt32) -> Data? {
    index == GossipLimits.blockListIndex ? list : blocks[index]
  }

  mutating func store(_ bytes: Data, _ index: UInt32) -> Bool {
    let start = list.startIndex + 8 + 32 * Int(index)
    var hasher = ContentHasher(kind: .block)
    bytes.withUnsafeBytes { hasher.update($0) }
    guard start + 32 <= list.endIndex, hasher.finish().bytes == Array(list[start..<start + 32])
    else { return false }
    blocks[index] = bytes
    return true
  }
}
