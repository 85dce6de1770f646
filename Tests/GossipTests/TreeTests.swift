import Determinism
import Foundation
import Gossip
import Identities
import Records
import Testing

/// A hundred nodes: neighbours instead of a full mesh, and entries along a tree.
@Suite struct TreeTests {
  private static let count = 100
  /// Seconds of each take their time: one seed for every commit, more for a full run.
  private static let seeds: [UInt64] =
    ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full" ? [1, 2, 3, 4, 5, 6] : [1]

  private func swarm(_ seed: UInt64, _ conditions: Swarm.Conditions = .init(tick: 0.5)) -> Swarm {
    let swarm = Swarm(count: Self.count, seed: seed, conditions: conditions)
    swarm.run(30)
    return swarm
  }

  /// Whether the nodes that are up hold all that the authors have published.
  private func isAtOne(_ swarm: Swarm) -> Bool {
    let logs = swarm.nodes.map { ($0.lab, $0.logs[$0.lab]?.count ?? 0) }
    return swarm.nodes.allSatisfy { node in
      node.isDown || logs.allSatisfy { node.logs[$0.0]?.count ?? 0 == $0.1 }
    }
  }

  /// Relative message redundancy, as Plumtree's authors measure it: what each entry cost beyond one
  /// message for each receiver.
  private func redundancy(_ swarm: Swarm, entries: Int) -> Double {
    let received = swarm.nodes.reduce(0) { $0 + $1.mesh.received.entries }
    return Double(received) / Double(entries * (swarm.nodes.count - 1)) - 1
  }

  private func report(_ what: String, _ value: Double, _ seed: UInt64) {
    print("redundancy at 100 nodes, \(what), seed \(seed): \((value * 1000).rounded() / 1000)")
  }

  @Test(arguments: seeds) func oneSender(seed: UInt64) {
    let swarm = swarm(seed)
    for _ in 0..<30 {
      swarm.publish(17)
      swarm.run(2)
    }
    swarm.run(5)
    #expect(isAtOne(swarm))
    let value = redundancy(swarm, entries: 30)
    report("one sender", value, seed)
    #expect(value < 0.2)
  }

  @Test(arguments: seeds) func anotherSenderEachRound(seed: UInt64) {
    let swarm = swarm(seed)
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<30 {
      swarm.publish(Int.random(in: 0..<Self.count, using: &generator))
      swarm.run(2)
    }
    swarm.run(5)
    #expect(isAtOne(swarm))
    let value = redundancy(swarm, entries: 30)
    report("rotating senders", value, seed)
    #expect(value < 1)
  }

  @Test(arguments: seeds) func everybodyAtOnce(seed: UInt64) {
    let swarm = swarm(seed)
    for _ in 0..<5 {
      for node in swarm.nodes.indices { swarm.publish(node) }
      swarm.run(4)
    }
    swarm.run(5)
    #expect(isAtOne(swarm))
    let value = redundancy(swarm, entries: 5 * Self.count)
    report("everybody at once", value, seed)
    #expect(value < 3)
  }

  @Test(arguments: seeds) func lossAndBreaksLoseNoEntry(seed: UInt64) {
    let swarm = swarm(seed, .init(latency: 0.05, loss: 0.02, breaks: 0.002, tick: 0.5))
    for round in 0..<20 {
      swarm.publish(round * 7 % Self.count)
      swarm.run(2)
    }
    swarm.conditions = Swarm.Conditions(tick: 0.5)
    swarm.run(90) { isAtOne(swarm) }
    #expect(isAtOne(swarm))
    report("lossy links", redundancy(swarm, entries: 20), seed)
  }

  @Test(arguments: seeds) func aThirdDiesAndTheRestHearsEverything(seed: UInt64) {
    let swarm = swarm(seed)
    swarm.publish(0)
    swarm.run(2)
    var generator = SeededGenerator(seed: seed)
    let dead = (1..<Self.count).shuffled(using: &generator).prefix(30)
    for node in dead { swarm.crash(node) }
    for round in 0..<10 {
      swarm.publish((0..<Self.count).filter { !swarm.nodes[$0].isDown }[round * 5])
      swarm.run(2)
    }
    swarm.run(30) { isAtOne(swarm) }
    #expect(isAtOne(swarm))
    let least = swarm.nodes.filter { !$0.isDown }.map(\.mesh.neighbours.count).min()
    #expect(least ?? 0 >= GossipLimits.neighboursWanted - 1)
    // In time nobody waits for the dead any more.
    swarm.run(GossipLimits.presentSeconds + 60)
    let gone = Set(dead.map { swarm.nodes[$0].lab })
    #expect(swarm.nodes[0].mesh.presentLabs.count == Self.count - 31)
    #expect(swarm.nodes[0].mesh.presentLabs.allSatisfy { !gone.contains($0) })
  }

  @Test(arguments: seeds) func churnLosesNoEntry(seed: UInt64) {
    let swarm = swarm(seed)
    var generator = SeededGenerator(seed: seed)
    var dead: [Int] = []
    for _ in 0..<20 {
      let up = swarm.nodes.indices.filter { !swarm.nodes[$0].isDown }
      swarm.publish(up.randomElement(using: &generator)!)
      for node in up.shuffled(using: &generator).prefix(3) {
        swarm.crash(node)
        dead.append(node)
      }
      while dead.count > 15 { swarm.revive(dead.removeFirst()) }
      swarm.run(2)
    }
    for node in dead { swarm.revive(node) }
    swarm.run(60) { isAtOne(swarm) }
    #expect(isAtOne(swarm))
  }

  @Test(arguments: seeds) func twoHalvesGrowTogetherAgain(seed: UInt64) {
    let swarm = swarm(seed)
    let half = Self.count / 2
    swarm.forbidden = { ($0 < half) != ($1 < half) }
    for left in 0..<half { for right in half..<Self.count { swarm.cut(left, right) } }
    // Long enough for each half to be content with itself.
    for round in 0..<20 {
      swarm.publish(round)
      swarm.publish(half + round)
      swarm.run(3)
    }
    #expect(!isAtOne(swarm))
    swarm.forbidden = { _, _ in false }
    swarm.run(60) { isAtOne(swarm) }
    #expect(isAtOne(swarm))
    // The trees have met, not only the visitors: what is said now needs no visit.
    swarm.run(60)
    swarm.publish(0)
    swarm.run(5)
    #expect(isAtOne(swarm))
  }

  @Test(arguments: seeds) func labsThatCanOnlyDialMissNothing(seed: UInt64) {
    let swarm = Swarm(count: Self.count, seed: seed, conditions: .init(tick: 0.5))
    swarm.hide(0..<80)
    swarm.forbidden = { $1 < 80 }
    swarm.run(60)
    for round in 0..<5 {
      swarm.publish(round * 13)
      swarm.publish(80 + round)
      swarm.run(3)
    }
    swarm.run(30) { isAtOne(swarm) }
    #expect(isAtOne(swarm))
    #expect(swarm.nodes.allSatisfy { !$0.mesh.neighbours.isEmpty })
  }

  @Test func everyNodeKnowsWhoIsThereAndKeepsFewLinks() {
    let swarm = swarm(7)
    swarm.run(60)
    for node in swarm.nodes {
      #expect(node.mesh.presentLabs.count == Self.count - 1)
      #expect(node.mesh.connectedLabs.count <= GossipLimits.neighboursMost + 8)
      #expect(node.mesh.neighbours.count >= GossipLimits.neighboursWanted)
      // More than half of all labs have said where this node's own log ends.
      #expect(2 * (1 + node.mesh.ownHeadReports.count) > Self.count)
    }
    // Both sides of a link agree on it.
    for node in swarm.nodes {
      for lab in node.mesh.neighbours {
        let other = swarm.nodes.first { $0.lab == lab }!
        #expect(other.mesh.neighbours.contains(node.lab))
      }
    }
  }

  @Test func theRosterAloneDecidesBetweenMeshAndNeighbours() {
    let swarm = Swarm(count: 17, seed: 8)
    let labs = swarm.nodes.map(\.lab)
    let members = swarm.nodes.map { Member(lab: $0.lab, addresses: ["\($0.index):1"]) }
    for node in 0..<16 { swarm.tell(node, .members(Array(members.prefix(16)), logs: labs)) }
    swarm.crash(16)
    swarm.run(20)
    for node in 0..<16 { #expect(swarm.nodes[node].mesh.connectedLabs.count == 15) }
    // A seventeenth: most connections are given up, and nobody is without neighbours meanwhile.
    for node in 0..<16 { swarm.tell(node, .members(members, logs: labs)) }
    swarm.revive(16)
    swarm.run(120)
    for node in swarm.nodes {
      #expect(node.mesh.neighbours.count >= GossipLimits.neighboursWanted)
      #expect(node.mesh.connectedLabs.count < 15)
    }
    swarm.publish(16)
    swarm.run(5)
    #expect(swarm.nodes.allSatisfy { $0.logs[labs[16]]?.count == 1 })
    // And back.
    swarm.crash(16)
    for node in 0..<16 { swarm.tell(node, .members(Array(members.prefix(16)), logs: labs)) }
    swarm.run(90)
    for node in 0..<16 { #expect(swarm.nodes[node].mesh.connectedLabs.count == 15) }
  }
}
