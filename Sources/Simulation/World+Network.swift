import Determinism
import FoundationEssentials
import Gossip
import Identities
import Participation
import Records

/// A TCP connection: ordered both ways, until it breaks.
struct Wire {
  /// One end: a life of a node.
  struct End {
    let node: Int
    let life: Int
    let id: ConnectionID
    /// What it has shown to the other.
    let key: PublicKey
    /// Whether this end still believes in the connection.
    var isOpen = true
    /// When the last frame towards this end arrives.
    var lastArrival: UInt64 = 0
    /// Frames towards this end that a partition holds back.
    var held: [Hanse_V1_Frame] = []
  }

  var dialler: End
  var acceptor: End
  let latency: Double
  /// Whether frames still pass.
  var isOpen = true

  func end(of node: Int, _ id: ConnectionID) -> WritableKeyPath<Wire, End>? {
    if dialler.node == node, dialler.id == id { return \.dialler }
    if acceptor.node == node, acceptor.id == id { return \.acceptor }
    return nil
  }
}

extension World {
  func isBlocked(from: Int, to: Int) -> Bool { blocked[from * nodes.count + to] > 0 }

  private func wire(_ id: ConnectionID) -> Int { Int((id.number - 1) / 2) }

  // MARK: dialling

  func dial(_ lab: LabID, _ key: PublicKey, _ address: String, from node: SimulatedNode) {
    func fail(_ reason: String, after wait: Double) {
      answer(node, .dialFailed(lab, address: address, reason: reason), after: wait)
    }
    guard let index = Int(address.dropFirst(5).prefix { $0 != ":" }), nodes.indices.contains(index)
    else { return fail("no such address", after: 0.01) }
    let target = nodes[index]
    if isBlocked(from: node.index, to: index) || isBlocked(from: index, to: node.index) {
      return fail("timed out", after: draw(3, 10))
    }
    guard target.isUp else { return fail("connection refused", after: draw(0.01, 0.1)) }
    guard target.shown.contains(key) else { return fail("another key answers", after: 0.1) }
    guard let shown = node.shown.first(where: { own in target.members.contains { $0.key == own } })
    else { return fail("this lab is not a member there", after: 0.1) }
    let latency = 0.005 + 0.1 * Double(word(node.index, index) % 1000) / 1000
    let number = UInt64(wires.count) * 2 + 1
    wires.append(
      Wire(
        dialler: .init(
          node: node.index, life: node.life, id: ConnectionID(number: number), key: shown),
        acceptor: .init(
          node: index, life: target.life, id: ConnectionID(number: number + 1), key: key),
        latency: latency))
    node.wires.append(wires.count - 1)
    target.wires.append(wires.count - 1)
    arrive(
      .connected(ConnectionID(number: number + 1), lab: node.lab, address: "?", dialledByUs: false),
      at: \.acceptor, of: wires.count - 1, after: 1.5 * latency)
    arrive(
      .connected(
        ConnectionID(number: number), lab: lab, address: address, dialledByUs: true),
      at: \.dialler, of: wires.count - 1, after: 2 * latency)
  }

  private func word(_ one: Int, _ other: Int) -> UInt64 {
    var generator = SeededGenerator(
      seed: schedule.seed, stream: UInt64(min(one, other) << 20 | max(one, other)))
    return generator.next()
  }

  /// Tells an end something in its order among the frames.
  private func arrive(
    _ event: ParticipantEvent, at path: WritableKeyPath<Wire, Wire.End>, of wire: Int,
    after wait: Double
  ) {
    let due = max(time + ns(wait), wires[wire][keyPath: path].lastArrival)
    wires[wire][keyPath: path].lastArrival = due
    let end = wires[wire][keyPath: path]
    queue.add(.event(node: end.node, life: end.life, event), at: due)
  }

  // MARK: frames

  func send(_ frame: Hanse_V1_Frame, on id: ConnectionID, from node: SimulatedNode) {
    let index = wire(id)
    guard wires.indices.contains(index), let own = wires[index].end(of: node.index, id),
      wires[index][keyPath: own].isOpen
    else { return }
    let path: WritableKeyPath<Wire, Wire.End> = own == \Wire.dialler ? \.acceptor : \.dialler
    let far = wires[index][keyPath: path]
    watch.sends(frame, node, seconds: seconds)
    let frame = twisted(frame, from: node, to: far.node)
    guard wires[index].isOpen else {
      // The other side died without a word: a living machine answers with a reset.
      if nodes[far.node].isUp, !isBlocked(from: node.index, to: far.node) {
        reset(index, at: own, after: 2 * wires[index].latency)
      }
      return
    }
    if !isCalm, breakChance > 0, chance.nextUnit() < breakChance { return breakWire(index) }
    if isBlocked(from: node.index, to: far.node) {
      wires[index][keyPath: path].held.append(frame)
      return
    }
    transmit(frame, over: index, to: path, from: node)
    if repeatChance > 0, isRepeatable(frame), chance.nextUnit() < repeatChance {
      transmit(frame, over: index, to: path, from: node)
    }
  }

  private func isRepeatable(_ frame: Hanse_V1_Frame) -> Bool {
    switch frame.kind {
    case .entries(let entries): !entries.entries.isEmpty
    case .heads, .have: true
    default: false
    }
  }

  private func transmit(
    _ frame: Hanse_V1_Frame, over index: Int, to path: WritableKeyPath<Wire, Wire.End>,
    from node: SimulatedNode
  ) {
    let began = max(time, node.uplinkFree)
    node.uplinkFree = began + ns(Double(Self.size(of: frame)) / node.bytesPerSecond)
    let travel = ns(wires[index].latency * draw(0.9, 1.3))
    let due = max(node.uplinkFree + travel, wires[index][keyPath: path].lastArrival)
    wires[index][keyPath: path].lastArrival = due
    let far = wires[index][keyPath: path]
    queue.add(
      .frame(node: far.node, life: far.life, wire: index, far.id, frame), at: due)
  }

  /// Bytes that a frame takes, near enough.
  private static func size(of frame: Hanse_V1_Frame) -> Int {
    switch frame.kind {
    case .entries(let entries): entries.entries.reduce(16) { $0 + $1.body.count + 72 }
    case .heads(let heads): 16 + 76 * heads.heads.count
    case .hello(let hello): 80 + 76 * hello.heads.count
    case .have(let have): 16 + 34 * have.objects.count
    case .block(let block): 64 + block.bytes.count
    default: 64
    }
  }

  // MARK: ends

  func close(_ id: ConnectionID, by node: SimulatedNode) {
    let index = wire(id)
    guard wires.indices.contains(index), let own = wires[index].end(of: node.index, id) else {
      return
    }
    hangUp(index, at: own)
    let path: WritableKeyPath<Wire, Wire.End> = own == \Wire.dialler ? \.acceptor : \.dialler
    if wires[index].isOpen { reset(index, at: path, after: wires[index].latency) }
    wires[index].isOpen = false
    answer(node, .disconnected(id, reason: "closed here"), after: 0)
  }

  /// A node died: its ends are gone, and the others hear of it, or do not.
  func abandon(_ index: Int, by node: Int, quietly: Bool) {
    let isDialler = wires[index].dialler.node == node
    let path: WritableKeyPath<Wire, Wire.End> = isDialler ? \.acceptor : \.dialler
    let own: WritableKeyPath<Wire, Wire.End> = isDialler ? \.dialler : \.acceptor
    wires[index][keyPath: own].isOpen = false
    if wires[index].isOpen, !quietly { reset(index, at: path, after: wires[index].latency) }
    wires[index].isOpen = false
  }

  func breakWire(_ index: Int) {
    guard wires[index].isOpen else { return }
    wires[index].isOpen = false
    reset(index, at: \.dialler, after: wires[index].latency)
    reset(index, at: \.acceptor, after: wires[index].latency)
  }

  private func hangUp(_ index: Int, at path: WritableKeyPath<Wire, Wire.End>) {
    wires[index][keyPath: path].isOpen = false
    wires[index][keyPath: path].held = []
    let node = wires[index][keyPath: path].node
    nodes[node].wires.removeAll { $0 == index }
  }

  private func reset(
    _ index: Int, at path: WritableKeyPath<Wire, Wire.End>, after wait: Double
  ) {
    let end = wires[index][keyPath: path]
    guard end.isOpen else { return }
    hangUp(index, at: path)
    queue.add(
      .event(node: end.node, life: end.life, .disconnected(end.id, reason: "connection reset")),
      at: time + ns(wait))
  }

  /// The members have changed: who is none any more is cut off.
  func recheck(_ node: SimulatedNode, _ members: [(key: PublicKey, lab: LabID)]) {
    node.members = members
    for index in node.wires {
      let wire = wires[index]
      let far = wire.dialler.node == node.index ? wire.acceptor : wire.dialler
      if !members.contains(where: { $0.key == far.key }) { breakWire(index) }
    }
  }

  // MARK: partitions

  /// Keeps frames from some nodes to others, or lets them pass again.
  func block(_ pairs: [(from: Int, to: Int)], _ isBlocked: Bool) {
    for pair in pairs where pair.from != pair.to {
      let place = pair.from * nodes.count + pair.to
      if isBlocked {
        blocked[place] &+= 1
      } else {
        blocked[place] -= blocked[place] > 0 ? 1 : 0
        if blocked[place] == 0 { release(from: pair.from, to: pair.to) }
      }
    }
  }

  private func release(from: Int, to: Int) {
    for index in nodes[from].wires where wires[index].isOpen {
      let isDialler = wires[index].dialler.node == from
      let path: WritableKeyPath<Wire, Wire.End> = isDialler ? \.acceptor : \.dialler
      guard wires[index][keyPath: path].node == to else { continue }
      let held = wires[index][keyPath: path].held
      wires[index][keyPath: path].held = []
      for frame in held { transmit(frame, over: index, to: path, from: nodes[from]) }
    }
  }
}
