import Determinism
import FoundationEssentials
import Gossip
import Identities
import Records
import Testing

@Suite struct LinkTests {
  @Test(arguments: [UInt64(1), 2, 3, 4, 5, 6, 7, 8])
  func everyPairEndsWithOneConnectionDialledByTheSmaller(seed: UInt64) {
    let swarm = Swarm(count: 5, seed: seed, conditions: .init(latency: 0.8))
    swarm.run(60)
    for left in 0..<5 {
      for right in 0..<left { #expect(swarm.connections(between: left, right) == 1) }
    }
    for node in swarm.nodes { #expect(node.mesh.peerStatus.allSatisfy { $0.state == .connected }) }
  }

  @Test func oneReachableSideIsEnough() {
    let swarm = Swarm(count: 2, seed: 9)
    swarm.forbidden = { dialler, _ in dialler == 0 }
    swarm.run(10)
    #expect(swarm.connections(between: 0, 1) == 1)
    #expect(swarm.nodes[0].mesh.peerStatus[0].dialledByUs == false)
  }

  @Test func anUnreachableMemberIsDialledEverMoreSeldom() {
    let swarm = Swarm(count: 2, seed: 10)
    var dials: [Double] = []
    swarm.forbidden = { dialler, _ in
      if dialler == 0 { dials.append(swarm.time) }
      return true
    }
    swarm.run(1800)
    let gaps = zip(dials, dials.dropFirst()).map { $1 - $0 }
    #expect(gaps.first! < 4)
    #expect(gaps.allSatisfy { $0 <= 1.5 * GossipLimits.dialLastSeconds + 1 })
    #expect(dials.count < 60)
    #expect(swarm.nodes[0].mesh.peerStatus[0].lastError == "unreachable")
    swarm.forbidden = { _, _ in false }
    swarm.run(95)
    #expect(swarm.connections(between: 0, 1) == 1)
  }

  @Test func anIdleConnectionIsPingedAndItsRoundTripKnown() throws {
    let swarm = Swarm(count: 2, seed: 11, conditions: .init(latency: 0.05))
    swarm.run(300)
    let trip = try #require(swarm.nodes[0].mesh.peerStatus[0].roundTrip)
    #expect(trip > 0.04 && trip < 0.2)
    #expect(swarm.connections(between: 0, 1) == 1)
    // Hello, heads, pings and pongs of five idle minutes.
    #expect(swarm.framesSent < 120)
  }

  @Test func silenceClosesTheConnectionAndDialsAgain() {
    let swarm = Swarm(count: 2, seed: 12)
    swarm.run(5)
    swarm.drops = { _, _, _ in true }
    swarm.run(85)
    #expect(swarm.connections(between: 0, 1) == 1)
    swarm.run(10) { swarm.connections(between: 0, 1) == 0 }
    #expect(swarm.connections(between: 0, 1) == 0)
    swarm.drops = { _, _, _ in false }
    swarm.run(30)
    #expect(swarm.nodes[0].mesh.peerStatus[0].state == .connected)
    let faults = swarm.nodes.flatMap { $0.mesh.peerStatus[0].faults }
    #expect(faults.contains { $0.fault == .silent })
  }

  @Test func aStoppedMachineIsNotDroppedAndDropsNobody() {
    let swarm = Swarm(count: 3, seed: 13)
    swarm.run(5)
    swarm.sleep(1, 80)
    swarm.run(120)
    for node in swarm.nodes {
      #expect(node.mesh.peerStatus.allSatisfy { $0.state == .connected && $0.faults.isEmpty })
    }
  }

  @Test func aRemovedLabIsCutAtOnceAndNotDialled() {
    let swarm = Swarm(count: 3, seed: 14)
    swarm.run(5)
    let rest = [0, 1].map { Member(lab: swarm.nodes[$0].lab, addresses: ["\($0):1"]) }
    for node in [0, 1] {
      swarm.tell(node, .members(rest, logs: swarm.nodes.map(\.lab)))
      #expect(swarm.connections(between: node, 2) == 0)
    }
    swarm.run(120)
    #expect(swarm.nodes[0].mesh.peerStatus.map(\.lab) == [swarm.nodes[1].lab])
  }

  @Test func anotherFederationIsRefusedByName() {
    let lab = SigningKey(seed: [UInt8](repeating: 1, count: 32))!
    let other = LabID(firstKey: SigningKey(seed: [UInt8](repeating: 2, count: 32))!.publicKey)
    var mesh = Mesh(
      lab: LabID(firstKey: lab.publicKey), federation: ContentID(of: [1], kind: .charter),
      software: "test", generator: SeededGenerator(seed: 1), now: Instant(nanoseconds: 0))
    let now = Instant(nanoseconds: 1)
    _ = mesh.handle(.members([Member(lab: other, addresses: [])], logs: [other]), now: now)
    let id = ConnectionID(number: 1)
    let first = mesh.handle(
      .connected(id, lab: other, address: "a:1", dialledByUs: false), now: now)
    guard case .send(id, let frame)? = first.first, case .hello? = frame.kind else {
      Issue.record("hello is not the first frame")
      return
    }
    var hello = Hanse_V1_Frame()
    hello.hello.protocol = 1
    hello.hello.federation = Data(ContentID(of: [2], kind: .charter).bytes)
    let answer = mesh.handle(.frame(id, hello), now: now)
    guard case .close(id, let reason)? = answer.last else {
      Issue.record("the connection stays open")
      return
    }
    #expect(reason.contains("federation"))
  }

  @Test func whatComesBeforeHelloEndsTheConnection() {
    let swarm = Swarm(count: 2, seed: 15)
    swarm.drops = { _, _, frame in
      if case .hello? = frame.kind { true } else { false }
    }
    swarm.run(5)
    var ping = Hanse_V1_Frame()
    ping.ping.nonce = 1
    guard let id = swarm.nodes[0].mesh.peerStatus[0].connection else {
      Issue.record("no connection")
      return
    }
    swarm.tell(0, .frame(id, ping))
    #expect(swarm.nodes[0].mesh.peerStatus[0].faults.contains { $0.fault == .outOfTurn })
    #expect(swarm.nodes[0].mesh.peerStatus[0].connection != id)
  }

  @Test func unaskedBlocksAreCountedAndEndTheConnection() {
    let swarm = Swarm(count: 2, seed: 16)
    swarm.run(5)
    let id = swarm.nodes[0].mesh.peerStatus[0].connection!
    for index in 0..<UInt32(GossipLimits.faultsPerConnection) {
      var frame = Hanse_V1_Frame()
      frame.block.object = Data(ContentID(of: [9], kind: .object).bytes)
      frame.block.index = index
      frame.block.bytes = Data([1, 2, 3])
      swarm.tell(0, .frame(id, frame))
    }
    #expect(swarm.connections(between: 0, 1) == 0)
    let status = swarm.nodes[0].mesh.peerStatus[0]
    #expect(status.faults.map(\.fault) == [.unsolicited])
    #expect(status.received.wastedBlockBytes == 3 * GossipLimits.faultsPerConnection)
  }

  @Test func randomFramesNeverTrap() {
    var generator = SeededGenerator(seed: 99)
    let swarm = Swarm(count: 2, seed: 17)
    for _ in 0..<3000 {
      swarm.run(0.05)
      guard let id = swarm.nodes[0].mesh.peerStatus[0].connection else { continue }
      swarm.tell(0, .frame(id, randomFrame(&generator, swarm)))
    }
    #expect(swarm.nodes[0].mesh.received.blockBytes > 0)
  }

  private func randomFrame(_ generator: inout SeededGenerator, _ swarm: Swarm) -> Hanse_V1_Frame {
    let numbers: [UInt64] = [0, 1, 2, .max, .max - 1, UInt64(UInt32.max), 1 << 62]
    func number() -> UInt64 { numbers.randomElement(using: &generator)! }
    func bytes() -> Data {
      let choices = [
        Data(), Data([1]), Data(swarm.nodes[0].lab.bytes), Data(swarm.nodes[1].lab.bytes),
        Data(repeating: 7, count: 32), Data(repeating: 255, count: 33),
      ]
      return choices.randomElement(using: &generator)!
    }
    var frame = Hanse_V1_Frame()
    switch generator.next() % 8 {
    case 0:
      var position = Hanse_V1_LogPosition()
      position.lab = bytes()
      position.sequence = number()
      position.entry = bytes()
      frame.heads.heads = [position]
    case 1:
      var signed = Hanse_V1_SignedEntry()
      signed.body = bytes()
      signed.signature = bytes()
      frame.entries.entries = [signed, swarm.nodes[1].sign(after: nil, salt: number()).signed]
    case 2:
      frame.wantEntries.lab = bytes()
      frame.wantEntries.after = number()
      frame.wantEntries.limit = UInt32(clamping: number())
    case 3:
      frame.wantObject.object = bytes()
      frame.wantObject.index = UInt32(clamping: number())
    case 4:
      frame.block.object = bytes()
      frame.block.index = UInt32(clamping: number())
      frame.block.bytes = bytes()
    case 5: frame.have.objects = [bytes(), bytes()]
    case 6: frame.pong.nonce = number()
    default: frame.kind = nil
    }
    return frame
  }
}
