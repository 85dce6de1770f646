import Determinism
import FoundationEssentials
import Gossip
import Identities
import Records

/// Several nodes in one process and in virtual time: meshes, with the storage and the connections
/// that a shell would give them. Everything follows from the seed.
final class Swarm {
  struct Conditions {
    var latency = 0.02
    /// Chance that a frame is lost. TCP loses none; a mesh must live with it all the same.
    var loss = 0.0
    /// Chance, at each frame, that its connection breaks.
    var breaks = 0.0
    /// Bytes of blocks that a node sends in a second; none: as many as it likes. Other frames
    /// overtake them.
    var uplink: Double?
    /// Seconds between two ticks of a node.
    var tick = 0.25
  }

  struct Wire {
    var ends: (left: Int, right: Int)
    var ids: (left: ConnectionID, right: ConnectionID)
    var free: (left: Double, right: Double) = (0, 0)
    /// The same for blocks, which others overtake.
    var bulkFree: (left: Double, right: Double) = (0, 0)
  }

  private enum Happening {
    case event(Int, GossipEvent)
    case tick(Int)

    var node: Int {
      switch self {
      case .event(let node, _), .tick(let node): node
      }
    }

    var isTick: Bool { if case .tick = self { true } else { false } }
  }

  var conditions = Conditions()
  var nodes: [SwarmNode] = []
  var time = 0.0
  var framesSent = 0
  /// Follows from every frame, when and where it went.
  var trace: UInt64 = 0
  /// Frames to be dropped instead of delivered.
  var drops: (_ from: Int, _ to: Int, Hanse_V1_Frame) -> Bool = { _, _, _ in false }
  /// Pairs that may not be connected.
  var forbidden: (_ dialler: Int, _ target: Int) -> Bool = { _, _ in false }
  /// Blocks asked for twice while the first request was open.
  var doubleRequests = 0
  let federation = ContentID(of: [1], kind: .charter)
  private var generator: SeededGenerator
  private var queue: [(time: Double, order: Int, happening: Happening)] = []
  private var order = 0
  /// By half of the left end's number, so that thousands can be told apart at once.
  private var wires: [UInt64: Wire] = [:]
  private var nextConnection: UInt64 = 1

  init(count: Int, seed: UInt64, conditions: Conditions = Conditions()) {
    generator = SeededGenerator(seed: seed)
    self.conditions = conditions
    let keys = (0..<count).map { number in
      Self.key(number + 1)
    }.sorted { LabID(firstKey: $0.publicKey) < LabID(firstKey: $1.publicKey) }
    nodes = keys.enumerated().map { index, key in
      SwarmNode(index: index, key: key, federation: federation, seed: seed &+ UInt64(index))
    }
    let labs = nodes.map(\.lab)
    let members = roster
    for index in nodes.indices {
      tell(index, .members(members, logs: labs))
      schedule(0.01 * Double(index), .tick(index))
    }
  }

  private static func key(_ number: Int) -> SigningKey {
    var seed = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 32)
    if number > 255 { seed[0] = UInt8(number >> 8) &+ seed[1] }
    return SigningKey(seed: seed)!
  }

  // MARK: - Running

  var now: Instant { Instant(nanoseconds: UInt64(time * 1e9)) }

  /// Runs for so many seconds, or until a condition holds, looked at after every happening.
  func run(_ seconds: Double, until done: () -> Bool = { false }) {
    let end = time + seconds
    while !done(), let next = queue.first, next.time <= end {
      pop()
      time = max(time, next.time)
      let node = next.happening.node
      guard !nodes[node].isDown || next.happening.isTick else { continue }
      guard nodes[node].wakesAt <= time else {
        schedule(nodes[node].wakesAt - time, next.happening)
        continue
      }
      switch next.happening {
      case .event(_, let event): tell(node, event)
      case .tick:
        if !nodes[node].isDown { tell(node, .tick) }
        schedule(conditions.tick, .tick(node))
      }
    }
    if !done() { time = max(time, end) }
  }

  /// Tells a node something now and carries out what it asks for.
  func tell(_ node: Int, _ event: GossipEvent) {
    for directive in nodes[node].mesh.handle(event, now: now) { carryOut(directive, for: node) }
  }

  /// A node publishes an entry in its own log.
  @discardableResult
  func publish(_ node: Int) -> Entry {
    let entry = nodes[node].sign(after: nodes[node].logs[nodes[node].lab]?.last)
    nodes[node].logs[nodes[node].lab, default: []].append(entry)
    tell(node, .appended(entry))
    return entry
  }

  /// Every connection between two nodes breaks.
  func cut(_ left: Int, _ right: Int) {
    for (number, wire) in newestWires
    where wire.ends == (left, right) || wire.ends == (right, left) { breakWire(number, "cut") }
  }

  /// A node's process dies: its connections break, and what it knew of them is gone.
  func crash(_ node: Int) {
    for (number, wire) in newestWires
    where wire.ends.left == node || wire.ends.right == node { breakWire(number, "reset") }
    nodes[node].isDown = true
  }

  /// A crashed node starts again with what its storage holds.
  func revive(_ node: Int) {
    nodes[node].isDown = false
    nodes[node].start(seed: generator.next(), now: now)
    tell(node, .members(roster, logs: nodes.map(\.lab)))
    for other in nodes.indices {
      guard let last = nodes[node].logs[nodes[other].lab]?.last else { continue }
      tell(node, .head(Head(last)))
    }
    for object in nodes[node].complete.sorted() { tell(node, .held(object)) }
  }

  /// Every node and where it may be dialled.
  private var roster: [Member] {
    nodes.map { Member(lab: $0.lab, addresses: $0.isDialable ? ["\($0.index):1"] : []) }
  }

  /// Makes nodes that others cannot dial, as behind a NAT.
  func hide(_ hidden: some Sequence<Int>) {
    for node in hidden { nodes[node].isDialable = false }
    let members = roster
    for node in nodes.indices { tell(node, .members(members, logs: nodes.map(\.lab))) }
  }

  func connections(between left: Int, _ right: Int) -> Int {
    wires.values.count { $0.ends == (left, right) || $0.ends == (right, left) }
  }

  /// Stops a node as a stopped process would: its timers sleep, its connections stay open.
  func sleep(_ node: Int, _ seconds: Double) {
    nodes[node].wakesAt = time + seconds
  }

  private func carryOut(_ directive: Directive, for node: Int) {
    switch directive {
    case .dial(let lab, let address): dial(lab, address, from: node)
    case .close(let id, let reason):
      if let number = wire(of: node, id) { breakWire(number, reason) }
    case .send(let id, let frame): deliver(frame, from: node, over: id)
    default:
      for answer in nodes[node].carryOut(directive) {
        switch answer {
        case .tell(let event): schedule(0.001, .event(node, event))
        case .send(let id, let frame): deliver(frame, from: node, over: id)
        }
      }
    }
  }

  // MARK: - Connections

  private func dial(_ lab: LabID, _ address: String, from node: Int) {
    guard let target = nodes.firstIndex(where: { $0.lab == lab }), !forbidden(node, target),
      nodes[target].wakesAt <= time, !nodes[target].isDown
    else {
      return schedule(
        0.01, .event(node, .dialFailed(lab, address: address, reason: "unreachable")))
    }
    let ids = (ConnectionID(number: nextConnection), ConnectionID(number: nextConnection + 1))
    wires[nextConnection / 2] = Wire(ends: (node, target), ids: ids)
    nextConnection += 2
    let wait = conditions.latency * 2
    schedule(
      wait,
      .event(node, .connected(ids.0, lab: lab, address: address, dialledByUs: true)))
    schedule(
      wait,
      .event(
        target,
        .connected(ids.1, lab: nodes[node].lab, address: "\(node):9", dialledByUs: false)))
  }

  private var newestWires: [(UInt64, Wire)] {
    wires.sorted { $0.key > $1.key }.map { ($0.key, $0.value) }
  }

  /// The wire that ends so at a node, while it is whole.
  private func wire(of node: Int, _ id: ConnectionID) -> UInt64? {
    let number = (id.number - 1) / 2
    guard let wire = wires[number] else { return nil }
    let isItsOwn = id == wire.ids.left ? wire.ends.left == node : wire.ends.right == node
    return isItsOwn ? number : nil
  }

  private func breakWire(_ number: UInt64, _ reason: String) {
    let wire = wires.removeValue(forKey: number)!
    nodes[wire.ends.left].asked = [:]
    nodes[wire.ends.right].asked = [:]
    schedule(0.001, .event(wire.ends.left, .disconnected(wire.ids.left, reason: reason)))
    schedule(
      conditions.latency,
      .event(wire.ends.right, .disconnected(wire.ids.right, reason: reason)))
  }

  private func deliver(_ frame: Hanse_V1_Frame, from node: Int, over id: ConnectionID) {
    guard let number = wire(of: node, id), var wire = wires[number] else { return }
    framesSent += 1
    trace = (trace ^ time.bitPattern ^ id.number) &* 0x100_0000_01B3
    let isLeft = wire.ends.left == node && wire.ids.left == id
    let target = isLeft ? wire.ends.right : wire.ends.left
    noteRequests(frame, from: node, to: target)
    if drops(node, target, frame) { return }
    if generator.nextUnit() < conditions.breaks { return breakWire(number, "broken") }
    if generator.nextUnit() < conditions.loss { return }
    // Frames of one direction and lane stay in order however their delays fall.
    let lane: WritableKeyPath<Wire, (left: Double, right: Double)> =
      conditions.uplink != nil && frame.isBlock ? \.bulkFree : \.free
    let free = wire[keyPath: lane]
    let arrival = max(
      leaves(frame, from: node) + conditions.latency * (0.5 + generator.nextUnit()),
      isLeft ? free.left : free.right)
    if isLeft { wire[keyPath: lane].left = arrival } else { wire[keyPath: lane].right = arrival }
    wires[number] = wire
    let targetID = isLeft ? wire.ids.right : wire.ids.left
    schedule(arrival - time, .event(target, .frame(targetID, frame)))
  }

  /// When a frame has left a node, whose blocks share one line.
  private func leaves(_ frame: Hanse_V1_Frame, from node: Int) -> Double {
    guard let uplink = conditions.uplink, frame.isBlock else { return time }
    let begun = max(time, nodes[node].uplinkFree)
    nodes[node].uplinkFree = begun + Double(frame.block.bytes.count) / uplink
    return nodes[node].uplinkFree
  }

  private func noteRequests(_ frame: Hanse_V1_Frame, from node: Int, to target: Int) {
    switch frame.kind {
    case .wantObject(let want):
      let key = "\(want.object.base64EncodedString()) \(want.index)"
      if nodes[node].asked[key] != nil { doubleRequests += 1 }
      nodes[node].asked[key] = target
    case .block(let block):
      nodes[target].asked["\(block.object.base64EncodedString()) \(block.index)"] = nil
    default: break
    }
  }

  // MARK: - The queue: a heap by time, then by order

  private func schedule(_ wait: Double, _ happening: Happening) {
    queue.append((time + wait, order, happening))
    order += 1
    var child = queue.count - 1
    while child > 0, precedes(child, (child - 1) / 2) {
      queue.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  private func pop() {
    queue.swapAt(0, queue.count - 1)
    queue.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < queue.count {
        if precedes(child, least) { least = child }
      }
      guard least != parent else { return }
      queue.swapAt(parent, least)
      parent = least
    }
  }

  private func precedes(_ left: Int, _ right: Int) -> Bool {
    (queue[left].time, queue[left].order) < (queue[right].time, queue[right].order)
  }
}

extension Hanse_V1_Frame {
  var isBlock: Bool { if case .block? = kind { true } else { false } }
}
