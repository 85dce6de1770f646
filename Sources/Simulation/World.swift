import Adapters
import Determinism
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Participation
import Records

/// A federation on one thread in virtual time: whole nodes, their machines, and the network
/// between them. Everything follows from the schedule.
final class World {
  let schedule: Schedule
  let charter: Charter
  var chance: SeededGenerator
  /// For what later kinds of faults draw beforehand, so that the others' weather stays as it was.
  var fate: SeededGenerator
  /// Nanoseconds since the start.
  var time: UInt64 = 0
  var queue = HappeningQueue()
  var nodes: [SimulatedNode] = []
  var indexOf: [LabID: Int] = [:]
  var wires: [Wire] = []
  /// How many partitions keep frames from one node to another, row by row.
  var blocked: [UInt8]
  var folds: Folds
  var watch: Watch
  var reader = EntryShelf()
  /// Which of the schedule's faults this seed has.
  var faults: [Fault] = []
  var weatherLog: [String] = []
  /// Why it is no fault that the healthy nodes are not at one.
  var excuse: String?
  /// Chance that a frame's connection breaks with it.
  var breakChance = 0.0
  var repeatChance = 0.0
  /// Whether the time of troubles is over: from here on everything must come right.
  var isCalm = false
  var trace: UInt64 = 0xCBF2_9CE4_8422_2325
  var happenings = 0
  /// The revision of each node's ledger when its operator last looked.
  var operatedAt: [Int: UInt64] = [:]
  var entriesNeeded = 0
  var statesFetched = 0
  var falseSnapshots = 0
  var payloadsLetGo = 0

  init(_ schedule: Schedule) throws {
    self.schedule = schedule
    chance = SeededGenerator(seed: schedule.seed)
    fate = SeededGenerator(seed: schedule.seed, stream: 1 << 62)
    let count = schedule.nodes
    var keys: [SigningKey] = []
    for index in 0..<count {
      let seed = ContentID(
        of: schedule.seed.littleEndianBytes + UInt32(index).littleEndianBytes, kind: .start)
      guard let key = SigningKey(seed: seed.bytes) else { continue }
      keys.append(key)
    }
    let joiners = Self.joiners(schedule, &chance)
    charter = try Founders.charter(
      keys.dropLast(joiners), retention: schedule.retention, &chance)
    folds = try Folds(charter: charter, layout: Founders.layout(of: charter))
    watch = Watch()
    blocked = [UInt8](repeating: 0, count: count * count)
    for (index, key) in keys.enumerated() {
      let node = SimulatedNode(index: index, key: key, name: "lab \(index)")
      node.hasJoined = index < count - joiners
      indexOf[node.lab] = index
      nodes.append(node)
    }
    furnish()
    foresee()
    for node in nodes where node.hasJoined {
      node.contacts = contacts(besides: node.index)
      start(node, after: draw(0, 1))
    }
    for node in nodes { queue.add(.operate(node: node.index), at: time + ns(draw(2, 8))) }
  }

  private static func joiners(_ schedule: Schedule, _ chance: inout SeededGenerator) -> Int {
    let roll = chance.nextUnit()
    if schedule.hasLatecomers { return 1 + schedule.nodes / 8 }
    guard schedule.faults.contains(.joins), schedule.nodes > 3, roll < 0.6 else { return 0 }
    return 1 + Int(roll / 0.6 * Double(schedule.nodes) / 5)
  }

  private func contacts(besides own: Int) -> [Contact] {
    nodes.filter { $0.hasJoined && $0.index != own }.map {
      Contact(lab: $0.lab, key: $0.key.publicKey, address: Self.address(of: $0.index))
    }
  }

  static func address(of node: Int) -> String { "node-\(node):1" }

  // MARK: chance and time

  func draw(_ low: Double, _ high: Double) -> Double { low + (high - low) * chance.nextUnit() }
  func pick(_ count: Int) -> Int { min(count - 1, Int(chance.nextUnit() * Double(count))) }
  func ns(_ seconds: Double) -> UInt64 { UInt64(max(0, seconds) * 1e9) }
  var seconds: Double { Double(time) / 1e9 }

  func mark(_ words: UInt64...) {
    for word in words { trace = (trace ^ word) &* 0x0000_0100_0000_01B3 }
  }

  // MARK: running

  /// Runs until a condition holds, looked at after every happening, or until a time has come.
  func run(until end: Double, or done: () -> Bool = { false }) {
    let last = ns(end)
    while let next = queue.nextTime, next <= last {
      guard watch.violations.isEmpty, !done() else { return }
      step()
    }
    time = max(time, last)
  }

  private func step() {
    guard let (due, happening) = queue.next() else { return }
    time = max(time, due)
    happenings += 1
    if let index = happening.node, nodes[index].frozenUntil > time {
      return queue.add(happening, at: nodes[index].frozenUntil)
    }
    switch happening {
    case .event(let index, let life, let event):
      guard nodes[index].life == life else { return }
      mark(time, UInt64(index), 1)
      tell(nodes[index], event)
    case .frame(let index, let life, let wire, let id, let frame):
      guard nodes[index].life == life, wires[wire].isOpen else { return }
      mark(time, UInt64(index), id.number)
      guard !givesFalseSnapshot(nodes[index], id, frame) else { return }
      tell(nodes[index], .frame(id, frame))
    case .tick(let index, let life):
      guard nodes[index].life == life else { return }
      queue.add(.tick(node: index, life: life), at: time + 1_000_000_000)
      tell(nodes[index], .tick)
      look(nodes[index])
    case .resume(let index, let life):
      guard nodes[index].life == life else { return }
      nodes[index].isSyncing = false
      goOn(nodes[index])
    case .look(let index, let life):
      guard nodes[index].life == life else { return }
      nodes[index].looksAt = nil
      if !nodes[index].isWorking { tell(nodes[index], .workerIsFree(last: schedule.rounds)) }
    case .done(let index, let life, let labour):
      guard nodes[index].life == life else { return }
      mark(time, UInt64(index), 2)
      nodes[index].isWorking = false
      finish(labour, at: nodes[index])
    case .operate(let index): operate(nodes[index])
    case .weather(let weather): change(weather)
    }
  }

  /// Has the worker look for work soon, if it has none.
  func look(_ node: SimulatedNode) {
    guard node.isUp, !node.isWorking, node.looksAt == nil else { return }
    let due = time + 20_000_000
    node.looksAt = due
    queue.add(.look(node: node.index, life: node.life), at: due)
  }

  // MARK: a node's life

  /// Starts a node from what its disk has.
  func start(_ node: SimulatedNode, after wait: Double = 0) {
    node.life += 1
    node.isWorking = false
    node.looksAt = nil
    node.pending = []
    node.inbox = []
    node.isSyncing = false
    node.isAwaitingSync = false
    node.shown = node.keys.map(\.publicKey)
    var logbook = Logbook(charter: charter)
    var open = replay(node.disk.entries, into: &logbook)
    for entry in node.disk.forks { _ = try? logbook.append(entry, wasKept: true) }
    logbook.settle()
    // A roster may rest on the branch of a log that was kept among the forks.
    var count = -1
    while open.count != count {
      count = open.count
      open = replay(open, into: &logbook)
      logbook.settle()
    }
    if let entry = open.first {
      let unreadable = Watch.Unreadable(entry: entry)
      watch.report("node \(node.index) cannot read its own disk: \(unreadable)", at: seconds)
    }
    var head = node.disk.head
    if let merge = head {
      do { _ = try logbook.landingGroups(of: merge) } catch {
        watch.report("node \(node.index) lost the meaning of its head: \(error)", at: seconds)
        head = nil
      }
    }
    let settings = Participant.Settings(
      name: node.name, software: "hanse-sim", trains: true, contacts: node.contacts)
    var participant = Participant(
      charter: charter, keys: Keyring(node.keys), lab: node.lab, settings: settings,
      position: Participant.Position(
        logbook: logbook, head: head, held: node.disk.complete,
        foundations: node.disk.foundations),
      generator: SeededGenerator(seed: chance.next()), at: node.moment(time))
    participant.read(entriesWith: reader)
    node.process = Process(participant)
    watch.forget(node.index)
    operatedAt[node.index] = nil
    let due = time + ns(wait)
    queue.add(
      .event(
        node: node.index, life: node.life, .began(addresses: [Self.address(of: node.index)])),
      at: due)
    queue.add(.tick(node: node.index, life: node.life), at: due + ns(draw(0, 1)))
  }

  /// Appends what fits; the rest.
  private func replay(_ entries: [Entry], into logbook: inout Logbook) -> [Entry] {
    entries.filter { (try? logbook.append($0)) != .appended }
  }

  /// Ends a node without a warning. What it was syncing may have reached the disk, or not.
  func crash(_ node: SimulatedNode, quietly: Bool) {
    guard let participant = node.participant else { return }
    if case .persist(let changes)? = node.pending.first, node.isSyncing, chance.nextUnit() < 0.5 {
      node.disk.write(changes)
      for case .append(let entry) in changes where entry.lab == node.lab {
        watch.wrote(entry, node, seconds: seconds)
      }
    }
    node.disk.lose()
    add(participant.mesh.received, to: node)
    node.process = nil
    node.life += 1
    node.pending = []
    node.inbox = []
    node.isSyncing = false
    node.isAwaitingSync = false
    for wire in node.wires { abandon(wire, by: node.index, quietly: quietly) }
    node.wires = []
  }

  func add(_ counts: ReceivedCounts, to node: SimulatedNode) {
    node.received.entries += counts.entries
    node.received.duplicateEntries += counts.duplicateEntries
    node.received.blockBytes += counts.blockBytes
    node.received.wastedBlockBytes += counts.wastedBlockBytes
  }
}
