import Determinism
import FoundationEssentials
import Identities
import Records

/// Blocks asked of peers: of whom, how many at once, and what is done with the answers.
extension Mesh {
  /// Fills every peer's window with requests, the most urgent object first.
  ///
  /// What could not be asked for when this was last done, and of which nothing has changed since,
  /// is not looked at again.
  mutating func requestBlocks(_ now: Instant) {
    let isWaitOver = waitEnds.map { $0 <= now } ?? false
    let isAll = allObjectsChanged || isWaitOver || pace != Pace()
    guard isAll || !changedObjects.isEmpty,
      blocksInFlight < GossipLimits.blocksInFlight, !fetchOrder.isEmpty,
      linked.contains(where: { route(to: $0) != nil && hasRoom($0, now) })
    else { return }
    if isWaitOver { findWait(after: now) }
    for object in fetchOrder where isAll || changedObjects.contains(object) {
      guard blocksInFlight < GossipLimits.blocksInFlight else { return }
      if let until = fetches[object]?.pausedUntil, now < until { continue }
      guard fetches[object]?.plan != nil else {
        requestList(object, now)
        continue
      }
      requestBlocks(of: object, now)
    }
  }

  private mutating func requestBlocks(of object: ContentID, _ now: Instant) {
    guard let fetch = fetches[object], !fetch.open.isEmpty,
      mayAskStrangers(fetch, now) || anyRoom(for: object, now)
    else { return }
    for block in openBlocks(of: fetch) {
      guard blocksInFlight < GossipLimits.blocksInFlight else { return }
      if let id = choose(for: object, block, now) { request(object, block, on: id, now) }
      guard anyRoom(for: object, now) else { return }
    }
  }

  /// Whether labs may be asked that are not known to hold an object: nobody is, and an announcement
  /// may have been missed.
  private func mayAskStrangers(_ fetch: Shared<ObjectFetch>, _ now: Instant) -> Bool {
    guard fetch.inFlight.isEmpty else { return false }
    guard isSparse else { return true }
    return fetch.lonelySince.map { now.seconds(since: $0) >= GossipLimits.lonelySeconds } ?? false
  }

  private mutating func requestList(_ object: ContentID, _ now: Instant) {
    let index = GossipLimits.blockListIndex
    guard let fetch = fetches[object], fetch.inFlight.isEmpty, fetch.storing.isEmpty,
      let id = choose(for: object, index, now)
    else { return }
    request(object, index, on: id, now)
  }

  private mutating func request(
    _ object: ContentID, _ index: UInt32, on id: ConnectionID, _ now: Instant
  ) {
    guard let lab = links[id]?.lab else { return }
    fetches[object]?.open.remove(index)
    blocksInFlight += 1
    peers[lab]?.blocksOut += 1
    let bytes = fetches[object]?.plan?.bytes(of: index) ?? 0
    download.take(bytes)
    peers[lab]?.download.take(bytes)
    let request = BlockRequest(link: id, lab: lab, since: now, deadline: deadline(of: lab, now))
    fetches[object]?.inFlight[index] = request
    links[id]?.asked.insert(BlockKey(object: object, index: index))
    var want = Hanse_V1_WantObject()
    want.object = Data(object.bytes)
    want.index = index
    send(.wantObject(want), on: id)
  }

  /// When a peer that sends slowly, but not impossibly so, has sent all that it was asked for.
  private func deadline(of lab: LabID, _ now: Instant) -> Instant {
    let bytes = Double((peers[lab]?.blocksOut ?? 1) * GossipLimits.blockBytes)
    return now.adding(
      seconds: GossipLimits.blockSeconds + bytes / GossipLimits.slowestBytesPerSecond)
  }

  /// The peer to ask for a block: of those that have the object the least busy one; while nobody
  /// is known to have it, one after the other, since an announcement may have been missed.
  private mutating func choose(
    for object: ContentID, _ index: UInt32, _ now: Instant, besides: LabID? = nil
  ) -> ConnectionID? {
    guard let fetch = fetches[object], download.isOpen(at: pace.bytesPerSecond, now) else {
      return nil
    }
    var best: [ConnectionID] = []
    var load = Int.max
    var strangers: [ConnectionID] = []
    var holderExists = false
    for lab in linked where lab != besides {
      guard let id = route(to: lab), fetch.allows(lab, index, now: now) else { continue }
      let has = has(lab, index, of: fetch)
      holderExists = holderExists || has
      guard hasRoom(lab, now),
        links[id]?.asked.contains(BlockKey(object: object, index: index)) != true
      else { continue }
      guard has else {
        strangers.append(id)
        continue
      }
      let blocks = peers[lab]?.blocksOut ?? 0
      if blocks < load { (best, load) = ([], blocks) }
      if blocks == load { best.append(id) }
    }
    if !best.isEmpty { return best.randomElement(using: &generator) }
    guard !holderExists, mayAskStrangers(fetch, now) else { return nil }
    return strangers.randomElement(using: &generator)
  }

  func isHolder(_ lab: LabID, of fetch: Shared<ObjectFetch>) -> Bool {
    fetch.hints.contains(lab) || peers[lab]?.holds.contains(fetch.object) == true
  }

  private mutating func hasRoom(_ lab: LabID, _ now: Instant) -> Bool {
    guard let peer = peers[lab], peer.blocksOut < rope(of: peer) else { return false }
    guard pace.bytesPerSecondPerPeer != nil else { return true }
    return peers[lab]?.download.isOpen(at: pace.bytesPerSecondPerPeer, now) == true
  }

  /// Blocks that may be asked of a peer at once: who has sent rubbish gets one.
  func rope(of peer: Shared<Peer>) -> Int { peer.faults[.badBlock] == nil ? peer.window : 1 }

  // MARK: - What waiting alone makes possible

  mutating func noteWait(until time: Instant) { waitEnds = min(waitEnds ?? time, time) }

  /// Finds when waiting next makes something possible.
  private mutating func findWait(after now: Instant) {
    waitEnds = nil
    for fetch in fetches.values {
      if let until = fetch.pausedUntil, now < until { noteWait(until: until) }
      for until in fetch.rested.values where now < until { noteWait(until: until) }
      if let since = fetch.lonelySince {
        let until = since.adding(seconds: GossipLimits.lonelySeconds)
        if now < until { noteWait(until: until) }
      }
    }
  }

  private mutating func anyRoom(for object: ContentID, _ now: Instant) -> Bool {
    guard let fetch = fetches[object], download.isOpen(at: pace.bytesPerSecond, now) else {
      return false
    }
    for lab in linked {
      guard isHolder(lab, of: fetch) || peers[lab]?.parts.contains(object) == true,
        route(to: lab) != nil, !(fetch.rested[lab].map { now < $0 } ?? false)
      else { continue }
      if hasRoom(lab, now) { return true }
    }
    return false
  }

  // MARK: - Answers

  mutating func receivedBlock(_ block: Hanse_V1_Block, on id: ConnectionID, _ now: Instant) {
    guard let lab = links[id]?.lab else { return }
    count(block.bytes.count, \.blockBytes, from: lab)
    guard let object = ContentID(bytes: block.object),
      links[id]?.asked.remove(BlockKey(object: object, index: block.index)) != nil
    else {
      count(block.bytes.count, \.wastedBlockBytes, from: lab)
      return fault(.unsolicited, on: id, "a block that was not asked for", now)
    }
    noteChange(of: object)
    guard let fetch = fetches[object] else {
      return count(block.bytes.count, \.wastedBlockBytes, from: lab)
    }
    let isCurrent = fetch.inFlight[block.index]?.link == id
    if block.bytes.isEmpty {
      return notHeld(object, block.index, lab, isCurrent: isCurrent, on: id, now)
    }
    let isList = block.index == GossipLimits.blockListIndex
    guard isCurrent || isStillMissing(fetch, block.index) else {
      return count(block.bytes.count, \.wastedBlockBytes, from: lab)
    }
    if !isList, let plan = fetch.plan, plan.bytes(of: block.index) != block.bytes.count {
      if isCurrent { reopen(object, block.index) }
      return condemn(object, block.index, id, "a block of a wrong size", block.bytes.count, now)
    }
    if isCurrent, let since = fetch.inFlight[block.index]?.since {
      let seconds = now.seconds(since: since)
      usualSeconds += (seconds - usualSeconds) / GossipLimits.usualBlocks
    }
    takeBlock(block, of: object, from: id, lab, isCurrent: isCurrent, isList: isList)
  }

  /// Hands a block to the shell. One that was given up on and came late is taken all the same.
  private mutating func takeBlock(
    _ block: Hanse_V1_Block, of object: ContentID, from id: ConnectionID, _ lab: LabID,
    isCurrent: Bool, isList: Bool
  ) {
    if isCurrent {
      fetches[object]?.inFlight[block.index] = nil
    } else {
      // The request that was moved to another peer is given up; its answer will be in vain.
      if let other = fetches[object]?.inFlight[block.index] { release(other.lab) }
      fetches[object]?.inFlight[block.index] = nil
      fetches[object]?.open.remove(block.index)
      blocksInFlight += 1
      peers[lab]?.blocksOut += 1
    }
    fetches[object]?.storing[block.index] = lab
    out.append(
      isList
        ? .storeBlockList(object, bytes: block.bytes, from: id)
        : .storeBlock(object, index: block.index, bytes: block.bytes, from: id))
  }

  private func isStillMissing(_ fetch: Shared<ObjectFetch>, _ index: UInt32) -> Bool {
    if index == GossipLimits.blockListIndex {
      return fetch.plan == nil && fetch.storing.isEmpty
    }
    return fetch.open.contains(index) || fetch.inFlight.contains(index)
  }

  private mutating func notHeld(
    _ object: ContentID, _ index: UInt32, _ lab: LabID, isCurrent: Bool, on id: ConnectionID,
    _ now: Instant
  ) {
    if isCurrent { reopen(object, index) }
    if peers[lab]?.holds.contains(object) == true {
      fault(.brokenPromise, on: id, "does not hold an object it announced", now)
      peers[lab]?.holds.remove(object)
    }
    if peers[lab]?.parts.contains(object) == true {
      // It was cleared away there; what is told next counts.
      peers[lab]?.parts[object] = nil
      objectsChanged = true
      return
    }
    let until = now.adding(seconds: GossipLimits.notHeldSeconds)
    fetches[object]?.rested[lab] = until
    noteWait(until: until)
    objectsChanged = true
  }

  /// Puts a block that was asked for back among those to ask for.
  mutating func reopen(_ object: ContentID, _ index: UInt32) {
    guard let request = fetches[object]?.inFlight[index] else { return }
    fetches[object]?.inFlight[index] = nil
    fetches[object]?.open.insert(index)
    release(request.lab)
    noteChange(of: object)
    objectsChanged = true
  }

  mutating func releaseBlocks(askedOn id: ConnectionID) {
    for object in fetches.keys {
      for index in fetches[object]?.inFlight.keys ?? []
      where fetches[object]?.inFlight[index]?.link == id {
        reopen(object, index)
      }
    }
  }

  mutating func condemn(
    _ object: ContentID, _ index: UInt32, _ id: ConnectionID, _ reason: String, _ bytes: Int,
    _ now: Instant
  ) {
    guard let lab = links[id]?.lab else { return }
    count(bytes, \.wastedBlockBytes, from: lab)
    fetches[object]?.bad[lab, default: []].append(index)
    peers[lab]?.window = 1
    fault(.badBlock, on: id, printable(reason), now)
    noteChange(of: object)
    objectsChanged = true
  }

  // MARK: - Deadlines

  mutating func checkBlockDeadlines(_ now: Instant) {
    for object in fetchOrder {
      for index in fetches[object]?.inFlight.keys ?? [] {
        guard let request = fetches[object]?.inFlight[index] else { continue }
        if request.deadline <= now {
          moveOn(object, index, request, now)
        } else {
          hasten(object, index, request, now)
        }
      }
    }
  }

  /// The end of an object is not left to the slowest source: a last block that has been under way
  /// for long is asked of an idle holder too, as seldom as the wire can bear.
  private mutating func hasten(
    _ object: ContentID, _ index: UInt32, _ request: BlockRequest, _ now: Instant
  ) {
    guard let fetch = fetches[object], fetch.open.isEmpty,
      fetch.doubled < fetch.total / GossipLimits.blocksPerDouble,
      now.seconds(since: request.since)
        >= max(GossipLimits.endgameSeconds, GossipLimits.endgameFactor * usualSeconds),
      let other = choose(for: object, index, now, besides: request.lab),
      let lab = links[other]?.lab, peers[lab]?.blocksOut == 0
    else { return }
    fetches[object]?.doubled += 1
    reopen(object, index)
    self.request(object, index, on: other, now)
  }

  /// Asks another peer; a lone holder is given more time, since asking twice moves it twice.
  private mutating func moveOn(
    _ object: ContentID, _ index: UInt32, _ request: BlockRequest, _ now: Instant
  ) {
    let other = choose(for: object, index, now, besides: request.lab)
    guard other != nil || request.misses >= GossipLimits.patience else {
      let extended = deadline(of: request.lab, now)
      fetches[object]?.inFlight[index]?.misses += 1
      fetches[object]?.inFlight[index]?.deadline = extended
      return
    }
    fault(.brokenPromise, on: request.link, "did not send a block in time", now)
    if let window = peers[request.lab]?.window { peers[request.lab]?.window = max(1, window / 2) }
    reopen(object, index)
    if other == nil {
      links[request.link]?.asked.remove(BlockKey(object: object, index: index))
    } else {
      let until = now.adding(seconds: GossipLimits.notHeldSeconds)
      fetches[object]?.rested[request.lab] = until
      noteWait(until: until)
    }
  }
}
