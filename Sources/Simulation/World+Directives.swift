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
    case .persist, .keys: break
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
    default: break
    }
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
