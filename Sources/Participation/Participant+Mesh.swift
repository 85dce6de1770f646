import Deltas
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Records

extension Participant {
  /// Notes what the mesh is to be told.
  mutating func tell(_ event: GossipEvent) { events.append(event) }

  /// Tells the mesh and does what it asks for, until it asks for nothing more.
  mutating func drain() {
    var next = 0
    while next < events.count {
      for directive in mesh.handle(events[next], now: moment.now) { perform(directive) }
      next += 1
    }
    events.removeAll(keepingCapacity: true)
  }

  /// Takes in what the network reports.
  mutating func receive(_ event: ParticipantEvent) {
    switch event {
    case .connected(let id, let lab, let address, let dialledByUs):
      out.append(.news(.connected(lab, address: address)))
      tell(.connected(id, lab: lab, address: address, dialledByUs: dialledByUs))
    case .disconnected(let id, let reason):
      out.append(.news(.disconnected(id, reason: reason)))
      tell(.disconnected(id, reason: reason))
    case .dialFailed(let lab, let address, let reason):
      out.append(.news(.unreachable(lab, reason: reason)))
      tell(.dialFailed(lab, address: address, reason: reason))
    case .frame(let id, let frame): tell(.frame(id, frame))
    default: break
    }
  }

  private mutating func perform(_ directive: Directive) {
    switch directive {
    case .dial(let lab, let address):
      guard let key = keys[lab] else {
        return tell(.dialFailed(lab, address: address, reason: "its key is not known"))
      }
      out.append(.dial(lab, key: key, address: address))
    case .close(let connection, let reason): out.append(.close(connection, reason: reason))
    case .send(let connection, let frame): out.append(.send(connection, frame))
    case .sendEntries(let connection, let lab, let after, let limit):
      sendEntries(connection, lab, after, limit)
    case .sendEvidence(let connection, let lab, _): sendEvidence(connection, lab)
    case .compare(let connection, let head): compare(connection, head)
    case .verify(let batch, let from, let entries):
      verify(batch: batch, from: from, entries: entries)
    case .storeBlockList(let object, let bytes, let from):
      beginObject(object, Array(bytes), from)
    case .storeBlock(let object, let index, let bytes, let from):
      out.append(.storeBlock(object, index: index, bytes: bytes, from: from))
    case .complete(let object) where object == footing.search?.object: snapshotIsWhole(object)
    case .complete(let object):
      wantedObjects.remove(object)
      guard announced[object] != nil else {
        // A snapshot that is looked for no longer.
        out.append(.forgetObject(object))
        return
      }
      heldObjects.insert(object)
      tell(.held(object))
    case .serveBlock(let connection, let object, let index):
      out.append(.serveBlock(connection, object: object, index: index))
    case .makeSnapshot(let connection, let roots): makeSnapshot(connection, roots)
    case .snapshotNamed(let root, let object, let labs): snapshotNamed(root, object, by: labs)
    case .snapshotStalled(let object): snapshotStalled(object)
    case .snapshotNowhere: snapshotNowhere()
    }
  }

  // MARK: entries

  private mutating func sendEntries(
    _ connection: ConnectionID, _ lab: LabID, _ after: UInt64, _ limit: Int
  ) {
    var frame = Hanse_V1_Frame()
    frame.entries = Hanse_V1_Entries()
    var bytes = 0
    var through = after
    for entry in logbook.log(of: lab).dropFirst(Int(clamping: after)).prefix(limit) {
      bytes += entry.body.count + 128
      guard bytes < Limits.frameBytesMax - 1024 else { break }
      frame.entries.entries.append(entry.signed)
      through = entry.sequence
    }
    out.append(.send(connection, frame))
    tell(.entriesSent(connection, lab: lab, through: through))
  }

  private mutating func sendEvidence(_ connection: ConnectionID, _ lab: LabID) {
    guard let fork = logbook.forks[lab], let held = logbook.entry(fork.held) else { return }
    var frame = Hanse_V1_Frame()
    frame.entries.entries = [held.signed, fork.other.signed]
    out.append(.send(connection, frame))
  }

  private mutating func compare(_ connection: ConnectionID, _ head: Head) {
    let entries = logbook.log(of: head.lab)
    guard head.sequence >= 1, head.sequence <= UInt64(entries.count) else { return }
    let own = entries[Int(head.sequence) - 1]
    guard own.id != head.entry else { return }
    var frame = Hanse_V1_Frame()
    frame.entries.entries = [own.signed]
    out.append(.send(connection, frame))
  }

  // MARK: objects

  private mutating func beginObject(_ object: ContentID, _ bytes: [UInt8], _ from: ConnectionID) {
    do {
      let list = try BlockList(decoding: bytes)
      guard list.id == object else {
        throw Refusal(.wrongUse, "it hashes to \(list.id.short)", hint: "")
      }
      // Who sent the right list is not to blame for an announcement of another size, nor for one
      // that counts no more, nor is a snapshot that is looked for no longer.
      let size = UInt64(list.byteCount)
      let isAnnounced =
        object == footing.search?.object
        ? size == charter.snapshotByteCount
        : announcers(of: object).contains { $0.message.payload.size == size }
      guard isAnnounced else { return unwant(object) }
      out.append(.beginObject(object, list))
    } catch {
      tell(
        .blockRefused(
          object, index: GossipLimits.blockListIndex, from: from, reason: "\(error)"))
    }
  }

  /// Whether an object of this size was announced here, may still be judged or folded, and is not
  /// complete.
  package func mayTake(_ object: ContentID, bytes: Int) -> Bool {
    guard !heldObjects.contains(object) else { return false }
    return announcers(of: object).contains {
      UInt64(bytes) == $0.message.payload.size && ($0.status == .pending || $0.status == .admitted)
    }
  }

  /// Takes in an object that came in a file.
  mutating func takeImported(_ object: ContentID) {
    guard announced[object] != nil else { return }
    heldObjects.insert(object)
    unwant(object)
    tell(.held(object))
  }

  /// The contributions that count and announced an object.
  func announcers(of object: ContentID) -> [ContributionState] {
    (announced[object] ?? []).compactMap { logbook.contribution($0) }
  }

  /// Notes that a contribution announced an object.
  mutating func note(_ object: ContentID, announcedBy contribution: ContentID) {
    if announced[object]?.contains(contribution) != true {
      announced[object, default: []].append(contribution)
    }
  }

  /// Notes what the logs announce, what counts no more included: it may count again.
  mutating func noteWhatWasAnnounced() {
    for lab in logbook.labs {
      for entry in logbook.log(of: lab) {
        guard case .contribution(let message)? = entry.message.payload,
          let object = ContentID(bytes: message.payload.blockList)
        else { continue }
        note(object, announcedBy: entry.id)
      }
    }
  }

  mutating func unwant(_ object: ContentID) {
    if wantedObjects.remove(object) != nil { tell(.unwant(object)) }
  }

  /// Takes in what storage did with objects.
  mutating func takeObject(_ event: ParticipantEvent) {
    switch event {
    case .objectFound(let object, let plan) where object == footing.search?.object:
      tell(.want(object, plan: plan, hints: footing.search?.labs ?? [], urgency: .max))
    case .objectFound(let object, let plan):
      guard wantedObjects.contains(object), let state = announcers(of: object).first else { return }
      tell(.want(object, plan: plan, hints: [state.author], urgency: UInt64(state.round)))
    case .objectBegun(let object, let plan): tell(.blockListStored(object, plan: plan))
    case .blockStored(let object, let index): tell(.blockStored(object, index: index))
    case .blockRefused(let object, let index, let from, let reason):
      tell(.blockRefused(object, index: index, from: from, reason: reason))
    case .blockNotStored(let object, let index): tell(.blockNotStored(object, index: index))
    case .blockServed(let connection, let bytes): tell(.blockServed(connection, bytes: bytes))
    case .payloadMissing(let contribution): payloadIsMissing(contribution)
    case .snapshotMade(let connection, let root, let object):
      gaveSnapshot(connection, root, object)
    case .snapshotChecked(let object, let isGood): snapshotChecked(object, isGood: isGood)
    case .snapshotDamaged(let object):
      guard object == footing.search?.object else { return }
      out.append(.findObject(object))
    case .objectDamaged(let object):
      lose(object)
      for state in announcers(of: object) { want(state) }
    default: break
    }
  }
}
