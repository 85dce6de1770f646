import Determinism
import FoundationEssentials
import Gossip
import Identities
import Records
import Testing

@Suite struct EntryTests {
  private func lengths(_ swarm: Swarm) -> [[Int]] {
    swarm.nodes.map { node in swarm.nodes.map { node.logs[$0.lab]?.count ?? 0 } }
  }

  private func redundancy(_ swarm: Swarm) -> Double {
    let all = swarm.nodes.reduce(0) { $0 + $1.mesh.received.entries }
    let inVain = swarm.nodes.reduce(0) { $0 + $1.mesh.received.duplicateEntries }
    return all == inVain ? 0 : Double(inVain) / Double(all - inVain)
  }

  @Test func anEntryReachesTheOtherOfTwo() {
    let swarm = Swarm(count: 2, seed: 1)
    swarm.run(5)
    #expect(swarm.connections(between: 0, 1) == 1)
    let entry = swarm.publish(0)
    swarm.run(0.2)
    #expect(swarm.nodes[1].logs[swarm.nodes[0].lab]?.last?.id == entry.id)
  }

  @Test(arguments: [UInt64(1), 2, 3, 4])
  func oneSenderCostsOneCopyForEach(seed: UInt64) {
    let swarm = Swarm(count: 10, seed: seed)
    swarm.run(10)
    for _ in 0..<30 {
      swarm.publish(3)
      swarm.run(2)
    }
    #expect(lengths(swarm).allSatisfy { $0[3] == 30 })
    #expect(redundancy(swarm) < 0.01)
  }

  @Test func everybodyAtOnceCostsNoMore() {
    let swarm = Swarm(count: 10, seed: 5)
    swarm.run(10)
    for _ in 0..<5 {
      for node in 0..<10 { swarm.publish(node) }
      swarm.run(3)
    }
    #expect(lengths(swarm).allSatisfy { $0.allSatisfy { $0 == 5 } })
    #expect(redundancy(swarm) < 0.05)
  }

  @Test(arguments: [UInt64(11), 12, 13, 14, 15, 16])
  func lossAndBreaksLoseNoEntry(seed: UInt64) {
    let swarm = Swarm(
      count: 5, seed: seed,
      conditions: Swarm.Conditions(latency: 0.1, loss: 0.05, breaks: 0.01))
    for round in 0..<40 {
      swarm.publish(round % 5)
      swarm.run(1)
    }
    swarm.conditions = Swarm.Conditions()
    swarm.run(120) { lengths(swarm).allSatisfy { $0.allSatisfy { $0 == 8 } } }
    #expect(lengths(swarm).allSatisfy { $0.allSatisfy { $0 == 8 } })
    #expect(redundancy(swarm) < 1)
  }

  @Test func leavesOfAStarHearOfEachOther() {
    let swarm = Swarm(count: 5, seed: 7)
    swarm.forbidden = { dialler, target in dialler != 2 && target != 2 }
    swarm.run(10)
    swarm.publish(0)
    swarm.run(1.5)
    #expect(lengths(swarm).allSatisfy { $0[0] == 1 })
    // Whoever had to ask once gets the next ones pushed: no delay but the way's.
    swarm.publish(0)
    swarm.run(0.15)
    #expect(lengths(swarm).allSatisfy { $0[0] == 2 })
    #expect(redundancy(swarm) < 0.1)
  }

  @Test func aLateLabCatchesUpFromOneSource() {
    let swarm = Swarm(count: 4, seed: 8)
    swarm.forbidden = { $0 == 3 || $1 == 3 }
    swarm.run(5)
    for _ in 0..<60 { for node in 0..<3 { swarm.publish(node) } }
    swarm.run(5)
    swarm.forbidden = { _, _ in false }
    swarm.run(90) { lengths(swarm)[3] == [60, 60, 60, 0] }
    #expect(lengths(swarm)[3] == [60, 60, 60, 0])
    let received = swarm.nodes[3].mesh.received
    #expect(received.entries - received.duplicateEntries == 180)
    #expect(received.duplicateEntries < 20)
  }

  @Test func aFlooderIsHeldBackUntilTheRoundAdvances() {
    let swarm = Swarm(count: 3, seed: 9)
    swarm.run(5)
    for _ in 0..<300 { swarm.publish(0) }
    swarm.run(50)
    let flooder = swarm.nodes[0].lab
    let allowed = Int(GossipLimits.entriesPerRound(labs: 3))
    #expect(swarm.nodes[1].logs[flooder]?.count == allowed)
    // Nobody else is disturbed.
    swarm.publish(2)
    swarm.run(1)
    #expect(swarm.nodes[1].logs[swarm.nodes[2].lab]?.count == 1)
    swarm.tell(1, .round(1))
    swarm.run(50)
    #expect(swarm.nodes[1].logs[flooder]?.count == 2 * allowed)
    // A round that lasts lets a little more in with each minute.
    let trickle = Int(GossipLimits.entriesTrickle(labs: 3))
    #expect(swarm.nodes[2].logs[flooder]?.count == allowed + trickle)
  }

  @Test func aLogThatIsBehindTheRoundIsReadOnInFromWhereItIsShownToBe() {
    let swarm = Swarm(count: 3, seed: 9)
    swarm.run(5)
    for _ in 0..<300 { swarm.publish(0) }
    swarm.run(20)
    let late = swarm.nodes[0].lab
    let allowed = Int(GossipLimits.entriesPerRound(labs: 3))
    #expect(swarm.nodes[1].logs[late]?.count == allowed)
    // What was not read, and what lies before, moves nothing.
    for sequence in [UInt64(allowed + 1), 0] {
      swarm.tell(1, .ended(lab: late, sequence: sequence))
      swarm.run(5)
      #expect(swarm.nodes[1].logs[late]?.count == allowed)
    }
    swarm.tell(1, .ended(lab: late, sequence: UInt64(allowed - 20)))
    swarm.run(5)
    #expect(swarm.nodes[1].logs[late]?.count == 2 * allowed - 20)
    swarm.tell(1, .ended(lab: late, sequence: UInt64(allowed - 30)))
    swarm.run(5)
    #expect(swarm.nodes[1].logs[late]?.count == 2 * allowed - 20)
  }

  @Test func bothBranchesOfAForkCrossAndReachEverybody() {
    let swarm = Swarm(count: 4, seed: 10)
    swarm.run(5)
    let liar = swarm.nodes[0]
    for _ in 0..<3 { swarm.publish(0) }
    swarm.run(2)
    // Node 0 shows 1 and 2 one continuation, node 3 another one, eight entries deep.
    swarm.forbidden = { _, _ in true }
    for left in 0..<4 { for right in 0..<left { swarm.cut(left, right) } }
    swarm.run(1)
    for salt in [UInt64(1), 2] {
      var log = swarm.nodes[0].logs[liar.lab]!
      for _ in 0..<8 { log.append(liar.sign(after: log.last, salt: salt)) }
      for node in salt == 1 ? [1, 2] : [3] {
        swarm.nodes[node].logs[liar.lab] = log
        for entry in log.suffix(8) { swarm.tell(node, .appended(entry)) }
      }
    }
    swarm.forbidden = { $0 == 0 || $1 == 0 }
    swarm.run(120)
    for node in 1..<4 {
      let other = swarm.nodes[node].evidence[liar.lab]?[4]
      #expect(other != nil, "node \(node) holds no proof at the first fork")
      #expect(other?.id != swarm.nodes[node].logs[liar.lab]?[3].id)
    }
  }

  @Test func aForkAtTheHeadIsProvedByOneEntryEach() {
    let swarm = Swarm(count: 3, seed: 20)
    swarm.forbidden = { $0 == 0 || $1 == 0 }
    let liar = swarm.nodes[0]
    for (node, salt) in [(1, UInt64(1)), (2, 2)] {
      let entry = liar.sign(after: nil, salt: salt)
      swarm.nodes[node].logs[liar.lab] = [entry]
      swarm.tell(node, .appended(entry))
    }
    swarm.run(10)
    for node in 1..<3 { #expect(swarm.nodes[node].evidence[liar.lab]?.count == 1) }
    let compared = swarm.nodes.map(\.compared)
    swarm.run(300)
    // What was compared once is not compared again every thirty seconds.
    #expect(swarm.nodes.map(\.compared) == compared)
  }

  @Test func aLiarAboutHeadsDelaysNobody() {
    let swarm = Swarm(count: 4, seed: 22)
    swarm.forbidden = { $0 == 0 || $1 == 0 }
    swarm.run(5)
    let author = swarm.nodes[0].lab
    let liar = swarm.nodes[2].lab
    let id = swarm.nodes[1].mesh.peerStatus.first { $0.lab == liar }!.connection!
    var claim = Hanse_V1_Frame()
    claim.heads.heads = [
      Head(lab: author, sequence: .max, entry: ContentID(of: [7], kind: .entry)).wire
    ]
    var log: [Entry] = []
    for _ in 0..<5 { log.append(swarm.nodes[0].sign(after: log.last)) }
    for round in 0..<5 {
      swarm.tell(1, .frame(id, claim))
      swarm.nodes[3].logs[author, default: []].append(log[round])
      swarm.tell(3, .appended(log[round]))
      swarm.run(3)
      #expect(swarm.nodes[1].logs[author]?.count == round + 1)
    }
    let faults = swarm.nodes[1].mesh.peerStatus.first { $0.lab == liar }!.faults
    #expect(faults.contains { $0.fault == .brokenPromise })
  }

  @Test func aRestoredLabGetsItsOwnLogBackAndKnowsWhoReported() {
    let swarm = Swarm(count: 4, seed: 21)
    swarm.forbidden = { $0 == 0 || $1 == 0 }
    let lab = swarm.nodes[0].lab
    var log: [Entry] = []
    for _ in 0..<100 { log.append(swarm.nodes[0].sign(after: log.last)) }
    for node in 1..<4 {
      swarm.nodes[node].logs[lab] = log
      swarm.tell(node, .head(Head(log[99])))
    }
    swarm.nodes[0].logs[lab] = Array(log.prefix(10))
    swarm.tell(0, .head(Head(log[9])))
    swarm.run(2)
    #expect(swarm.nodes[0].mesh.ownHeadReports.isEmpty)
    swarm.forbidden = { _, _ in false }
    swarm.run(70)
    #expect(swarm.nodes[0].mesh.ownHeadReports.map(\.sequence) == [100, 100, 100])
    #expect(swarm.nodes[0].logs[lab]?.count == 100)
  }

  @Test func theSameSeedGivesTheSameFrames() {
    func trace(_ seed: UInt64) -> UInt64 {
      let swarm = Swarm(count: 5, seed: seed, conditions: .init(loss: 0.02, breaks: 0.005))
      for round in 0..<20 {
        swarm.publish(round % 5)
        swarm.run(1)
      }
      swarm.run(60)
      return swarm.trace
    }
    let first = trace(30)
    #expect(trace(30) == first)
    #expect(trace(31) != first)
  }
}
