import Deltas
import Determinism
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Participation
import Records

extension World {
  /// Tells a node something, when it is done with what came before.
  func tell(_ node: SimulatedNode, _ event: ParticipantEvent) {
    guard node.isUp else { return }
    guard !node.isSyncing, node.pending.isEmpty else {
      node.inbox.append(event)
      return
    }
    handle(node, event)
    goOn(node)
  }

  private func handle(_ node: SimulatedNode, _ event: ParticipantEvent) {
    guard let directives = node.process?.participant.handle(event, at: node.moment(time)) else {
      return
    }
    node.pending = directives[...]
  }

  /// Does what was directed, up to the next sync; then what came in the meantime.
  func goOn(_ node: SimulatedNode) {
    while node.isUp {
      while let directive = node.pending.first {
        if case .persist(let changes) = directive {
          guard isSynced(node, changes) else { return }
        } else {
          perform(directive, by: node)
          guard node.isUp else { return }
        }
        node.pending = node.pending.dropFirst()
      }
      watch.look(at: node, isCalm: isCalm, seconds: seconds)
      guard !node.inbox.isEmpty else { return }
      handle(node, node.inbox.removeFirst())
    }
  }

  /// Begins a sync, or ends it: whether the changes are durable now.
  private func isSynced(_ node: SimulatedNode, _ changes: [Change]) -> Bool {
    if !node.isAwaitingSync {
      node.isAwaitingSync = true
      node.isSyncing = true
      let wait = node.syncSeconds * draw(0.5, 2)
      queue.add(.resume(node: node.index, life: node.life), at: time + ns(wait))
      return false
    }
    node.isAwaitingSync = false
    node.disk.write(changes)
    for change in changes {
      guard case .append(let entry) = change else { continue }
      mark(time, UInt64(node.index), entry.sequence)
      if entry.lab == node.lab {
        watch.wrote(entry, node, seconds: seconds)
        tempt(node, entry)
      } else {
        node.fresh += 1
      }
    }
    look(node)
    return true
  }

  private func perform(_ directive: ParticipantDirective, by node: SimulatedNode) {
    switch directive {
    case .persist: break
    case .keys(let order):
      node.shown = order
      node.keys = order.compactMap { shown in node.keys.first { $0.publicKey == shown } }
    case .dial(let lab, let key, let address): dial(lab, key, address, from: node)
    case .close(let id, _): close(id, by: node)
    case .send(let id, let frame): send(frame, on: id, from: node)
    case .members(let members): recheck(node, members)
    case .beginObject(let object, let list):
      answer(node, .objectBegun(object, plan: node.disk.begin(object, list)), after: 0.001)
    case .findObject(let object):
      answer(node, .objectFound(object, plan: node.disk.objects[object]?.plan), after: 0)
    case .storeBlock(let object, let index, let bytes, let from):
      storeBlock(node, object, index, bytes, from)
    case .serveBlock(let id, let object, let index): serve(node, id, object, index)
    case .keepFeedback: break
    case .forgetObject(let object):
      if node.participant?.isAnnounced(object) == true { payloadsLetGo += 1 }
      node.disk.remove(object)
    case .makeSnapshot(let id, let states): makeSnapshot(node, id, states)
    case .checkSnapshot(let object, let state): checkSnapshot(node, object, state)
    case .spareSnapshots(let chains): node.disk.spared = chains
    case .work(let step): begin(step, at: node)
    case .news(let news): hear(news, of: node)
    }
  }

  func answer(_ node: SimulatedNode, _ event: ParticipantEvent, after wait: Double) {
    queue.add(.event(node: node.index, life: node.life, event), at: time + ns(wait))
  }

  private func hear(_ news: News, of node: SimulatedNode) {
    switch news {
    case .connected, .disconnected: look(node)
    case .cannotSign(let reason) where node.isHonest && !node.isRemoved:
      watch.report("node \(node.index) could not sign: \(reason)", at: seconds)
    case .ownFork(let sequence) where node.isHonest:
      watch.report("honest node \(node.index) forked its log at \(sequence)", at: seconds)
    case .signedElsewhere(let sequence) where node.isHonest:
      watch.report("node \(node.index) takes its own entry \(sequence) for another's", at: seconds)
    case .restsOn(_, let round, _):
      statesFetched += 1
      weatherLog.append("\(node.name) rests on round \(round)")
    case .falseSnapshot:
      falseSnapshots += 1
      weatherLog.append("\(node.name) was given a false state")
    default: break
    }
  }

  // MARK: snapshots

  /// A liar that is asked for a state says to have the most wanted, and names what is none.
  func givesFalseSnapshot(
    _ node: SimulatedNode, _ id: ConnectionID, _ frame: Hanse_V1_Frame
  ) -> Bool {
    guard node.vice == .liars, case .wantSnapshot(let want)? = frame.kind,
      let root = want.stateRoots.first, let chain = node.disk.snapshots.last,
      var bytes = folds.snapshot(chain)
    else { return false }
    // Liars that stand at one place name one object, so that they have more than one voice.
    bytes[bytes.count - 1] ^= 1
    guard let list = try? BlockList(of: bytes) else { return false }
    node.disk.add(list.id, list, bytes)
    var answer = Hanse_V1_Frame()
    answer.snapshotHere.stateRoot = root
    answer.snapshotHere.object = Data(list.id.bytes)
    answer.snapshotHere.size = UInt64(bytes.count)
    send(answer, on: id, from: node)
    return true
  }

  /// Makes an object of a state.
  private func makeSnapshot(_ node: SimulatedNode, _ id: ConnectionID, _ states: [Foundation]) {
    guard let state = states.first(where: { node.disk.snapshots.contains($0.chain) }),
      let bytes = folds.snapshot(state.chain)
    else { return answer(node, .snapshotMade(id, root: nil, object: nil), after: 0.01) }
    guard let list = try? BlockList(of: bytes) else { return }
    node.disk.add(list.id, list, bytes)
    answer(
      node, .snapshotMade(id, root: state.root, object: list.id), after: node.syncSeconds + 0.05)
  }

  private func checkSnapshot(_ node: SimulatedNode, _ object: ContentID, _ state: Foundation) {
    let isGood = node.disk.bytes(of: object).map { folds.check($0, is: state) } ?? false
    if isGood {
      if folds.contradicts(state) {
        watch.report(
          "node \(node.index) takes a state of round \(state.round) that is not what its merge "
            + "folds to", at: seconds)
      }
      node.disk.spared.append(state.chain)
      node.disk.keep(state.chain)
    }
    answer(node, .snapshotChecked(object, isGood: isGood), after: node.syncSeconds)
  }

  // MARK: objects

  private func storeBlock(
    _ node: SimulatedNode, _ object: ContentID, _ index: UInt32, _ bytes: Data,
    _ from: ConnectionID
  ) {
    let wait = node.syncSeconds * draw(0.5, 1.5)
    guard node.disk.store(object, index, bytes) else {
      return answer(
        node, .blockRefused(object, index: index, from: from, reason: "another hash"),
        after: wait)
    }
    if let whole = node.disk.bytes(of: object) {
      node.fetchedBytes += whole.count + (node.disk.objects[object]?.list.encoded().count ?? 0)
      watch.stored(object, whole, node, seconds: seconds)
      look(node)
    }
    answer(node, .blockStored(object, index: index), after: wait)
  }

  private func serve(
    _ node: SimulatedNode, _ id: ConnectionID, _ object: ContentID, _ index: UInt32
  ) {
    if node.vice == .withholders {
      return answer(node, .blockServed(id, bytes: 0), after: 0.001)
    }
    var frame = Hanse_V1_Frame()
    frame.block.object = Data(object.bytes)
    frame.block.index = index
    frame.block.bytes = node.disk.read(object, index) ?? Data()
    if node.vice == .liars, !frame.block.bytes.isEmpty, chance.nextUnit() < 0.5 {
      frame.block.bytes[frame.block.bytes.startIndex] ^= 1
    }
    answer(node, .blockServed(id, bytes: frame.block.bytes.count), after: 0.001)
    send(frame, on: id, from: node)
  }
}
