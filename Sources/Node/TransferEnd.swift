import Deltas
import Determinism
import FoundationEssentials
import Gossip
import Identities
import Logging
import Records
import Storage
import Transport

/// One end of a measured transfer: mesh, switchboard and store on one queue, put together as a node
/// puts them together, without logs and without a participant.
package actor TransferEnd {
  private nonisolated let executor = QueueExecutor("hanse.transfer")
  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    executor.asUnownedSerialExecutor()
  }

  private let store: Store
  private let other: PublicKey
  private nonisolated let board: Switchboard
  private var mesh: Mesh
  private nonisolated let events: AsyncStream<TransportEvent>
  private var waiting: [ContentID: CheckedContinuation<Void, any Error>] = [:]

  /// An end with a store at `path`. It listens on a port of the system's choice when it is to.
  package init(_ path: String, key: SigningKey, other: PublicKey, listens: Bool) throws {
    store = try Store(home: HomeLayout(path))
    self.other = other
    let lab = LabID(firstKey: key.publicKey)
    mesh = Mesh(
      lab: lab, federation: ContentID(of: Array("transfer".utf8), kind: .charter),
      software: NodeCore.software, generator: SeededGenerator(seed: UInt64(key.seed[0])),
      now: NodeCore.clock())
    let (events, sink) = AsyncStream.makeStream(of: TransportEvent.self)
    self.events = events
    board = try Switchboard(
      key: key, listen: listens ? Endpoint(host: "127.0.0.1", port: 0) : nil,
      membership: { $0 == other ? LabID(firstKey: other) : nil },
      guests: { _, _ in Hanse_V1_JoinAnswer() },
      logger: Logger(label: "hanse") { _ in SwiftLogNoOpLogHandler() },
      events: { sink.yield($0) })
  }

  /// Makes an object of pseudo-random bytes and keeps it, a block at a time. Its id.
  package func make(byteCount: Int, seed: UInt64) throws -> ContentID {
    func blocks(_ body: ([UInt8]) throws -> Void) rethrows {
      var generator = SeededGenerator(seed: seed)
      for start in stride(from: 0, to: byteCount, by: BlockList.blockByteCount) {
        let count = min(BlockList.blockByteCount, byteCount - start)
        var words = (0..<(count + 7) / 8).map { _ in generator.next() }
        try body(words.withUnsafeMutableBytes { Array($0.prefix(count)) })
      }
    }
    var hashes: [ContentID] = []
    blocks { hashes.append(ContentID(of: $0, kind: .block)) }
    let list = try BlockList(
      decoding: UInt64(byteCount).littleEndianBytes + hashes.flatMap(\.bytes))
    try store.beginObject(NodeCore.objectList(list, id: list.id))
    var index = 0
    try blocks { bytes in
      _ = try store.storeBlock(index, of: list.id, bytes)
      index += 1
    }
    tell(.held(list.id))
    return list.id
  }

  /// Begins to listen; where, if it does.
  package func listen() async throws -> String? {
    try await board.start()
    return board.boundAddress?.description
  }

  /// Takes part until the task is cancelled. `address` is where the other end is dialled.
  package nonisolated func run(address: String?) async {
    await meet(address)
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        while !Task.isCancelled {
          try? await Task.sleep(for: .milliseconds(500))
          await self.tell(.tick)
        }
      }
      for await event in events { await self.receive(event) }
      group.cancelAll()
    }
    await board.shutdown()
  }

  private func meet(_ address: String?) {
    let lab = LabID(firstKey: other)
    let member = Member(lab: lab, addresses: address.map { [$0] } ?? [])
    tell(.members([member], logs: []))
    tell(.tick)
  }

  /// Waits until the other end is connected, and no longer than `seconds`; whether it is.
  package func isConnected(within seconds: Int) async -> Bool {
    for _ in 0..<(seconds * 100) where mesh.connectedLabs.isEmpty {
      tell(.tick)
      try? await Task.sleep(for: .milliseconds(10))
    }
    return !mesh.connectedLabs.isEmpty
  }

  /// Fetches an object and returns when it is durable under its name.
  package func fetch(_ object: ContentID) async throws {
    try await withCheckedThrowingContinuation { continuation in
      waiting[object] = continuation
      tell(.want(object, plan: nil, hints: [LabID(firstKey: other)], urgency: 1))
    }
  }

  /// Removes a fetched object, so that it can be fetched again.
  package func forget(_ object: ContentID) throws {
    try store.removeObject(object)
    tell(.dropped(object))
  }

  /// Bytes of blocks that have come, those in vain included.
  package var receivedBytes: Int { mesh.received.blockBytes }

  private func receive(_ event: TransportEvent) {
    switch event {
    case .connected(let id, let lab, let address, let dialledByUs):
      tell(.connected(id, lab: lab, address: address, dialledByUs: dialledByUs))
    case .frame(let id, let frame, let receipt):
      tell(.frame(id, frame))
      receipt.consumed()
    case .disconnected(let id, let reason): tell(.disconnected(id, reason: "\(reason)"))
    case .dialFailed(let lab, let address, let reason):
      tell(.dialFailed(lab, address: address, reason: "\(reason)"))
    }
  }

  private func tell(_ event: GossipEvent) {
    var events = [event]
    var next = 0
    while next < events.count {
      for directive in mesh.handle(events[next], now: NodeCore.clock()) {
        do {
          if let answer = try carryOut(directive) { events.append(answer) }
        } catch {
          for continuation in waiting.values { continuation.resume(throwing: error) }
          waiting = [:]
        }
      }
      next += 1
    }
  }

  private func carryOut(_ directive: Directive) throws -> GossipEvent? {
    switch directive {
    case .dial(let lab, let address): board.connect(to: lab, address: address, key: other)
    case .close(let id, let reason): board.close(id, reason: reason)
    case .send(let id, let frame): board.send(frame, on: id)
    case .storeBlockList(let object, let bytes, let from):
      guard let list = try? BlockList(decoding: Array(bytes)), list.id == object else {
        let index = GossipLimits.blockListIndex
        return .blockRefused(object, index: index, from: from, reason: "another list")
      }
      let status = try store.beginObject(NodeCore.objectList(list, id: object))
      return .blockListStored(object, plan: NodeCore.plan(status))
    case .storeBlock(let object, let index, let bytes, _):
      _ = try bytes.withUnsafeBytes { try store.storeBlock(Int(index), of: object, $0) }
      return .blockStored(object, index: index)
    case .complete(let object):
      waiting[object]?.resume()
      waiting[object] = nil
      return .held(object)
    case .serveBlock(let id, let object, let index): return try serve(id, object, index)
    case .verify(let batch, _, _): return .verified(batch: batch)
    case .sendEntries(let id, let lab, let after, _):
      return .entriesSent(id, lab: lab, through: after)
    case .makeSnapshot(let id, _):
      return .snapshotMade(id, root: nil, object: nil, size: 0)
    case .sendEvidence, .compare, .snapshotNamed, .snapshotStalled, .snapshotNowhere: break
    }
    return nil
  }

  private func serve(
    _ id: ConnectionID, _ object: ContentID, _ index: UInt32
  ) throws -> GossipEvent? {
    var frame = Hanse_V1_Frame()
    frame.block.object = Data(object.bytes)
    frame.block.index = index
    let bytes = try Self.block(store, object, index) ?? []
    frame.block.bytes = Data(bytes)
    let isQueued = board.send(frame, on: id, bulk: true) { [weak self] _ in
      Task { await self?.tell(.blockServed(id, bytes: bytes.count)) }
    }
    return isQueued ? nil : .blockServed(id, bytes: 0)
  }

  private static func block(
    _ store: Store, _ object: ContentID, _ index: UInt32
  ) throws -> [UInt8]? {
    guard index == GossipLimits.blockListIndex else {
      return try store.readBlock(Int(index), of: object)
    }
    guard let status = try store.object(object) else { return nil }
    return status.list.size.littleEndianBytes + status.list.blocks.flatMap(\.bytes)
  }

  /// Closes the store; nothing may be asked of the end after that.
  package func close() throws { try store.close() }
}
