import Determinism
import FoundationEssentials
import Identities
import Records

/// Objects: which are wanted, who has them, and how far each has come.
extension Mesh {
  mutating func handleObjects(_ event: GossipEvent, _ now: Instant) {
    switch event {
    case .want(let object, let plan, let hints, let urgency):
      want(object, plan, hints, urgency)
    case .unwant(let object): forget(object)
    case .held(let object): announceHeld(object)
    case .dropped(let object): held.remove(object)
    case .blockListStored(let object, let plan): listStored(object, plan)
    case .blockStored(let object, let index): blockStored(object, index)
    case .blockRefused(let object, let index, let from, let reason):
      blockRefused(object, index, from, reason, now)
    case .blockNotStored(let object, let index): blockNotStored(object, index, now)
    case .blockServed(let id, let bytes): blockServed(id, bytes, now)
    default: break
    }
  }

  // MARK: - Wanting

  private mutating func want(
    _ object: ContentID, _ plan: BlockPlan?, _ hints: [LabID], _ urgency: UInt64
  ) {
    guard fetches[object] == nil else {
      let highest = max(fetches[object]?.urgency ?? 0, urgency)
      fetches[object]?.urgency = highest
      for hint in hints where fetches[object]?.hints.contains(hint) == false {
        fetches[object]?.hints.append(hint)
      }
      noteChange(of: object)
      return orderFetches()
    }
    guard fetches.count < GossipLimits.wantedObjects else { return }
    var fetch = Shared(
      ObjectFetch(object: object, plan: plan, hints: hints, urgency: urgency))
    fetch.place = generator.next()
    fetches[object] = fetch
    orderFetches()
    if fetch.isComplete { finish(object) }
    noteChange(of: object)
    objectsChanged = true
  }

  mutating func orderFetches() {
    // The newest round first; within it what fewest of those connected hold.
    let rows = fetches.values.map { fetch in
      (urgency: fetch.urgency, holders: holders(of: fetch), object: fetch.object)
    }
    fetchOrder = rows.sorted { left, right in
      if left.urgency != right.urgency { return left.urgency > right.urgency }
      if left.holders != right.holders { return left.holders < right.holders }
      return left.object < right.object
    }.map(\.object)
  }

  private func holders(of fetch: Shared<ObjectFetch>) -> Int {
    linkedLabs.count { isHolder($0, of: fetch) && route(to: $0) != nil }
  }

  mutating func forget(_ object: ContentID) {
    guard let fetch = fetches[object] else { return }
    for lab in peers.keys where peers[lab]?.parts.contains(object) == true {
      peers[lab]?.parts[object] = nil
    }
    for request in fetch.inFlight.values { release(request.lab) }
    for lab in fetch.storing.values { release(lab) }
    fetches[object] = nil
    fetchOrder.removeAll { $0 == object }
    objectsChanged = true
  }

  private mutating func finish(_ object: ContentID) {
    forget(object)
    out.append(.complete(object))
  }

  mutating func release(_ lab: LabID) {
    // Where there was room, there is no more that may be asked for than before.
    if blocksInFlight >= GossipLimits.blocksInFlight { allObjectsChanged = true }
    blocksInFlight = max(0, blocksInFlight - 1)
    guard let peer = peers[lab] else { return }
    if peer.blocksOut >= rope(of: peer) { allObjectsChanged = true }
    peers[lab]?.blocksOut = max(0, peer.blocksOut - 1)
  }

  /// Notes that it may have become possible to ask for something of an object.
  mutating func noteChange(of object: ContentID) {
    guard !allObjectsChanged, !changedObjects.contains(object) else { return }
    changedObjects.append(object)
    if changedObjects.count > GossipLimits.windowLast { allObjectsChanged = true }
  }

  // MARK: - Who has what

  private mutating func announceHeld(_ object: ContentID) {
    forget(object)
    guard held.insert(object) else { return }
    var have = Hanse_V1_Have()
    have.objects = [Data(object.bytes)]
    for peer in linked {
      guard let id = route(to: peer) else { continue }
      send(.have(have), on: id)
    }
  }

  mutating func receivedHave(_ have: Hanse_V1_Have, on id: ConnectionID) {
    guard let lab = links[id]?.lab else { return }
    for bytes in have.objects.prefix(GossipLimits.objectsPerHave) {
      guard let object = ContentID(bytes: bytes) else { continue }
      peers[lab]?.holds.insert(object)
      guard fetches[object] != nil else { continue }
      fetches[object]?.rested[lab] = nil
      noteChange(of: object)
      objectsChanged = true
    }
    for part in have.parts.prefix(GossipLimits.partsPerHave) { receivedPart(part, of: lab) }
  }

  // MARK: - What storage said

  private mutating func listStored(_ object: ContentID, _ plan: BlockPlan) {
    guard var fetch = fetches[object], fetch.plan == nil else { return }
    for lab in fetch.storing.values {
      // Nobody had announced it, and still this one had it: the blocks are asked of it too.
      if !fetch.hints.contains(lab) { fetch.hints.append(lab) }
      release(lab)
    }
    for request in fetch.inFlight.values { release(request.lab) }
    fetch.storing.removeAll()
    fetch.inFlight.removeAll()
    guard fetch.value.adopt(plan) else { return forget(object) }
    fetches[object] = fetch
    if fetch.isComplete { finish(object) }
    noteChange(of: object)
    objectsChanged = true
  }

  private mutating func blockStored(_ object: ContentID, _ index: UInt32) {
    guard let lab = fetches[object]?.storing[index] else { return }
    fetches[object]?.storing[index] = nil
    release(lab)
    if let window = peers[lab]?.window {
      peers[lab]?.window = min(window + 1, GossipLimits.windowLast)
    }
    fetches[object]?.stored += 1
    fetches[object]?.failures = 0
    noteChange(of: object)
    objectsChanged = true
    if fetches[object]?.isComplete == true { finish(object) }
  }

  private mutating func blockRefused(
    _ object: ContentID, _ index: UInt32, _ from: ConnectionID, _ reason: String, _ now: Instant
  ) {
    putBack(object, index)
    let bytes = fetches[object]?.plan?.bytes(of: index) ?? 0
    condemn(object, index, from, reason, bytes, now)
  }

  private mutating func blockNotStored(_ object: ContentID, _ index: UInt32, _ now: Instant) {
    putBack(object, index)
    guard let failures = fetches[object]?.failures else { return }
    fetches[object]?.failures = failures + 1
    let wait = min(GossipLimits.dialLastSeconds, Double(1 << min(failures, 6)))
    let until = now.adding(seconds: wait)
    fetches[object]?.pausedUntil = until
    noteWait(until: until)
  }

  private mutating func putBack(_ object: ContentID, _ index: UInt32) {
    guard let lab = fetches[object]?.storing[index] else { return }
    fetches[object]?.storing[index] = nil
    if index != GossipLimits.blockListIndex { fetches[object]?.open.insert(index) }
    release(lab)
    noteChange(of: object)
    objectsChanged = true
  }
}
