import Deltas
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Logging
import Participation
import Records
import Storage
import SwiftProtobuf
import Transport

extension NodeCore {
  /// Tells the participant what happened and does what it directs, in order.
  ///
  /// What doing so brings up is told afterwards; when something cannot be made durable, nothing
  /// behind it happens and the node ends.
  func handle(_ event: ParticipantEvent) {
    var events = [event]
    var next = 0
    while next < events.count, failure == nil {
      perform(participant.handle(events[next], at: Self.moment), &events)
      next += 1
    }
    wake()
  }

  /// Does what an answer to people brought up.
  func perform(_ directives: [ParticipantDirective]) {
    var events: [ParticipantEvent] = []
    perform(directives, &events)
    for event in events { handle(event) }
    wake()
  }

  /// Takes in what the network reports.
  func receive(_ event: TransportEvent) {
    switch event {
    case .connected(let id, let lab, let address, let dialledByUs):
      attempts.connected(id, lab, address: dialledByUs ? address : "")
      handle(.connected(id, lab: lab, address: address, dialledByUs: dialledByUs))
    case .frame(let id, let frame, let receipt):
      handle(.frame(id, frame))
      receipt.consumed()
    case .disconnected(let id, let reason):
      attempts.disconnected(id, reason, at: Self.clock())
      handle(.disconnected(id, reason: "\(reason)"))
    case .dialFailed(let lab, let address, let reason):
      attempts.failed(lab, address: address, reason, at: Self.clock())
      handle(.dialFailed(lab, address: address, reason: "\(reason)"))
    }
  }

  private func perform(_ directives: [ParticipantDirective], _ events: inout [ParticipantEvent]) {
    for directive in directives {
      guard failure == nil else { return }
      do {
        if let answer = try perform(directive) { events.append(answer) }
      } catch {
        fail(error)
      }
    }
  }

  /// Does one thing; what there is to say about it.
  private func perform(_ directive: ParticipantDirective) throws -> ParticipantEvent? {
    switch directive {
    case .persist(let changes): try store.commit(changes.map(Self.stored))
    case .dial(let lab, let key, let address):
      board?.connect(to: lab, address: address, key: key)
    case .close(let connection, let reason): board?.close(connection, reason: reason)
    case .send(let connection, let frame): board?.send(frame, on: connection, bulk: false)
    case .keys(let order): try use(order)
    case .members(let members):
      membership.replace(
        Dictionary(members.map { ($0.key, $0.lab) }, uniquingKeysWith: { first, _ in first }))
      board?.recheckMembers()
    case .beginObject(let object, let list): return begin(object, list)
    case .findObject(let object):
      let status = try? store.object(object)
      return .objectFound(object, plan: status.map(Self.plan))
    case .storeBlock(let object, let index, let bytes, let from):
      return storeBlock(object, index, bytes, from)
    case .serveBlock(let connection, let object, let index):
      return serve(connection, object, index)
    case .forgetObject(let object): try store.removeObject(object)
    case .makeSnapshot(let connection, let states): makeSnapshot(connection, states)
    case .checkSnapshot(let object, let state): checkSnapshot(object, state)
    case .spareSnapshots(let chains): folding.spare(chains)
    case .keepFeedback(let objects): try pruneFeedback(keeping: objects)
    case .work(let step): offered = step
    case .news(let news): report(news)
    }
    return nil
  }

  private static func stored(_ change: Participation.Change) throws -> Storage.Change {
    switch change {
    case .append(let entry): .append(StoredEntry(entry))
    case .fork(let entry): .fork(StoredEntry(entry))
    case .head(let merge): .value(name: OwnValue.head, bytes: try merge.serializedBytes())
    case .feedback(let object): .value(name: OwnValue.feedback, bytes: object.bytes)
    case .foundations(let message):
      .value(name: OwnValue.foundations, bytes: try message.serializedBytes())
    }
  }

  // MARK: objects

  private func begin(_ object: ContentID, _ list: BlockList) -> ParticipantEvent {
    do {
      let status = try store.beginObject(Self.objectList(list, id: object))
      return .objectBegun(object, plan: Self.plan(status))
    } catch {
      log.error("\(error)")
      return .blockNotStored(object, index: GossipLimits.blockListIndex)
    }
  }

  static func objectList(_ list: BlockList, id: ContentID) -> ObjectList {
    ObjectList(
      id: id, size: UInt64(list.byteCount), blockSize: BlockList.blockByteCount,
      blocks: list.hashes)
  }

  static func plan(_ status: ObjectStatus) -> BlockPlan {
    BlockPlan(size: status.list.size, missing: status.missing.map { UInt32($0) })
  }

  private func storeBlock(
    _ object: ContentID, _ index: UInt32, _ bytes: Data, _ from: ConnectionID
  ) -> ParticipantEvent {
    do {
      _ = try bytes.withUnsafeBytes { try store.storeBlock(Int(index), of: object, $0) }
      return .blockStored(object, index: index)
    } catch StorageError.wrongBlock(_, _, let reason) {
      log.warning(
        "a block of \(object.short) is damaged: \(reason)", metadata: ["index": "\(index)"])
      return .blockRefused(object, index: index, from: from, reason: reason)
    } catch {
      log.error("\(error)")
      return .blockNotStored(object, index: index)
    }
  }

  private func serve(
    _ connection: ConnectionID, _ object: ContentID, _ index: UInt32
  ) -> ParticipantEvent? {
    var frame = Hanse_V1_Frame()
    frame.block.object = Data(object.bytes)
    frame.block.index = index
    do {
      if let bytes = try block(object, index) { frame.block.bytes = Data(bytes) }
    } catch {
      // Damage on disk is never served: the object is fetched again.
      log.error("\(oneLine(error))")
      if mend(object) { Task { self.handle(.objectDamaged(object)) } }
    }
    let count = frame.block.bytes.count
    let isQueued = board?.send(frame, on: connection, bulk: true) { [weak self] _ in
      Task { await self?.handle(.blockServed(connection, bytes: count)) }
    }
    return isQueued == true ? nil : .blockServed(connection, bytes: 0)
  }

  /// Looks at every payload again and has the damaged ones fetched anew; whether there were any.
  func mendObjects() -> Bool {
    let mended = participant.heldObjects.sorted().filter(mend)
    for object in mended { handle(.objectDamaged(object)) }
    return !mended.isEmpty
  }

  private func mend(_ object: ContentID) -> Bool {
    do {
      guard try store.mendObject(object) else { return false }
    } catch {
      log.error("\(error)")
      return false
    }
    let line = "the payload \(object.short) was damaged on disk and is fetched again"
    log.warning("\(line)")
    attention.append(line)
    return true
  }

  private func block(_ object: ContentID, _ index: UInt32) throws -> [UInt8]? {
    guard index == GossipLimits.blockListIndex else {
      return try store.readBlock(Int(index), of: object)
    }
    guard let status = try store.object(object) else { return nil }
    // The canonical list, from what the store keeps of it: Protocol/Delta.md, "Block list".
    return status.list.size.littleEndianBytes + status.list.blocks.flatMap(\.bytes)
  }
}
