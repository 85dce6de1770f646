import Determinism
import Foundation
import Glibc
import Gossip
import Records
import Testing

/// As many nodes as a roster has seats: still a tree, and each still knows of all.
///
/// `HANSE_SWARM_LABS` sets another number: gossip is not what bounds a roster.
@Suite(
  .enabled(if: ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full", "HANSE_TESTS=full"))
struct FullRosterTests {
  private static let count =
    ProcessInfo.processInfo.environment["HANSE_SWARM_LABS"].flatMap(Int.init) ?? Limits.labsMax

  private func isAtOne(_ swarm: Swarm, _ published: [Int: Int]) -> Bool {
    swarm.nodes.allSatisfy { node in
      published.allSatisfy { author, entries in
        node.logs[swarm.nodes[author].lab]?.count ?? 0 == entries
      }
    }
  }

  private func received(_ swarm: Swarm) -> Int {
    swarm.nodes.reduce(0) { $0 + $1.mesh.received.entries }
  }

  @Test func entriesReachEverybodyAlongATree() {
    let begun = Date()
    let swarm = Swarm(count: Self.count, seed: 1, conditions: .init(tick: 0.5))
    swarm.run(60)
    var generator = SeededGenerator(seed: 1)
    var published: [Int: Int] = [:]
    var before = 0
    func redundancy(_ entries: Int) -> Double {
      defer { before = received(swarm) }
      let ratio = Double(received(swarm) - before) / Double(entries * (Self.count - 1)) - 1
      return (ratio * 1000).rounded() / 1000
    }
    func publish(_ author: Int) {
      published[author, default: 0] += 1
      swarm.publish(author)
    }

    for _ in 0..<30 {
      publish(17)
      swarm.run(2)
    }
    swarm.run(5)
    #expect(isAtOne(swarm, published))
    let oneSender = redundancy(30)
    #expect(oneSender < 0.2)

    for _ in 0..<30 {
      publish(Int.random(in: 0..<Self.count, using: &generator))
      swarm.run(2)
    }
    swarm.run(5)
    #expect(isAtOne(swarm, published))
    let rotating = redundancy(30)
    #expect(rotating < 1)

    for node in swarm.nodes.indices { publish(node) }
    swarm.run(9)
    #expect(isAtOne(swarm, published))
    let everybody = redundancy(Self.count)
    #expect(everybody < 3)

    for node in swarm.nodes {
      #expect(node.mesh.presentLabs.count == Self.count - 1)
      #expect(node.mesh.connectedLabs.count <= GossipLimits.neighboursMost + 8)
    }
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    let seconds = Int(Date().timeIntervalSince(begun).rounded())
    print(
      "\(Self.count) nodes: redundancy \(oneSender) of one sender, \(rotating) of rotating ones, "
        + "\(everybody) of all at once; \(swarm.framesSent) frames, \(seconds) s, at most "
        + "\(usage.ru_maxrss / 1024) MiB in the process")
  }
}
