import Adapters
import Deltas
import Determinism
import Testing

@Suite struct DeltaTests {
  @Test(arguments: DeltaTier.allCases, 0..<8 as Range<UInt64>)
  func comesBackFromItsBytesUnchanged(tier: DeltaTier, seed: UInt64) throws {
    let layout = try Samples.layout()
    let scale: Float = seed.isMultiple(of: 2) ? 1e-3 : seed == 3 ? 0.3 : 1e-11
    let delta = try Samples.delta(layout, seed: seed, scale: seed == 0 ? 0 : scale, tier: tier)
    let packed = delta.pack()
    #expect(packed.count <= Delta.maximumPackedSize(layout: layout, tier: tier))
    let back = try Delta.unpack(packed, layout: layout, tier: tier)
    #expect(back == delta)
    #expect(back.symbolsHash() == delta.symbolsHash())
    #expect(back.units() == delta.units())
    #expect(delta.isZero == (seed == 0))
    for other in DeltaTier.allCases where other != tier {
      #expect(throws: DeltaError.tier(tier.rawValue)) {
        try Delta.unpack(packed, layout: layout, tier: other)
      }
    }
  }

  @Test func normsAreFloorsOfExactRoots() throws {
    let layout = try Samples.layout()
    let delta = try Samples.delta(layout, seed: 4, scale: 0.1)
    let units = delta.units()
    for (factor, norm) in zip(layout.factors, delta.factorNorms()) {
      let square = units[factor.range].reduce(UInt128(0)) {
        $0 + UInt128($1.magnitude) * UInt128($1.magnitude)
      }
      #expect(UInt128(norm) * UInt128(norm) <= square)
      #expect(square < (UInt128(norm) + 1) * (UInt128(norm) + 1))
    }
  }

  @Test func hashFollowsEverySymbolAndExponent() throws {
    let layout = try Samples.layout()
    let delta = try Samples.delta(layout, seed: 4)
    let hash = delta.symbolsHash()
    for index in stride(from: 0, to: layout.count, by: 37) {
      var symbols = delta.symbols
      symbols[index] = symbols[index] == 7 ? 6 : symbols[index] + 1
      let other = try Delta(layout: layout, exponents: delta.exponents, symbols: symbols)
      #expect(other.symbolsHash() != hash)
    }
    for block in delta.exponents.indices {
      var exponents = delta.exponents
      exponents[block] ^= 1
      let other = try Delta(layout: layout, exponents: exponents, symbols: delta.symbols)
      #expect(other.symbolsHash() != hash)
    }
  }

  @Test func partsOutOfRangeAreRefused() throws {
    let layout = try Samples.layout()
    let delta = try Samples.delta(layout, seed: 4)
    func expect(
      _ error: DeltaError, _ edit: (_ exponents: inout [Int8], _ symbols: inout [Int8]) -> Void
    ) {
      var (exponents, symbols) = (delta.exponents, delta.symbols)
      edit(&exponents, &symbols)
      #expect(throws: error) {
        try Delta(layout: layout, exponents: exponents, symbols: symbols)
      }
    }
    expect(.exponent(block: 2, value: 37)) { exponents, _ in exponents[2] = 37 }
    expect(.exponent(block: 0, value: -1)) { exponents, _ in exponents[0] = -1 }
    expect(.symbol(coordinate: 9, value: -8)) { _, symbols in symbols[9] = -8 }
    expect(.symbol(coordinate: 9, value: 8)) { _, symbols in symbols[9] = 8 }
    expect(.symbol(coordinate: 9, value: -128)) { _, symbols in symbols[9] = -128 }
    expect(.zeroBlock(block: 1)) { _, symbols in
      for index in 128..<256 { symbols[index] = 0 }
    }
    expect(.coordinateCount(expected: layout.count, found: layout.count - 1)) { _, symbols in
      symbols.removeLast()
    }
    expect(
      .blockCount(expected: delta.exponents.count, found: delta.exponents.count + 1)
    ) { exponents, _ in exponents.append(0) }
  }

  @Test func oneSizeDoesNotFitAnotherLayout() throws {
    let layout = try Samples.layout()
    let other = try AdapterLayout(rank: 3, alpha: 7, modules: layout.modules)
    let packed = try Samples.delta(layout, seed: 1).pack()
    #expect(throws: DeltaError.layout(expected: other.id, found: layout.id)) {
      try Delta.unpack(packed, layout: other)
    }
  }

  @Test func aDeltaAddsToTheAdapter() throws {
    let layout = try Samples.layout()
    let delta = try Samples.delta(layout, seed: 1)
    let start = CanonicalAdapter.start(layout: layout, seed: [])
    let sum = try CanonicalAdapter(
      layout: layout, units: zip(start.units, delta.units()).map { $0 + $1 })
    #expect(start.rounded(adding: delta) == sum.rounded())
    #expect(start.rounded(adding: delta) != start.rounded())
  }

  @Test func theSumOfADeltaAndAnAdapterSaturates() throws {
    let layout = try Samples.layout()
    let tier = DeltaTier.int4
    // 7 × 2³⁶ units can be seen beside 2⁵⁸: float32 has 24 bits.
    let delta = try Delta(
      layout: layout, exponents: [Int8](repeating: 36, count: tier.blockCount(of: layout)),
      symbols: (0..<layout.count).map { $0 % 2 == 0 ? 7 : -7 })
    let limit = CanonicalAdapter.maximumUnits
    let full = try CanonicalAdapter(
      layout: layout, units: delta.units().map { $0 < 0 ? -limit : limit })
    #expect(full.rounded(adding: delta) == full.rounded())
    let empty = try CanonicalAdapter(layout: layout, units: full.units.map { -$0 })
    #expect(
      zip(empty.rounded(adding: delta).values, empty.rounded().values).allSatisfy { $0 != $1 })
  }
}
