import Adapters
import Deltas
import Determinism
import Identities
import Testing

/// Bytes that nobody honest sends. Nothing here may end the process; each is refused, or is a delta
/// that passes every check.
@Suite struct HostileBytesTests {
  private func judge(_ bytes: [UInt8], _ layout: AdapterLayout, _ tier: DeltaTier) {
    do {
      let delta = try Delta.unpack(bytes, layout: layout, tier: tier)
      _ = try Delta(
        layout: layout, tier: delta.tier, exponents: delta.exponents, symbols: delta.symbols)
      _ = delta.factorNorms()
      #expect(delta.units().allSatisfy { abs($0) <= Delta.maximumUnits })
    } catch is DeltaError {
    } catch {
      Issue.record("refused with something else: \(error)")
    }
  }

  @Test(arguments: DeltaTier.allCases, [false, true])
  func mutatedPayloadsAreRefusedOrSound(tier: DeltaTier, isPlain: Bool) throws {
    let layout = try Samples.layout()
    let delta = try Samples.delta(layout, seed: 2, tier: tier)
    // In a plain frame every changed bit reaches the decoder of symbols instead of that of zstd.
    let packed = isPlain ? try PlainFrame.payload(of: delta) : delta.pack()
    var generator = SeededGenerator(seed: 77)
    for _ in 0..<1_000 {
      var bytes = packed
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let index = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: bytes[index] = UInt8.random(in: 0...255, using: &generator)
        case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        case 2: bytes.removeSubrange(index...)
        case 3: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: index)
        default: bytes.removeSubrange(index..<min(index + 9, bytes.count))
        }
        if bytes.isEmpty { break }
      }
      judge(bytes, layout, tier)
    }
  }

  @Test func everyTruncationIsRefused() throws {
    let layout = try Samples.layout()
    let packed = try Samples.delta(layout, seed: 2).pack()
    for count in packed.indices {
      #expect(throws: DeltaError.self) {
        try Delta.unpack(Array(packed[..<count]), layout: layout)
      }
    }
  }

  @Test(arguments: DeltaTier.allCases)
  func streamsOfNoiseAreRefusedOrSound(tier: DeltaTier) throws {
    let layout = try Samples.layout()
    let head = Array(try Samples.delta(layout, seed: 2, tier: tier).pack()[..<56])
    let length = try PlainFrame.stream(of: Samples.delta(layout, seed: 2, tier: tier)).count
    var generator = SeededGenerator(seed: 79)
    for bias in 0..<250 as Range<UInt8> {
      // Mostly small bytes at first, so that counts and levels are often possible.
      let stream = (0..<length).map { _ in
        UInt8.random(in: 0...255, using: &generator) & (bias < 150 ? bias : 255)
      }
      judge(PlainFrame.payload(head: head, stream: stream), layout, tier)
    }
  }

  @Test func noiseIsRefused() throws {
    let layout = try Samples.layout()
    var generator = SeededGenerator(seed: 78)
    for _ in 0..<2_000 {
      let count = Int.random(in: 0..<300, using: &generator)
      let noise = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
      judge(noise, layout, .int4)
      judge(Array("HANSEDLT".utf8) + [1, 1, 0, 0] + noise, layout, .int4)
      _ = try? BlockList(decoding: noise)
    }
  }

  @Test func moreBytesThanTheStreamCallsForAreRefused() throws {
    let layout = try Samples.layout()
    let packed = try Samples.delta(layout, seed: 2).pack()
    let limit = Delta.maximumPackedSize(layout: layout)
    let bytes = packed + [UInt8](repeating: 0, count: limit + 1 - packed.count)
    #expect(throws: DeltaError.tooLong(limit: limit, found: limit + 1)) {
      try Delta.unpack(bytes, layout: layout)
    }
  }
}
