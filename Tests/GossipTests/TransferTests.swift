import Determinism
import Foundation
import Gossip
import Identities
import Records
import Testing

/// Many objects over thin lines, and lines that may not be filled.
@Suite struct TransferTests {
  private static let megabyte = 1_000_000.0
  /// Bytes of an object: what the numbers are promised for, or less for every commit.
  private static let size =
    ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full" ? 20 << 20 : 20 << 18

  private func publish(_ swarm: Swarm, _ node: Int, size: Int, fill: UInt64) -> ContentID {
    let object = SwarmObject(repeating: fill, size: size)
    swarm.nodes[node].objects[object.id] = object
    swarm.nodes[node].complete.insert(object.id)
    swarm.tell(node, .held(object.id))
    return object.id
  }

  private func want(_ swarm: Swarm, _ node: Int, _ object: ContentID, hint: Int) {
    let plan = swarm.nodes[node].objects[object]?.plan
    swarm.tell(
      node, .want(object, plan: plan, hints: [swarm.nodes[hint].lab], urgency: 1))
  }

  /// Ten nodes of which each publishes five objects that all others want.
  private func publishFifty(_ swarm: Swarm) -> [(author: Int, object: ContentID)] {
    swarm.run(10)
    var all: [(author: Int, object: ContentID)] = []
    for author in 0..<10 {
      for number in 0..<5 {
        let fill = UInt64(author * 5 + number + 1) &* 0x9E37_79B9_7F4A_7C15
        all.append((author, publish(swarm, author, size: Self.size, fill: fill)))
      }
    }
    for node in 0..<10 {
      for (author, object) in all where author != node { want(swarm, node, object, hint: author) }
    }
    return all
  }

  private func received(_ swarm: Swarm) -> Int {
    swarm.nodes.reduce(0) { $0 + $1.mesh.received.blockBytes }
  }

  @Test(arguments: [UInt64(1), 2]) func fiftyObjectsCrossThinLinesOnce(seed: UInt64) {
    let swarm = Swarm(
      count: 10, seed: seed, conditions: .init(uplink: Self.megabyte, tick: 0.5))
    let all = publishFifty(swarm)
    let began = swarm.time
    let isDone = { swarm.nodes.allSatisfy { $0.complete.count == all.count } }
    swarm.run(3600, until: isDone)
    #expect(isDone())
    let ideal = 9 * all.count * Self.size
    let ratio = Double(received(swarm)) / Double(ideal)
    // Everything has to leave through ten lines.
    let seconds = Double(ideal) / 10 / Self.megabyte
    let stretch = (swarm.time - began) / seconds
    print("50 objects to 9 nodes each: received/ideal \(ratio), time/ideal \(stretch)")
    #expect(ratio <= 1.05)
    #expect(stretch < 1.5)
  }

  @Test func aNodeKilledAtHalfFetchesLittleAgain() {
    let swarm = Swarm(count: 10, seed: 3, conditions: .init(uplink: Self.megabyte, tick: 0.5))
    let all = publishFifty(swarm)
    let wanted = all.filter { $0.author != 4 }
    let ideal = wanted.count * Self.size
    swarm.run(3600) { swarm.nodes[4].mesh.received.blockBytes > ideal / 2 }
    let before = swarm.nodes[4].mesh.received.blockBytes
    swarm.crash(4)
    swarm.run(5)
    swarm.revive(4)
    for (author, object) in wanted where !swarm.nodes[4].complete.contains(object) {
      want(swarm, 4, object, hint: author)
    }
    swarm.run(3600) { swarm.nodes[4].complete.count == all.count }
    #expect(swarm.nodes[4].complete.count == all.count)
    let again = before + swarm.nodes[4].mesh.received.blockBytes - ideal
    print("fetched again after a kill: \(again) bytes of \(ideal)")
    #expect(again <= 8 << 20)
    #expect(Double(again) / Double(ideal) <= 0.05)
  }

  /// Two nodes fetch from one that has one line: they get different blocks first, and the rest from
  /// each other.
  @Test func blocksAreExchangedBeforeAnybodyHasThemAll() {
    let swarm = Swarm(count: 6, seed: 4, conditions: .init(uplink: Self.megabyte, tick: 0.5))
    swarm.run(5)
    let size = 20 << 20
    let object = publish(swarm, 0, size: size, fill: 77)
    for node in 1..<6 { want(swarm, node, object, hint: 0) }
    let began = swarm.time
    let isDone = { swarm.nodes.allSatisfy { $0.complete.contains(object) } }
    swarm.run(3600, until: isDone)
    #expect(isDone())
    // Five copies through the author's line alone would take five times as long.
    let alone = 5 * Double(size) / Self.megabyte
    print("one author, five readers: \((swarm.time - began) / alone) of the time through one line")
    #expect(swarm.time - began < 0.6 * alone)
    #expect(Double(received(swarm)) <= 1.05 * 5 * Double(size))
  }

  // MARK: - Rates

  private enum Limit: CaseIterable {
    case upload, uploadPerPeer, download, downloadPerPeer

    func pace(_ rate: Double) -> Pace {
      switch self {
      case .upload, .download: Pace(bytesPerSecond: rate)
      case .uploadPerPeer, .downloadPerPeer: Pace(bytesPerSecondPerPeer: rate)
      }
    }
  }

  /// Node 0 serves 1 and 2, or is served by them, at a limited pace: what has moved in a minute.
  private func moved(_ limit: Limit, _ rate: Double) -> [Int] {
    let swarm = Swarm(count: 3, seed: 5, conditions: .init(tick: 0.5))
    swarm.run(5)
    swarm.tell(0, .pace(limit.pace(rate)))
    let size = 200 << 20
    switch limit {
    case .upload, .uploadPerPeer:
      for reader in 1...2 {
        let object = publish(swarm, 0, size: size, fill: UInt64(reader))
        want(swarm, reader, object, hint: 0)
      }
      swarm.run(60)
      return [1, 2].map { swarm.nodes[$0].mesh.received.blockBytes }
    case .download, .downloadPerPeer:
      for author in 1...2 {
        let object = publish(swarm, author, size: size, fill: UInt64(author))
        want(swarm, 0, object, hint: author)
      }
      swarm.run(60)
      let status = swarm.nodes[0].mesh.peerStatus
      return status.map(\.received.blockBytes)
    }
  }

  @Test(arguments: Limit.allCases) private func noMoreMovesThanTheRate(limit: Limit) {
    let rate = Self.megabyte
    let most = rate * (60 + GossipLimits.bucketSeconds) + Double(GossipLimits.blockBytes)
    let amounts = moved(limit, rate).map(Double.init)
    switch limit {
    case .upload, .download:
      let all = amounts.reduce(0, +)
      // A list each comes on top of what is counted as blocks.
      #expect(all <= most + 100_000)
      #expect(all >= 0.9 * rate * 60)
    case .uploadPerPeer, .downloadPerPeer:
      for amount in amounts {
        #expect(amount <= most + 100_000)
        #expect(amount >= 0.9 * rate * 60)
      }
    }
  }

  @Test func entriesAreNotHeldBackAndAChangeOfPaceCounts() {
    let swarm = Swarm(count: 2, seed: 6, conditions: .init(tick: 0.5))
    swarm.run(5)
    swarm.tell(0, .pace(Pace(bytesPerSecond: 125_000)))
    let object = publish(swarm, 0, size: 40 << 20, fill: 9)
    want(swarm, 1, object, hint: 0)
    swarm.run(20)
    let slow = swarm.nodes[1].mesh.received.blockBytes
    #expect(slow < 4 << 20)
    swarm.publish(0)
    swarm.run(0.2)
    #expect(swarm.nodes[1].logs[swarm.nodes[0].lab]?.count == 1)
    swarm.tell(0, .pace(Pace()))
    swarm.run(20)
    #expect(swarm.nodes[1].complete.contains(object))
  }
}
