import Deltas
import Determinism
import Identities
import Testing

@Suite struct BlockListTests {
  private func payload(_ count: Int) -> [UInt8] {
    var generator = SeededGenerator(seed: UInt64(count))
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
  }

  @Test(arguments: [1, 262_143, 262_144, 262_145, 700_000])
  func cutsAndNamesEveryBlock(size: Int) throws {
    let payload = payload(size)
    let list = try BlockList(of: payload)
    #expect(list.hashes.count == (size + 262_143) / 262_144)
    #expect(try BlockList(decoding: list.encoded()) == list)
    var covered = 0
    for index in list.hashes.indices {
      let range = try #require(list.range(ofBlock: index))
      #expect(range.lowerBound == covered)
      covered = range.upperBound
      var block = Array(payload[range])
      #expect(list.accepts(block, at: index))
      #expect(!list.accepts(block, at: index + 1))
      block[block.count / 2] ^= 1
      #expect(!list.accepts(block, at: index))
      #expect(!list.accepts(Array(block.dropLast()), at: index))
    }
    #expect(covered == size)
    #expect(list.range(ofBlock: -1) == nil)
    #expect(!list.accepts([], at: list.hashes.count))
  }

  @Test func everyByteOfTheListIsInItsName() throws {
    let list = try BlockList(of: payload(300_000))
    var bytes = list.encoded()
    bytes[20] ^= 1
    #expect(try BlockList(decoding: bytes).id != list.id)
    #expect(list.id == ContentID(of: list.encoded(), kind: .object))
  }

  @Test func refusesListsThatNoPayloadHas() throws {
    #expect(throws: DeltaError.blockListLength(expected: 8, found: 7)) {
      try BlockList(decoding: [0, 0, 0, 0, 0, 0, 0])
    }
    #expect(throws: DeltaError.payloadSize(limit: 1 << 30, found: 0)) {
      try BlockList(decoding: [UInt8](repeating: 0, count: 8))
    }
    #expect(throws: DeltaError.payloadSize(limit: 1 << 30, found: .max)) {
      try BlockList(decoding: [UInt8](repeating: 255, count: 8))
    }
    #expect(throws: DeltaError.blockListLength(expected: 40, found: 8)) {
      try BlockList(decoding: [1, 0, 0, 0, 0, 0, 0, 0])
    }
    let bytes = try BlockList(of: payload(5)).encoded()
    #expect(throws: DeltaError.blockListLength(expected: 40, found: 41)) {
      try BlockList(decoding: bytes + [0])
    }
    #expect(throws: DeltaError.payloadSize(limit: 1 << 30, found: 0)) {
      try BlockList(of: [])
    }
  }
}
