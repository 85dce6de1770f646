import Adapters
import Determinism
import Testing

@Suite struct CanonicalAdapterTests {
  private func layout(inputs: Int, outputs: Int = 3, rank: Int = 4) throws -> AdapterLayout {
    try AdapterLayout(
      rank: rank, alpha: 8,
      modules: [
        AdapterModule(path: "one", inputs: inputs, outputs: outputs),
        AdapterModule(path: "two", inputs: inputs, outputs: outputs),
      ])
  }

  @Test func startsBAtZeroAndAWithinItsBound() throws {
    let layout = try layout(inputs: 576, rank: 16)
    let start = CanonicalAdapter.start(layout: layout, seed: [1, 2, 3])
    let bound = CanonicalAdapter.startBound(inputs: 576)
    #expect(bound == 45_812_984_490)  // 2⁴⁰ / 24
    for factor in layout.factors {
      let units = start.units[factor.range]
      switch factor.kind {
      case .a:
        #expect(units.allSatisfy { abs($0) <= bound })
        // Uniform in ±b: the mean square is b²/3. 9,216 draws stay well within 5 %.
        let square = units.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(units.count)
        let expected = Double(bound) * Double(bound) / 3
        #expect(abs(square / expected - 1) < 0.05)
        #expect(Set(units).count > 9_000)
      case .b: #expect(units.allSatisfy { $0 == 0 })
      }
    }
  }

  @Test func aStartFollowsFromItsSeedAlone() throws {
    let layout = try layout(inputs: 9)
    let one = CanonicalAdapter.start(layout: layout, seed: [1])
    #expect(one == CanonicalAdapter.start(layout: layout, seed: [1]))
    #expect(one != CanonicalAdapter.start(layout: layout, seed: [1, 0]))
    #expect(one != CanonicalAdapter.start(layout: layout, seed: []))
  }

  @Test func boundIsTheFloorOfTheQuotient() {
    for inputs in [1, 2, 3, 5, 7, 100, 576, 1536, 4096, 8191, 1 << 20] {
      let bound = UInt128(CanonicalAdapter.startBound(inputs: inputs))
      // b² · inputs ≤ 2⁸⁰ < (b + 1)² · inputs
      #expect(bound * bound * UInt128(inputs) <= 1 << 80)
      #expect((bound + 1) * (bound + 1) * UInt128(inputs) > 1 << 80)
    }
  }

  @Test func integerSquareRootIsExact() {
    var generator = SeededGenerator(seed: 1)
    var values: [UInt128] = [0, 1, 2, 3, 4, .max, .max - 1, 1 << 127, 1 << 126, 1 << 64]
    for shift in 0..<128 {
      let word = UInt128(generator.next()) << 64 | UInt128(generator.next())
      values.append(word >> UInt128(shift))
      let root = UInt128(generator.next()) >> UInt128(shift / 2)
      values += [root * root, root * root + 1, root == 0 ? 0 : root * root - 1]
    }
    for value in values {
      let root = UInt128(integerSquareRoot(value))
      #expect(root * root <= value)
      let next = (root + 1).multipliedReportingOverflow(by: root + 1)
      #expect(next.overflow || next.partialValue > value)
    }
  }

  /// Round half to even of units × 2⁻⁴⁰, with integers only: the referee of `rounded`.
  private func roundedBits(_ units: Int64) -> UInt32 {
    if units == 0 { return 0 }
    let sign: UInt32 = units < 0 ? 1 << 31 : 0
    let magnitude = units.magnitude
    let width = 64 - magnitude.leadingZeroBitCount
    var exponent = width - 1 - CanonicalAdapter.fractionBits
    var mantissa = magnitude
    if width > 24 {
      let dropped = UInt64(width - 24)
      let rest = magnitude & ((1 << dropped) - 1)
      mantissa = magnitude >> dropped
      let half: UInt64 = 1 << (dropped - 1)
      if rest > half || (rest == half && mantissa & 1 == 1) { mantissa += 1 }
      if mantissa == 1 << 24 {
        mantissa >>= 1
        exponent += 1
      }
    } else {
      mantissa <<= UInt64(24 - width)
    }
    return sign | UInt32(exponent + 127) << 23 | UInt32(mantissa) & 0x7F_FFFF
  }

  @Test func roundsOnceHalfToEven() throws {
    var generator = SeededGenerator(seed: 7)
    var units: [Int64] = [
      0, 1, -1, 1 << 24, 1 << 24 + 1, 1 << 24 + 3, -(1 << 24 + 1), 1 << 25 + 2, 1 << 25 + 6,
      1 << 58, -(1 << 58), 1 << 58 - 1, 1 << 40, 1 << 40 + 1 << 16, 1 << 40 + 3 << 16,
    ]
    while units.count < 4 * (9 + 3) * 2 * 100 {
      let word = Int64(bitPattern: generator.next()) >> Int64(generator.next() % 58 + 5)
      units.append(word)
    }
    let layout = try AdapterLayout(
      rank: 1, alpha: 1,
      modules: [AdapterModule(path: "m", inputs: units.count - 1, outputs: 1)])
    let rounded = try CanonicalAdapter(layout: layout, units: units).rounded()
    for (unit, value) in zip(units, rounded.values) {
      #expect(value.bitPattern == roundedBits(unit), "units \(unit)")
    }
  }

  @Test func refusesAnotherNumberOfUnits() throws {
    let layout = try layout(inputs: 2)
    #expect(throws: AdapterError.valueCount(expected: layout.count, found: 1)) {
      try CanonicalAdapter(layout: layout, units: [0])
    }
    #expect(throws: AdapterError.valueCount(expected: layout.count, found: 0)) {
      try Adapter(layout: layout, values: [])
    }
  }

  @Test func aLocalStartIsThatOfPEFT() throws {
    let layout = try layout(inputs: 100, rank: 64)
    var generator = SeededGenerator(seed: 3)
    let adapter = Adapter.start(layout: layout, generator: &generator)
    for factor in layout.factors {
      let values = adapter.values[factor.range]
      if factor.kind == .a {
        #expect(values.allSatisfy { abs($0) <= 0.1 })
        let square = values.reduce(0) { $0 + Double($1 * $1) } / Double(values.count)
        #expect(abs(square / (0.01 / 3) - 1) < 0.05)
      } else {
        #expect(values.allSatisfy { $0 == 0 })
      }
    }
    #expect(adapter.difference(from: adapter).allSatisfy { $0 == 0 })
  }
}
