import Adapters
import Deltas
import FoundationEssentials
import Identities
@_spi(Vectors) import Ledger
import Merging
import Node
import Records
import Storage
import Testing

/// Where the daemon's folds begin: from states in memory, from snapshots, or from the charter.
@Suite struct FoldingTests {
  /// Three rounds, one contribution in each, whose payloads are in a home.
  struct Rounds {
    let homes: BundleTests.Homes
    let store: Store
    var groups: [LandingGroup] = []
    var messages: [ContentID: Hanse_V1_Contribution] = [:]

    init() throws {
      homes = try BundleTests.Homes(1)
      store = try Store(home: homes.home(0))
      let layout = try AdapterShapes.layout(of: homes.charter)
      for round in UInt32(1)...3 {
        let wanted = (0..<layout.count).map { Float($0 + 1) * Float(round) / 64 }
        let delta = try Delta.quantise(wanted: wanted, layout: layout).delta
        let bytes = delta.pack()
        let list = try BlockList(of: bytes)
        try store.addObject(
          ObjectList(id: list.id, size: UInt64(bytes.count), blocks: list.hashes), bytes)
        var message = Hanse_V1_Contribution()
        message.payload = try delta.payload(packed: bytes)
        message.factorNorms = delta.factorNorms()
        let id = ContentID(of: [UInt8(round)], kind: .entry)
        messages[id] = message
        groups.append(
          LandingGroup(
            round: round,
            contributions: [
              AdmittedContribution(
                vector: id, author: homes.lab(0), round: round, landingRound: round, tokens: 9,
                isRecalled: false)
            ]))
      }
    }

    func recipe(_ count: Int) -> Folding.Recipe {
      Folding.Recipe(
        groups: Array(groups.prefix(count)), round: UInt32(count), messages: messages,
        rules: [1: homes.charter.message.merge])
    }
  }

  @Test(arguments: [0, Folding.stateBytesInMemory])
  func foldsBeginFromTheStateBefore(bytesInMemory: Int) async throws {
    let rounds = try Rounds()
    defer { rounds.homes.remove() }
    let charter = rounds.homes.charter
    let replay = try Folding(charter: charter, store: rounds.store, only: [])
    let folding = try Folding(
      charter: charter, store: rounds.store, stateBytesInMemory: bytesInMemory)
    for count in 1...3 {
      let folded = try await folding.fold(rounds.recipe(count))
      try await folding.keep(rounds.recipe(count), folded)
      #expect(folded.began == count - 1)
      #expect(try await folding.fold(rounds.recipe(count)).began == count)
      let again = try await Folding(charter: charter, store: rounds.store, only: [])
        .fold(rounds.recipe(count))
      #expect(again.began == 0)
      #expect(again.root == folded.root)
      #expect(again.state == folded.state)
      // A replay has its last state to go on from, however large.
      #expect(try await replay.fold(rounds.recipe(count)).began == count - 1)
    }
  }

  @Test func nothingIsFoldedOntoADamagedSnapshot() async throws {
    let rounds = try Rounds()
    defer { rounds.homes.remove() }
    let charter = rounds.homes.charter
    let folding = try Folding(charter: charter, store: rounds.store, stateBytesInMemory: 0)
    let folded = try await folding.fold(rounds.recipe(2))
    try await folding.keep(rounds.recipe(2), folded)
    let path = rounds.homes.home(0).snapshot(folded.names[2].description)
    var bytes = try DurableFile.read(path, limit: 1 << 20)
    bytes[bytes.count / 2] ^= 4
    try DurableFile.write(bytes, to: path)
    let after = try await folding.fold(rounds.recipe(3))
    #expect(after.began == 0)
    let replay = try Folding(charter: charter, store: rounds.store, only: [])
    #expect(try await replay.fold(rounds.recipe(3)).root == after.root)
    // Without the payloads beneath it, the snapshot is what is wrong, not the payload.
    var pruned = rounds
    pruned.messages[pruned.groups[0].contributions[0].id] = nil
    await #expect(throws: StorageError.self) { try await folding.fold(pruned.recipe(3)) }
    try FileManager.default.removeItem(atPath: path)
    await #expect(throws: NodeError.self) { try await folding.fold(pruned.recipe(3)) }
  }
}
