import Deltas
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Logging
import Records
import Storage
import Transport

extension NodeCore {
  /// Tells the mesh and does what it asks for.
  ///
  /// What doing so brings up is told afterwards, in order: the mesh is never entered twice.
  func tell(_ event: GossipEvent) {
    events.append(event)
    guard !isTelling else { return }
    isTelling = true
    defer { isTelling = false }
    var next = 0
    while next < events.count {
      for directive in mesh.handle(events[next], now: Self.clock()) { perform(directive) }
      next += 1
    }
    events.removeAll(keepingCapacity: true)
  }

  /// Time has passed.
  func tick() {
    tell(.tick)
    react()
    wake()
  }

  /// Takes in what the network reports.
  func receive(_ event: TransportEvent) {
    switch event {
    case .connected(let id, let lab, let address, let dialledByUs):
      log.info("connected to \(name(of: lab))", metadata: ["address": "\(printable(address))"])
      tell(.connected(id, lab: lab, address: address, dialledByUs: dialledByUs))
    case .frame(let id, let frame, let receipt):
      tell(.frame(id, frame))
      receipt.consumed()
    case .disconnected(let id, let reason):
      log.info("disconnected: \(reason)", metadata: ["connection": "\(id)"])
      tell(.disconnected(id, reason: "\(reason)"))
    case .dialFailed(let lab, let address, let reason):
      log.debug("no connection to \(name(of: lab)): \(reason)")
      tell(.dialFailed(lab, address: address, reason: "\(reason)"))
    }
    react()
  }

  private func perform(_ directive: Directive) {
    guard let board else { return }
    switch directive {
    case .dial(let lab, let address):
      guard let key = membership.key(of: lab) else {
        tell(.dialFailed(lab, address: address, reason: "its key is not known"))
        return
      }
      board.connect(to: lab, address: address, key: key)
    case .close(let connection, let reason): board.close(connection, reason: reason)
    case .send(let connection, let frame): board.send(frame, on: connection, bulk: false)
    case .sendEntries(let connection, let lab, let after, let limit):
      sendEntries(connection, lab, after, limit)
    case .sendEvidence(let connection, let lab, let sequence):
      sendEvidence(connection, lab, sequence)
    case .compare(let connection, let head): compare(connection, head)
    case .verify(let batch, let from, let entries):
      verify(batch: batch, from: from, entries: entries)
    case .storeBlockList(let object, let bytes, let from):
      storeBlockList(object, Array(bytes), from)
    case .storeBlock(let object, let index, let bytes, let from):
      storeBlock(object, index, Array(bytes), from)
    case .complete(let object): complete(object)
    case .serveBlock(let connection, let object, let index): serve(connection, object, index)
    }
  }

  // MARK: entries

  private func sendEntries(
    _ connection: ConnectionID, _ lab: LabID, _ after: UInt64, _ limit: Int
  ) {
    var frame = Hanse_V1_Frame()
    var bytes = 0
    var through = after
    for entry in logbook.log(of: lab).dropFirst(Int(clamping: after)).prefix(limit) {
      bytes += entry.body.count + 128
      guard bytes < Limits.frameBytesMax - 1024 else { break }
      frame.entries.entries.append(entry.signed)
      through = entry.sequence
    }
    if frame.entries.entries.isEmpty { frame.entries = Hanse_V1_Entries() }
    board?.send(frame, on: connection, bulk: false)
    tell(.entriesSent(connection, lab: lab, through: through))
  }

  private func sendEvidence(_ connection: ConnectionID, _ lab: LabID, _ sequence: UInt64) {
    guard let fork = logbook.forks[lab], let held = logbook.entry(fork.held) else { return }
    var frame = Hanse_V1_Frame()
    frame.entries.entries = [held.signed, fork.other.signed]
    board?.send(frame, on: connection, bulk: false)
  }

  private func compare(_ connection: ConnectionID, _ head: Head) {
    let entries = logbook.log(of: head.lab)
    guard head.sequence >= 1, head.sequence <= UInt64(entries.count) else { return }
    let own = entries[Int(head.sequence) - 1]
    guard own.id != head.entry else { return }
    var frame = Hanse_V1_Frame()
    frame.entries.entries = [own.signed]
    board?.send(frame, on: connection, bulk: false)
  }

  // MARK: objects

  private func storeBlockList(_ object: ContentID, _ bytes: [UInt8], _ from: ConnectionID) {
    func refuse(_ reason: String) {
      tell(
        .blockRefused(
          object, index: GossipLimits.blockListIndex, from: from, reason: reason))
    }
    guard let contribution = announced[object], let state = logbook.contribution(contribution)
    else {
      return refuse("nobody announced it")
    }
    let list: BlockList
    do { list = try BlockList(decoding: bytes) } catch { return refuse("\(error)") }
    guard list.id == object else { return refuse("it hashes to \(list.id.short)") }
    guard UInt64(list.byteCount) == state.message.payload.size else {
      return refuse("\(list.byteCount) bytes instead of \(state.message.payload.size)")
    }
    do {
      let status = try store.beginObject(Self.objectList(list, id: object))
      tell(.blockListStored(object, plan: Self.plan(status)))
    } catch {
      log.error("\(error)")
      tell(.blockNotStored(object, index: GossipLimits.blockListIndex))
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
    _ object: ContentID, _ index: UInt32, _ bytes: [UInt8], _ from: ConnectionID
  ) {
    do {
      _ = try store.storeBlock(Int(index), of: object, bytes)
      tell(.blockStored(object, index: index))
    } catch StorageError.wrongBlock(_, _, let reason) {
      log.warning(
        "a block of \(object.short) is damaged: \(reason)", metadata: ["index": "\(index)"])
      tell(.blockRefused(object, index: index, from: from, reason: reason))
    } catch {
      log.error("\(error)")
      tell(.blockNotStored(object, index: index))
    }
  }

  private func complete(_ object: ContentID) {
    heldObjects.insert(object)
    wantedObjects.remove(object)
    tell(.held(object))
    react()
    wake()
  }

  private func serve(_ connection: ConnectionID, _ object: ContentID, _ index: UInt32) {
    var frame = Hanse_V1_Frame()
    frame.block.object = Data(object.bytes)
    frame.block.index = index
    do {
      if let bytes = try block(object, index) { frame.block.bytes = Data(bytes) }
    } catch {
      // Damage on disk is never served: the object is fetched again.
      log.error("\(oneLine(error))")
      _ = mend(object)
    }
    let isQueued = board?.send(frame, on: connection, bulk: true) { [weak self] _ in
      Task { await self?.tell(.blockServed(connection)) }
    }
    if isQueued != true { tell(.blockServed(connection)) }
  }

  /// Looks at every payload again and has the damaged ones fetched anew; whether there were any.
  func mendObjects() -> Bool {
    let mended = heldObjects.sorted().filter(mend)
    react()
    return !mended.isEmpty
  }

  private func mend(_ object: ContentID) -> Bool {
    do {
      guard try store.mendObject(object) else { return false }
    } catch {
      log.error("\(error)")
      return false
    }
    heldObjects.remove(object)
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
