import Determinism
import FoundationEssentials
import Gossip
import Identities
import Records
import Testing

@Suite struct SnapshotTests {
  private static let size = 20 * GossipLimits.blockBytes - 1000
  private let root = ContentID(of: [1], kind: .state)
  private let older = ContentID(of: [2], kind: .state)

  /// Gives a node a snapshot: an object of its own making for each seed.
  private func give(_ swarm: Swarm, _ node: Int, _ root: ContentID, seed: UInt64) -> ContentID {
    let object = SwarmObject(size: Self.size, seed: seed)
    swarm.nodes[node].objects[object.id] = object
    swarm.nodes[node].snapshots[root] = object.id
    return object.id
  }

  private func look(_ swarm: Swarm, _ node: Int, for roots: [ContentID], truth: ContentID) {
    swarm.nodes[node].trueSnapshot = truth
    swarm.tell(node, .wantSnapshot(roots: roots, size: UInt64(Self.size)))
  }

  private func faults(_ swarm: Swarm, of node: Int, at other: Int) -> [PeerFault] {
    swarm.nodes[other].mesh.peerStatus.first { $0.lab == swarm.nodes[node].lab }?
      .faults.map(\.fault) ?? []
  }

  @Test func itsBlocksComeFromAllWhoHaveIt() {
    let swarm = Swarm(count: 4, seed: 1)
    swarm.run(5)
    let object = give(swarm, 0, root, seed: 9)
    _ = give(swarm, 1, root, seed: 9)
    _ = give(swarm, 2, root, seed: 9)
    look(swarm, 3, for: [root], truth: object)
    swarm.run(60) { swarm.nodes[3].complete.contains(object) }
    #expect(swarm.nodes[3].complete.contains(object))
    #expect(swarm.doubleRequests == 0)
    let received = swarm.nodes[3].mesh.peerStatus.map(\.received.blockBytes)
    #expect(received.allSatisfy { $0 > 0 }, "\(received)")
  }

  @Test func whatIsNotTheStateIsDroppedAndWhoNamedItNotAskedAgain() {
    for seed in 1...8 as ClosedRange<UInt64> {
      let swarm = Swarm(count: 4, seed: seed)
      swarm.run(5)
      _ = give(swarm, 0, root, seed: 100)
      _ = give(swarm, 1, root, seed: 101)
      let object = give(swarm, 2, root, seed: 9)
      look(swarm, 3, for: [root], truth: object)
      swarm.run(240) { swarm.nodes[3].complete.contains(object) }
      #expect(swarm.nodes[3].complete.contains(object), "seed \(seed)")
      // Each lie is fetched once at most.
      #expect(swarm.nodes[3].snapshotsWrong <= 2)
      #expect(faults(swarm, of: 2, at: 3).isEmpty)
      let blamed = [0, 1].filter { faults(swarm, of: $0, at: 3).contains(.badSnapshot) }
      #expect(blamed.count == swarm.nodes[3].snapshotsWrong)
    }
  }

  @Test func whoNamesAnObjectThatNobodyHasIsLeft() {
    let swarm = Swarm(count: 3, seed: 3)
    swarm.run(5)
    let lie = give(swarm, 0, root, seed: 100)
    swarm.nodes[0].withholds = true
    swarm.nodes[0].objects[lie] = SwarmObject(size: Self.size, seed: 100)
    let object = give(swarm, 1, root, seed: 9)
    look(swarm, 2, for: [root], truth: object)
    swarm.run(300) { swarm.nodes[2].complete.contains(object) }
    #expect(swarm.nodes[2].complete.contains(object))
  }

  @Test func aSizeThatNoStateHasIsRefusedAtOnce() {
    let swarm = Swarm(count: 3, seed: 4)
    swarm.run(5)
    let small = SwarmObject(size: 1000, seed: 100)
    swarm.nodes[0].objects[small.id] = small
    swarm.nodes[0].snapshots[root] = small.id
    let object = give(swarm, 1, root, seed: 9)
    look(swarm, 2, for: [root], truth: object)
    swarm.run(60) { swarm.nodes[2].complete.contains(object) }
    #expect(swarm.nodes[2].complete.contains(object))
    #expect(swarm.nodes[2].snapshotsWrong == 0)
    #expect(faults(swarm, of: 0, at: 2) == [.badSnapshot])
  }

  @Test func anOlderStateWillDoWhenNobodyHasTheNewest() {
    let swarm = Swarm(count: 3, seed: 5)
    swarm.run(5)
    let object = give(swarm, 0, older, seed: 9)
    look(swarm, 2, for: [root, older], truth: object)
    swarm.run(60) { swarm.nodes[2].complete.contains(object) }
    #expect(swarm.nodes[2].complete.contains(object))
  }

  @Test func whenNobodyHasAnyTheShellIsTold() {
    let swarm = Swarm(count: 3, seed: 6)
    swarm.run(5)
    look(swarm, 2, for: [root], truth: root)
    swarm.run(20) { swarm.nodes[2].foundNoSnapshot }
    #expect(swarm.nodes[2].foundNoSnapshot)
    // It is not the end: who comes to have it is asked again.
    let object = give(swarm, 1, root, seed: 9)
    swarm.nodes[2].trueSnapshot = object
    swarm.run(200) { swarm.nodes[2].complete.contains(object) }
    #expect(swarm.nodes[2].complete.contains(object))
  }

  @Test func oneRequestAtATimeIsAnswered() {
    let swarm = Swarm(count: 2, seed: 7)
    swarm.run(5)
    var frame = Hanse_V1_Frame()
    frame.wantSnapshot.stateRoots = [Data(root.bytes)]
    let id = swarm.nodes[0].mesh.peerStatus[0].connection!
    let now = swarm.now
    let first = swarm.nodes[0].mesh.handle(.frame(id, frame), now: now)
    let second = swarm.nodes[0].mesh.handle(.frame(id, frame), now: now)
    func asksForOne(_ directives: [Directive]) -> Bool {
      directives.contains { if case .makeSnapshot = $0 { true } else { false } }
    }
    #expect(asksForOne(first))
    #expect(!asksForOne(second))
    #expect(faults(swarm, of: 1, at: 0) == [.tooManyRequests])
  }
}
