import Determinism
import FoundationEssentials
import Gossip
import Identities
import Records
import Testing

/// A hundred nodes: neighbours instead of a full mesh, and entries along a tree.
@Suite struct TreeTests {
  private static let count = 100

  private func swarm(_ seed: UInt64, count: Int = Self.count) -> Swarm {
    let swarm = Swarm(count: count, seed: seed, conditions: .init(tick: 0.5))
    swarm.run(40)
    return swarm
  }

  /// How many entries of each log a node holds.
  private func lengths(_ swarm: Swarm, _ node: Int) -> [Int] {
    swarm.nodes.map { swarm.nodes[node].logs[$0.lab]?.count ?? 0 }
  }

  private func received(_ swarm: Swarm) -> Int {
    swarm.nodes.reduce(0) { $0 + $1.mesh.received.entries }
  }

  /// Relative message redundancy, as Plumtree's authors measure it: what each entry cost beyond one
  /// message for each receiver.
  private func redundancy(_ swarm: Swarm, entries: Int, since: Int) -> Double {
    Double(received(swarm) - since) / Double(entries * (swarm.nodes.count - 1)) - 1
  }

  private func report(_ what: String, _ value: Double, _ seed: UInt64) {
    print("redundancy at 100 nodes, \(what), seed \(seed): \((value * 1000).rounded() / 1000)")
  }

  @Test(arguments: [UInt64(1), 2, 3, 4])
  func oneSender(seed: UInt64) {
    let swarm = swarm(seed)
    for _ in 0..<30 {
      swarm.publish(17)
      swarm.run(3)
    }
    swarm.run(10)
    #expect(swarm.nodes.indices.allSatisfy { lengths(swarm, $0)[17] == 30 })
    let value = redundancy(swarm, entries: 30, since: 0)
    report("one sender", value, seed)
    #expect(value < 0.2)
  }

  @Test(arguments: [UInt64(1), 2, 3, 4])
  func anotherSenderEachRound(seed: UInt64) {
    let swarm = swarm(seed)
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<30 {
      swarm.publish(Int.random(in: 0..<Self.count, using: &generator))
      swarm.run(3)
    }
    swarm.run(10)
    let own = swarm.nodes.map { $0.logs[$0.lab]?.count ?? 0 }
    #expect(swarm.nodes.indices.allSatisfy { lengths(swarm, $0) == own })
    let value = redundancy(swarm, entries: 30, since: 0)
    report("rotating senders", value, seed)
    #expect(value < 1)
  }

  @Test(arguments: [UInt64(1), 2])
  func everybodyAtOnce(seed: UInt64) {
    let swarm = swarm(seed)
    for _ in 0..<5 {
      for node in swarm.nodes.indices { swarm.publish(node) }
      swarm.run(5)
    }
    swarm.run(10)
    let all = [Int](repeating: 5, count: Self.count)
    #expect(swarm.nodes.indices.allSatisfy { lengths(swarm, $0) == all })
    let value = redundancy(swarm, entries: 5 * Self.count, since: 0)
    report("everybody at once", value, seed)
    #expect(value < 3)
  }
}
