import Determinism
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Participation
import Records

/// A few participants in one process, whose frames reach each other at once.
///
/// No socket, no disk: what is to be durable is kept in a list, so that a node can be killed and
/// started again from what it had been told to keep.
struct Circle {
  let charter: Charter
  let firstKeys: [SigningKey]
  private(set) var nodes: [Participant] = []
  /// What each node was told to keep, in order.
  private(set) var kept: [[Entry]] = []
  /// Proofs of equivocation that each node was told to keep.
  private(set) var evidence: [[Entry]] = []
  private(set) var news: [[News]] = []
  /// The keys that each node was last told to show.
  private(set) var shown: [[PublicKey]] = []
  /// Members' keys as each node last named them.
  private(set) var members: [[PublicKey: LabID]] = []
  private var links: Set<[Int]> = []
  private var seconds: UInt64 = 1
  private var next: UInt64 = 1
  private var queue: [(Int, ParticipantEvent)] = []
  private var isDelivering = false
  /// What was sent on the connections of ``intrude(_:as:)``, and which of them were closed.
  private(set) var heard: [UInt64: [Hanse_V1_Frame]] = [:]
  private(set) var closed: [UInt64: String] = [:]
  private var wires: [UInt64: (from: Int, to: Int, twin: UInt64)] = [:]

  init(_ count: Int) throws {
    firstKeys = (0..<count).map { SigningKey(seed: [UInt8](repeating: UInt8($0 + 1), count: 32))! }
    charter = try Self.charter(firstKeys)
    for index in 0..<count {
      kept.append([])
      evidence.append([])
      news.append([])
      shown.append([])
      members.append([:])
      nodes.append(Self.node(charter, [firstKeys[index]], nil, [], index))
    }
    for index in 0..<count { begin(index) }
  }

  private static func charter(_ keys: [SigningKey]) throws -> Charter {
    var message = Hanse_V1_Charter()
    message.format = 1
    message.name = "circle"
    var file = Hanse_V1_BaseFile()
    file.name = "base"
    file.size = 1
    file.hash = Data(ContentID(of: [1], kind: .file).bytes)
    message.base.files = [file]
    message.adapter.rank = 1
    message.adapter.alpha = 1
    message.adapter.seed = Data(repeating: 7, count: 32)
    var module = Hanse_V1_ModuleShape()
    module.path = "q_proj"
    module.inputs = 3
    module.outputs = 5
    message.adapter.modules = [module]
    message.round.localSteps = 1
    message.round.batch = 1
    message.round.length = 8
    message.round.learningRate = 1e-3
    message.round.graceSeconds = 60
    message.merge.rule = "clipped-mean"
    message.merge.outerRateQ16 = 45_875
    message.merge.momentumQ16 = 58_982
    message.merge.latenessLimit = 2
    message.judging.toleranceMicronats = 20_000
    message.judging.committee = 16
    for (index, key) in keys.enumerated() {
      var founder = Hanse_V1_Founder()
      founder.name = "lab \(index)"
      founder.key = Data(key.publicKey.bytes)
      message.founders.append(founder)
    }
    return try Charter(message)
  }

  private static func node(
    _ charter: Charter, _ keys: [SigningKey], _ lab: LabID?, _ entries: [Entry], _ index: Int
  ) -> Participant {
    var logbook = Logbook(charter: charter)
    for entry in entries { _ = try? logbook.append(entry) }
    logbook.settle()
    return Participant(
      charter: charter, keys: Keyring(keys), lab: lab,
      settings: Participant.Settings(name: "lab \(index)", software: "test", trains: false),
      position: Participant.Position(logbook: logbook, head: nil, held: []),
      generator: SeededGenerator(seed: UInt64(index)),
      at: Participant.Moment(now: Instant(nanoseconds: 0), wallSeconds: 0))
  }

  var moment: Participant.Moment {
    Participant.Moment(now: Instant(nanoseconds: seconds * 1_000_000_000), wallSeconds: seconds)
  }

  func lab(_ index: Int) -> LabID { LabID(firstKey: firstKeys[index].publicKey) }

  private mutating func begin(_ index: Int) { tell(index, .began(addresses: [])) }

  /// Ends a node and starts it from what it was told to keep, with these keys.
  mutating func restart(_ index: Int, keys: [SigningKey]) {
    for other in nodes.indices where links.contains([min(index, other), max(index, other)]) {
      part(index, other)
    }
    shown[index] = []
    nodes[index] = Self.node(charter, keys, lab(index), kept[index], index)
    begin(index)
  }

  // MARK: connections

  /// Connects two nodes, if each has the other's shown key on its roster.
  @discardableResult
  mutating func meet(_ left: Int, _ right: Int, showing key: PublicKey? = nil) -> Bool {
    let shownByLeft = key ?? shown[left][0]
    guard members[right][shownByLeft] == lab(left), members[left][shown[right][0]] == lab(right)
    else { return false }
    links.insert([min(left, right), max(left, right)])
    let (here, there) = (next, next + 1)
    next += 2
    wires[here] = (left, right, there)
    wires[there] = (right, left, here)
    // Both ends stand before a frame is on its way.
    for (end, id, other) in [(left, here, right), (right, there, left)] {
      queue.append(
        (
          end,
          .connected(
            ConnectionID(number: id), lab: lab(other), address: "", dialledByUs: end == left)
        ))
    }
    deliver()
    return true
  }

  /// A connection to a node by somebody who has a member's key and keeps to no rule.
  mutating func intrude(_ target: Int, as index: Int) -> ConnectionID {
    let id = ConnectionID(number: next)
    next += 1
    heard[id.number] = []
    tell(target, .connected(id, lab: lab(index), address: "", dialledByUs: false))
    var hello = Hanse_V1_Frame()
    hello.hello.protocol = 1
    hello.hello.federation = Data(charter.id.bytes)
    tell(target, .frame(id, hello))
    return id
  }

  /// An entry of a lab that its node knows nothing of.
  func forge(
    _ index: Int, _ payload: Hanse_V1_Entry.OneOf_Payload, after last: Entry? = nil,
    version: UInt32 = 1, wallSeconds: UInt64 = 0, key: SigningKey? = nil
  ) throws -> Entry {
    var message = Hanse_V1_Entry()
    message.federation = Data(charter.id.bytes)
    message.lab = Data(lab(index).bytes)
    message.rosterVersion = version
    message.sequence = (last?.sequence ?? 0) + 1
    message.previous = Data(last?.id.bytes ?? [])
    message.timeSeconds = wallSeconds
    message.payload = payload
    return try Entry(signing: message, with: key ?? firstKeys[index])
  }

  mutating func part(_ left: Int, _ right: Int) {
    links.remove([min(left, right), max(left, right)])
    for (id, wire) in wires.sorted(by: { $0.key < $1.key })
    where [wire.from, wire.to].sorted() == [min(left, right), max(left, right)] {
      wires[id] = nil
      tell(wire.from, .disconnected(ConnectionID(number: id), reason: "test"))
    }
  }

  /// Lets seconds pass.
  mutating func wait(_ count: Int) {
    for _ in 0..<count {
      seconds += 1
      for index in nodes.indices { tell(index, .tick) }
    }
  }

  // MARK: telling

  mutating func tell(_ index: Int, _ event: ParticipantEvent) {
    queue.append((index, event))
    deliver()
  }

  /// Hands on what is on its way, one thing after the other, until nothing is.
  private mutating func deliver() {
    guard !isDelivering else { return }
    isDelivering = true
    while !queue.isEmpty {
      let (index, event) = queue.removeFirst()
      perform(index, nodes[index].handle(event, at: moment))
    }
    isDelivering = false
  }

  /// Asks a node what people ask of it.
  mutating func ask<Value>(
    _ index: Int,
    _ body: (inout Participant, Participant.Moment) throws(Refusal) -> Participant.Answer<Value>
  ) throws(Refusal) -> Value {
    let answer = try body(&nodes[index], moment)
    isDelivering = true
    perform(index, answer.directives)
    isDelivering = false
    deliver()
    return answer.value
  }

  private mutating func perform(_ index: Int, _ directives: [ParticipantDirective]) {
    for directive in directives {
      switch directive {
      case .persist(let changes):
        for change in changes {
          switch change {
          case .append(let entry): kept[index].append(entry)
          case .fork(let entry): evidence[index].append(entry)
          case .head, .feedback, .foundations: break
          }
        }
      case .send(let id, let frame) where heard[id.number] != nil:
        heard[id.number]?.append(frame)
      case .close(let id, let reason) where heard[id.number] != nil:
        closed[id.number] = reason
      case .send(let id, let frame):
        guard let wire = wires[id.number] else { continue }
        tell(wire.to, .frame(ConnectionID(number: wire.twin), frame))
      case .close(let id, _):
        guard let wire = wires[id.number] else { continue }
        part(wire.from, wire.to)
      case .members(let now):
        members[index] = Dictionary(now.map { ($0.key, $0.lab) }, uniquingKeysWith: { $1 })
      case .keys(let order): shown[index] = order
      case .news(let one): news[index].append(one)
      default: break
      }
    }
  }
}
