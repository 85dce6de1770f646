import Foundation
import Gossip
import Identities
import Records
import Testing
import Transport

/// Meshes over real connections: what gossip decides and what the transport does fit together.
@Suite struct MeshTests {
  private func nodes(_ count: Int) async throws -> [Glue] {
    let keys = (1...count).map { SigningKey(seed: [UInt8](repeating: UInt8($0), count: 32))! }
    let nodes = try keys.map { try Glue($0, keys: keys.map(\.publicKey)) }
    for node in nodes { try await node.run() }
    let members = nodes.map { Member(lab: $0.lab, addresses: ["\($0.board.boundAddress!)"]) }
    for node in nodes { await node.meet(members) }
    return nodes
  }

  private func eventually(_ seconds: Double, _ condition: () async -> Bool) async -> Bool {
    let end = ContinuousClock.now + .milliseconds(Int(seconds * 1000))
    while ContinuousClock.now < end {
      if await condition() { return true }
      try? await Task.sleep(for: .milliseconds(10))
    }
    return await condition()
  }

  private func areAllConnected(_ nodes: [Glue]) async -> Bool {
    for node in nodes {
      let status = await node.status
      guard status.count == nodes.count - 1, status.allSatisfy({ $0.state == .connected }) else {
        return false
      }
    }
    return true
  }

  @Test func fourNodesMeetAndShareAnObject() async throws {
    let nodes = try await nodes(4)
    #expect(await eventually(10) { await areAllConnected(nodes) })
    let object = HeldObject(size: 5 << 20 | 77, fill: 3)
    await nodes[0].hold(object)
    for node in nodes.dropFirst() { await node.want(object.id, from: nodes[0].lab) }
    for node in nodes.dropFirst() {
      #expect(await eventually(20) { await node.complete.contains(object.id) })
      let received = await node.received
      #expect(received.blockBytes == (5 << 20 | 77) + object.list.count)
      #expect(received.wastedBlockBytes == 0)
    }
    let trips = await nodes[0].status.compactMap(\.roundTrip)
    #expect(trips.count == 3)
    for node in nodes { await node.stop() }
  }

  @Test func aMemberThatComesBackIsFoundAgain() async throws {
    let nodes = try await nodes(2)
    #expect(await eventually(10) { await areAllConnected(nodes) })
    for (id, _, _) in nodes[0].board.connections { nodes[0].board.close(id, reason: "test") }
    #expect(await eventually(5) { await !areAllConnected(nodes) })
    #expect(await eventually(10) { await areAllConnected(nodes) })
    for node in nodes { await node.stop() }
  }

  @Test(.enabled(if: ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full"))
  func aHundredMebibytesByGossip() async throws {
    let nodes = try await nodes(2)
    #expect(await eventually(10) { await areAllConnected(nodes) })
    for round in 0..<3 {
      let object = HeldObject(size: 100 << 20, fill: UInt8(round))
      await nodes[0].hold(object)
      let start = ContinuousClock.now
      await nodes[1].want(object.id, from: nodes[0].lab)
      #expect(await eventually(60) { await nodes[1].complete.contains(object.id) })
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      print("100 MiB by gossip, hashed, in memory: \(seconds) s")
    }
    for node in nodes { await node.stop() }
  }
}
