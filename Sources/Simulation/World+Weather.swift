import Determinism
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Participation
import Records

/// What changes while a schedule runs.
enum Weather {
  case block([(from: Int, to: Int)], Bool)
  case crash(node: Int, quietly: Bool)
  case restart(node: Int)
  case freeze(node: Int, seconds: Double)
  case fork(node: Int)
  case flood(node: Int)
  case join(node: Int)
  case remove(node: Int)
  case recall
  case rotate(node: Int)
  case loseKey(node: Int)
  case recover(node: Int)
  case changeRule
  case calm
}

extension World {
  /// How long the time of troubles lasts, in seconds.
  var troubleSeconds: Double { 60 + 45 * Double(schedule.rounds) }

  /// Gives every machine its speed, its clock and its vices.
  func furnish() {
    let later: [Fault] = [.rotations, .rules]
    faults = schedule.faults.filter { !later.contains($0) && chance.nextUnit() < 0.6 }
    for fault in later where fate.nextUnit() < 0.5 && schedule.faults.contains(fault) {
      faults.append(fault)
    }
    for node in nodes {
      node.bytesPerSecond = [1_250_000, 12_500_000, 125_000_000][pick(3)]
      node.syncSeconds = draw(0.001, 0.008)
      node.trainSeconds = draw(4, 12)
      node.judgeSeconds = draw(0.05, 0.3)
      node.clockOffset = chance.next() >> 20
      if faults.contains(.disks), chance.nextUnit() < 0.3 { node.syncSeconds = draw(0.05, 0.6) }
      if faults.contains(.clocks) {
        node.clockRate = draw(0.9, 1.1)
        node.wallOffset = Int64(draw(-90_000, 90_000))
      }
    }
    if faults.contains(.breaks) { breakChance = draw(0, 0.004) }
    if faults.contains(.repeats) { repeatChance = draw(0, 0.3) }
    let founders = nodes.filter(\.hasJoined).count
    var vicious = (founders - 1) / 3
    let vices = faults.filter(\.isByzantine)
    guard !vices.isEmpty else { return }
    while vicious > 0 {
      let node = nodes[pick(founders)]
      if node.vice == nil {
        node.vice = vices[pick(vices.count)]
        weatherLog.append("\(node.name): \(node.vice?.rawValue ?? "")")
      }
      vicious -= 1
    }
  }

  /// Draws everything that is going to happen.
  func foresee() {
    if faults.contains(.partitions) { foreseePartitions() }
    let honest = nodes.filter { $0.hasJoined && $0.isHonest }.map(\.index)
    if faults.contains(.crashes) {
      for _ in 0..<(1 + pick(2 * honest.count)) {
        let node = pick(nodes.count)
        let began = draw(5, troubleSeconds)
        add(.crash(node: node, quietly: chance.nextUnit() < 0.5), at: began)
        add(.restart(node: node), at: began + draw(0.2, 40))
      }
    }
    if faults.contains(.pauses) {
      for _ in 0..<(1 + pick(honest.count)) {
        add(
          .freeze(node: pick(nodes.count), seconds: draw(1, 100)), at: draw(5, troubleSeconds))
      }
    }
    for node in nodes where node.vice == .equivocators {
      add(.fork(node: node.index), at: draw(5, troubleSeconds * 0.8))
    }
    for node in nodes where node.vice == .flooders {
      for _ in 0..<4 { add(.flood(node: node.index), at: draw(5, troubleSeconds)) }
    }
    for node in nodes where !node.hasJoined {
      let first = schedule.hasLatecomers ? troubleSeconds * 0.5 : 10
      add(.join(node: node.index), at: draw(first, max(first, troubleSeconds * 0.6)))
    }
    if schedule.hasLatecomers, honest.count > 3 {
      // One of those that began is away for most of it.
      let node = honest[pick(honest.count)]
      let began = draw(20, troubleSeconds * 0.3)
      add(.crash(node: node, quietly: false), at: began)
      add(.restart(node: node), at: draw(troubleSeconds * 0.6, troubleSeconds * 0.8))
    }
    if faults.contains(.leaves), honest.count > 4 {
      add(.remove(node: honest[pick(honest.count)]), at: draw(10, troubleSeconds))
    }
    if faults.contains(.recalls) { add(.recall, at: draw(30, troubleSeconds)) }
    foreseeKeysAndRules(honest)
    add(.calm, at: troubleSeconds)
  }

  private func foreseeKeysAndRules(_ honest: [Int]) {
    func moment() -> Double { 10 + (troubleSeconds - 10) * fate.nextUnit() }
    func lab() -> Int { honest[min(honest.count - 1, Int(fate.nextUnit() * Double(honest.count)))] }
    if faults.contains(.rotations), !honest.isEmpty {
      for _ in 0..<(1 + Int(fate.nextUnit() * 3)) { add(.rotate(node: lab()), at: moment()) }
      if fate.nextUnit() < 0.4 { add(.loseKey(node: lab()), at: moment()) }
    }
    if faults.contains(.rules) {
      for _ in 0..<(1 + Int(fate.nextUnit() * 2)) { add(.changeRule, at: moment()) }
    }
  }

  private func add(_ weather: Weather, at seconds: Double) {
    queue.add(.weather(weather), at: ns(seconds))
  }

  private func foreseePartitions() {
    for _ in 0..<(1 + pick(4)) {
      let began = draw(3, troubleSeconds * 0.9)
      let length = draw(3, 90)
      let isOneWay = chance.nextUnit() < 0.3
      var side = [Bool](repeating: false, count: nodes.count)
      let isLonely = chance.nextUnit() < 0.3
      if isLonely {
        side[pick(nodes.count)] = true
      } else {
        for index in side.indices { side[index] = chance.nextUnit() < 0.5 }
      }
      var pairs: [(from: Int, to: Int)] = []
      for from in nodes.indices {
        for to in nodes.indices where side[from] != side[to] {
          if !isOneWay || side[from] { pairs.append((from: from, to: to)) }
        }
      }
      let flaps = chance.nextUnit() < 0.3 ? 2 + pick(6) : 1
      for flap in 0..<flaps {
        let start = began + length * Double(flap) / Double(flaps)
        add(.block(pairs, true), at: start)
        let open = flaps == 1 ? length : length / Double(flaps) * draw(0.2, 0.9)
        add(.block(pairs, false), at: start + open)
      }
    }
  }

  func change(_ weather: Weather) {
    mark(time, 3)
    switch weather {
    case .block(let pairs, let isBlocked): if !isCalm || !isBlocked { block(pairs, isBlocked) }
    case .crash(let node, let quietly): if !isCalm { crash(nodes[node], quietly: quietly) }
    case .restart(let node): restart(nodes[node])
    case .freeze(let node, let seconds):
      if !isCalm { nodes[node].frozenUntil = max(nodes[node].frozenUntil, time + ns(seconds)) }
    case .fork(let node): nodes[node].wantsToFork = true
    case .flood(let node): flood(nodes[node])
    case .join(let node): join(nodes[node])
    case .remove(let node): remove(nodes[node])
    case .recall: recall()
    case .rotate(let node): rotate(nodes[node])
    case .loseKey(let node): loseKey(nodes[node])
    case .recover(let node): recover(nodes[node])
    case .changeRule: changeRule()
    case .calm: heal()
    }
  }

  private func restart(_ node: SimulatedNode) {
    guard !node.isUp, node.hasJoined else { return }
    start(node)
  }

  /// Ends all troubles but the dishonest labs.
  private func heal() {
    isCalm = true
    breakChance = 0
    repeatChance = 0
    for from in nodes.indices {
      for to in nodes.indices where blocked[from * nodes.count + to] > 0 {
        blocked[from * nodes.count + to] = 1
        block([(from: from, to: to)], false)
      }
    }
    for node in nodes {
      node.frozenUntil = min(node.frozenUntil, time)
      node.syncSeconds = min(node.syncSeconds, 0.01)
      restart(node)
    }
  }

  // MARK: vices

  /// An equivocator that has just signed signs another entry at the same place.
  func tempt(_ node: SimulatedNode, _ entry: Entry) {
    guard node.wantsToFork, node.twin == nil, entry.sequence > 1 else { return }
    var message = entry.message
    switch message.payload {
    case .verdict(var verdict)?:
      verdict.accept.toggle()
      message.payload = .verdict(verdict)
    default: message.timeSeconds += 1
    }
    guard let twin = try? Entry(signing: message, with: node.key) else { return }
    node.twin = twin
    node.twinIsFor = nodes.indices.filter { _ in chance.nextUnit() < 0.5 }
    watch.expectFork(of: node.lab)
  }

  /// What a lab shows to another: to some, an equivocator shows its other entry.
  func twisted(_ frame: Hanse_V1_Frame, from node: SimulatedNode, to far: Int) -> Hanse_V1_Frame {
    guard let twin = node.twin, node.twinIsFor.contains(far), case .entries? = frame.kind else {
      return frame
    }
    var frame = frame
    for index in frame.entries.entries.indices {
      let signed = frame.entries.entries[index]
      guard let entry = try? reader.read(signed), entry.lab == node.lab,
        entry.sequence == twin.sequence
      else { continue }
      frame.entries.entries[index] = twin.signed
    }
    return frame
  }

  /// A flooder announces invitation after invitation.
  private func flood(_ node: SimulatedNode) {
    guard node.isUp, !node.isSyncing, node.pending.isEmpty else { return }
    for number in 0..<(60 + pick(200)) {
      let seed = ContentID(
        of: UInt64(number).littleEndianBytes + chance.next().littleEndianBytes, kind: .start)
      guard let key = SigningKey(seed: seed.bytes) else { return }
      let answer = try? node.process?.participant.invite(
        key, uses: 1, expiresInSeconds: 3600, at: node.moment(time))
      node.pending += answer?.directives ?? []
    }
    goOn(node)
  }
}
