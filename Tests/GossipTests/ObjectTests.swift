import Determinism
import FoundationEssentials
import Gossip
import Identities
import Records
import Testing

@Suite struct ObjectTests {
  private static let block = GossipLimits.blockBytes

  /// A node holds an object; the others want it and know the holder as its author.
  private func publish(_ swarm: Swarm, _ node: Int, blocks: Int, seed: UInt64 = 1) -> ContentID {
    let object = SwarmObject(size: blocks * Self.block - 1000, seed: seed)
    swarm.nodes[node].objects[object.id] = object
    swarm.nodes[node].complete.insert(object.id)
    swarm.tell(node, .held(object.id))
    return object.id
  }

  private func want(_ swarm: Swarm, _ node: Int, _ object: ContentID, hint: Int? = nil) {
    let hints = hint.map { [swarm.nodes[$0].lab] } ?? []
    swarm.tell(node, .want(object, plan: nil, hints: hints, urgency: 1))
  }

  private func ratio(_ swarm: Swarm, blocks: Int, receivers: Int) -> Double {
    let bytes = swarm.nodes.reduce(0) { $0 + $1.mesh.received.blockBytes }
    return Double(bytes) / Double(receivers * (blocks * Self.block - 1000))
  }

  @Test func everyoneFetchesEachBlockOnce() {
    let swarm = Swarm(count: 5, seed: 1)
    swarm.run(5)
    let object = publish(swarm, 0, blocks: 30)
    for node in 1..<5 { want(swarm, node, object, hint: 0) }
    swarm.run(60) { (1..<5).allSatisfy { swarm.nodes[$0].complete.contains(object) } }
    #expect((1..<5).allSatisfy { swarm.nodes[$0].complete.contains(object) })
    #expect(swarm.doubleRequests == 0)
    #expect(ratio(swarm, blocks: 30, receivers: 4) < 1.01)
    #expect(swarm.nodes.allSatisfy { $0.mesh.outstandingBlocks == 0 })
  }

  @Test func aWindowOfBlocksIsOnTheWayAtOnce() {
    let swarm = Swarm(count: 2, seed: 2, conditions: .init(latency: 0.1))
    swarm.run(5)
    let object = publish(swarm, 0, blocks: 64)
    want(swarm, 1, object, hint: 0)
    var most = 0
    swarm.run(60) {
      most = max(most, swarm.nodes[1].mesh.outstandingBlocks)
      return swarm.nodes[1].complete.contains(object)
    }
    #expect(most == GossipLimits.windowLast)
  }

  @Test func aHolderNobodyAnnouncedIsFoundByAsking() {
    let swarm = Swarm(count: 5, seed: 3)
    let object = publish(swarm, 2, blocks: 3)
    swarm.drops = { _, _, frame in
      if case .have? = frame.kind { true } else { false }
    }
    swarm.run(5)
    want(swarm, 0, object)
    swarm.run(30)
    #expect(swarm.nodes[0].complete.contains(object))
  }

  @Test func brokenBlocksComeFromElsewhere() {
    let swarm = Swarm(count: 3, seed: 4)
    swarm.run(5)
    let object = publish(swarm, 0, blocks: 20)
    swarm.nodes[1].objects[object] = swarm.nodes[0].objects[object]
    swarm.tell(1, .held(object))
    swarm.nodes[1].isPoisoner = true
    want(swarm, 2, object, hint: 0)
    swarm.run(120)
    #expect(swarm.nodes[2].complete.contains(object))
    // Poison costs the few blocks that were already asked for, and no more after that.
    #expect(swarm.nodes[2].blocksRefused >= 1)
    #expect(swarm.nodes[2].blocksRefused <= GossipLimits.windowFirst)
    let faults = swarm.nodes[2].mesh.peerStatus.first { $0.lab == swarm.nodes[1].lab }?.faults
    #expect(faults?.contains { $0.fault == .badBlock } == true)
  }

  @Test func aBrokenBlockIsNotAskedOfTheSamePeerAgain() {
    let swarm = Swarm(count: 2, seed: 5)
    swarm.run(5)
    let object = publish(swarm, 0, blocks: 2)
    swarm.nodes[0].isPoisoner = true
    want(swarm, 1, object, hint: 0)
    swarm.run(600)
    #expect(!swarm.nodes[1].complete.contains(object))
    #expect(swarm.nodes[1].blocksRefused == 2)
  }

  @Test func aWithholdingPeerIsLeftAfterTheDeadline() {
    let swarm = Swarm(count: 3, seed: 6)
    swarm.run(5)
    let object = publish(swarm, 0, blocks: 8)
    swarm.nodes[1].objects[object] = swarm.nodes[0].objects[object]
    swarm.tell(1, .held(object))
    swarm.nodes[1].withholds = true
    want(swarm, 2, object)
    swarm.run(240)
    #expect(swarm.nodes[2].complete.contains(object))
    let faults = swarm.nodes[2].mesh.peerStatus.first { $0.lab == swarm.nodes[1].lab }?.faults
    #expect(faults?.contains { $0.fault == .brokenPromise } == true)
    // Nobody lost the connection over it.
    #expect(swarm.connections(between: 1, 2) == 1)
  }

  @Test func aLoneSlowHolderIsWaitedFor() {
    let swarm = Swarm(count: 2, seed: 7)
    swarm.run(5)
    let object = publish(swarm, 0, blocks: 4)
    want(swarm, 1, object, hint: 0)
    swarm.run(0.3)
    swarm.sleep(0, 60)
    swarm.run(120)
    #expect(swarm.nodes[1].complete.contains(object))
    #expect(swarm.doubleRequests == 0)
    #expect(ratio(swarm, blocks: 4, receivers: 1) < 1.01)
  }

  @Test func aBreakInTheMiddleCostsOnlyWhatWasUnderWay() {
    let swarm = Swarm(count: 2, seed: 8)
    swarm.run(5)
    let object = publish(swarm, 0, blocks: 100)
    want(swarm, 1, object, hint: 0)
    swarm.run(60) { (swarm.nodes[1].mesh.progress(of: object)?.stored ?? 0) >= 40 }
    swarm.cut(0, 1)
    swarm.run(60)
    #expect(swarm.nodes[1].complete.contains(object))
    let refetched = ratio(swarm, blocks: 100, receivers: 1) - 1
    #expect(refetched * 100 <= Double(GossipLimits.windowLast))
  }

  @Test func whatIsHeldAtTheStartIsNotFetchedAgain() {
    let swarm = Swarm(count: 2, seed: 9)
    swarm.run(5)
    let object = publish(swarm, 0, blocks: 20)
    var part = swarm.nodes[0].objects[object]!
    let missing: [UInt32] = [3, 7, 19]
    for index in missing { part.blocks[index] = nil }
    swarm.nodes[1].objects[object] = part
    let plan = BlockPlan(size: part.size, missing: missing)
    swarm.tell(1, .want(object, plan: plan, hints: [swarm.nodes[0].lab], urgency: 1))
    swarm.run(10)
    #expect(swarm.nodes[1].complete.contains(object))
    #expect(swarm.nodes[1].mesh.received.blockBytes == 3 * Self.block - 1000)
  }

  @Test func theNewestRoundComesFirst() {
    let swarm = Swarm(count: 2, seed: 10, conditions: .init(latency: 0.1))
    swarm.run(5)
    let old = publish(swarm, 0, blocks: 60, seed: 1)
    let new = publish(swarm, 0, blocks: 60, seed: 2)
    let hints = [swarm.nodes[0].lab]
    swarm.tell(1, .want(old, plan: nil, hints: hints, urgency: 1))
    swarm.tell(1, .want(new, plan: nil, hints: hints, urgency: 2))
    swarm.run(60) { swarm.nodes[1].complete.contains(new) }
    #expect(!swarm.nodes[1].complete.contains(old))
    swarm.run(60)
    #expect(swarm.nodes[1].complete.contains(old))
  }

  @Test(arguments: [UInt64(41), 42, 43])
  func lossAndBreaksLoseNoObject(seed: UInt64) {
    let swarm = Swarm(
      count: 5, seed: seed, conditions: .init(latency: 0.05, loss: 0.01, breaks: 0.003))
    swarm.run(10)
    let objects = (0..<5).map { publish(swarm, $0, blocks: 6, seed: UInt64($0)) }
    for node in 0..<5 {
      for (author, object) in objects.enumerated() where author != node {
        want(swarm, node, object, hint: author)
      }
    }
    let isDone = {
      swarm.nodes.allSatisfy { node in objects.allSatisfy { node.complete.contains($0) } }
    }
    swarm.run(900, until: isDone)
    #expect(isDone())
  }
}

/// Objects among more labs than a full mesh holds.
@Suite struct SparseObjectTests {
  private static let count = 40

  private func publish(_ swarm: Swarm, _ node: Int, blocks: Int) -> ContentID {
    let object = SwarmObject(size: blocks * GossipLimits.blockBytes - 1000, seed: 1)
    swarm.nodes[node].objects[object.id] = object
    swarm.nodes[node].complete.insert(object.id)
    swarm.tell(node, .held(object.id))
    return object.id
  }

  private func want(_ swarm: Swarm, _ node: Int, _ object: ContentID, hint: Int) {
    let hints = [swarm.nodes[hint].lab]
    swarm.tell(node, .want(object, plan: nil, hints: hints, urgency: 1))
  }

  @Test func anObjectSpreadsFromNeighbourToNeighbour() {
    let swarm = Swarm(count: Self.count, seed: 1, conditions: .init(tick: 0.5))
    swarm.run(40)
    let object = publish(swarm, 3, blocks: 30)
    for node in 0..<Self.count where node != 3 { want(swarm, node, object, hint: 3) }
    let isDone = { swarm.nodes.allSatisfy { $0.complete.contains(object) } }
    swarm.run(120, until: isDone)
    #expect(isDone())
    let received = swarm.nodes.reduce(0) { $0 + $1.mesh.received.blockBytes }
    let ideal = (Self.count - 1) * (30 * GossipLimits.blockBytes - 1000)
    #expect(Double(received) / Double(ideal) < 1.05)
  }

  @Test func whatNoNeighbourHasIsFetchedByAVisit() {
    let swarm = Swarm(count: Self.count, seed: 2, conditions: .init(tick: 0.5))
    swarm.run(40)
    let object = publish(swarm, 0, blocks: 20)
    let far = swarm.nodes.indices.first { node in
      node != 0 && !swarm.nodes[node].mesh.connectedLabs.contains(swarm.nodes[0].lab)
    }!
    want(swarm, far, object, hint: 0)
    swarm.run(60) { swarm.nodes[far].complete.contains(object) }
    #expect(swarm.nodes[far].complete.contains(object))
    // The visit is over when it has served its purpose.
    swarm.run(60)
    #expect(!swarm.nodes[far].mesh.connectedLabs.contains(swarm.nodes[0].lab))
  }

  @Test func anAuthorThatNobodyCanDialIsAskedThroughItsNeighbours() {
    let swarm = Swarm(count: Self.count, seed: 3, conditions: .init(tick: 0.5))
    swarm.hide([0])
    swarm.forbidden = { $1 == 0 }
    swarm.run(60)
    let object = publish(swarm, 0, blocks: 8)
    for node in 1..<Self.count { want(swarm, node, object, hint: 0) }
    let isDone = { swarm.nodes.allSatisfy { $0.complete.contains(object) } }
    swarm.run(120, until: isDone)
    #expect(isDone())
  }
}
