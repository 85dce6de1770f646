import Determinism
import Testing

@Suite struct SeededGeneratorTests {
  /// The recurrence written out again, from the authors' description.
  private struct Reference {
    var s: [UInt64]

    init(seed: UInt64) {
      var mixer = seed
      s = (0..<4).map { _ in
        mixer &+= 0x9E37_79B9_7F4A_7C15
        var z = mixer
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
      }
    }

    mutating func next() -> UInt64 {
      func rotate(_ x: UInt64, _ k: UInt64) -> UInt64 { (x << k) | (x >> (64 - k)) }
      let result = rotate(s[1] &* 5, 7) &* 9
      let t = s[1] << 17
      s[2] ^= s[0]
      s[3] ^= s[1]
      s[1] ^= s[2]
      s[0] ^= s[3]
      s[2] ^= t
      s[3] = rotate(s[3], 45)
      return result
    }
  }

  @Test func followsTheRecurrence() {
    for seed in [0, 1, .max] as [UInt64] {
      var generator = SeededGenerator(seed: seed)
      var reference = Reference(seed: seed)
      for _ in 0..<1000 { #expect(generator.next() == reference.next()) }
    }
    // SplitMix64 from 0 begins with this published number.
    #expect(Reference(seed: 0).s[0] == 0xE220_A839_7B1D_CDAF)
  }

  @Test func streamsOfOneSeedDiffer() {
    var first = SeededGenerator(seed: 5, stream: 1)
    var second = SeededGenerator(seed: 5, stream: 2)
    var again = SeededGenerator(seed: 5, stream: 1)
    let drawn = (0..<8).map { _ in first.next() }
    #expect(drawn != (0..<8).map { _ in second.next() })
    #expect(drawn == (0..<8).map { _ in again.next() })
  }

  @Test func unitsLieBelowOneAndSpreadEvenly() {
    var generator = SeededGenerator(seed: 9)
    let units = (0..<10_000).map { _ in generator.nextUnit() }
    #expect(units.allSatisfy { (0..<1).contains($0) })
    #expect(abs(units.reduce(0, +) / 10_000 - 0.5) < 0.02)
  }

  @Test func instantsSaturateInsteadOfWrapping() {
    let late = Instant(nanoseconds: .max - 5)
    #expect(late.adding(seconds: 10).nanoseconds == .max)
    #expect(Instant(nanoseconds: 3).seconds(since: late) == 0)
    #expect(Instant(nanoseconds: 0).adding(seconds: 1.5).nanoseconds == 1_500_000_000)
  }
}
