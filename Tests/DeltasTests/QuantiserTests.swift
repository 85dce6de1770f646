import Adapters
import Deltas
import Determinism
import Testing

@Suite struct QuantiserTests {
  @Test(arguments: [DeltaTier.int4, .int3], [1e-12, 1e-9, 1e-4, 1e-2, 0.3, 20] as [Float])
  func whatIsSentAndWhatIsKeptAddUpExactly(tier: DeltaTier, scale: Float) throws {
    let layout = try Samples.layout()
    let wanted = Samples.change(layout, seed: 5, scale: scale)
    let (delta, feedback) = try Delta.quantise(wanted: wanted, layout: layout, tier: tier)
    for (index, unit) in delta.units().enumerated() {
      // Both sides are exact: a symbol has three bits, and what is left is a Sterbenz difference.
      let sent = Double(unit) * 0x1p-40
      if abs(wanted[index]) <= 0.37 {
        #expect(sent + Double(feedback[index]) == Double(wanted[index]))
      } else {
        #expect(abs(sent + Double(feedback[index]) - Double(wanted[index])) < 1e-5)
      }
      #expect(abs(unit) <= Delta.maximumUnits)
    }
  }

  @Test func feedbackDrainsWhatOneRoundCouldNotSay() throws {
    let layout = try Samples.layout()
    let base = CanonicalAdapter.start(layout: layout, seed: [1]).rounded()
    var feedback: [Float] = []
    var sent = [Double](repeating: 0, count: layout.count)
    var asked = sent
    for round in 0..<20 {
      let change = Samples.change(layout, seed: UInt64(round))
      let trained = try Adapter(
        layout: layout, values: zip(base.values, change).map { $0 + $1 })
      let difference = trained.difference(from: base)
      let result = try Delta.quantise(trained: trained, base: base, feedback: feedback)
      feedback = result.feedback
      for (index, unit) in result.delta.units().enumerated() {
        sent[index] += Double(unit) * 0x1p-40
        asked[index] += Double(difference[index])
      }
    }
    for index in sent.indices {
      #expect(abs(sent[index] + Double(feedback[index]) - asked[index]) < 1e-8)
      #expect(abs(feedback[index]) < 2e-3)
    }
  }

  @Test func choosesAnExponentOfLessThanTwiceTheLeastSquaredError() throws {
    let layout = try Samples.layout()
    let wanted = Samples.change(layout, seed: 9)
    let (delta, _) = try Delta.quantise(wanted: wanted, layout: layout)
    var block = 0
    for factor in layout.factors {
      for start in stride(from: factor.offset, to: factor.range.upperBound, by: 128) {
        let values = wanted[start..<min(start + 128, factor.range.upperBound)]
        let chosen = error(values, Int(delta.exponents[block]))
        for exponent in 0...36 {
          let other = error(values, exponent)
          #expect(chosen <= 2.0001 * other, "block \(block), exponent \(exponent)")
          if exponent > delta.exponents[block] { #expect(chosen <= 1.0001 * other) }
        }
        block += 1
      }
    }
    #expect(block == delta.exponents.count)
  }

  private func error(_ values: ArraySlice<Float>, _ exponent: Int) -> Double {
    let scale = Double(sign: .plus, exponent: exponent - 40, significand: 1)
    return values.reduce(0) { sum, value in
      let symbol = min(max((Double(value) / scale).rounded(.toNearestOrEven), -7), 7)
      let error = Double(value) - symbol * scale
      return sum + error * error
    }
  }

  @Test(arguments: [DeltaTier.top64, .top128, .top256, .top512])
  func sparseTiersNameTheLargest(tier: DeltaTier) throws {
    let layout = try Samples.layout()
    let wanted = Samples.change(layout, seed: 5)
    let (delta, feedback) = try Delta.quantise(wanted: wanted, layout: layout, tier: tier)
    let units = delta.units()
    var count = 0
    for factor in layout.factors {
      for start in stride(from: factor.offset, to: factor.range.upperBound, by: 4096) {
        let range = start..<min(start + 4096, factor.range.upperBound)
        let named = range.filter { units[$0] != 0 }
        let waiting = range.filter { units[$0] == 0 }
        let most = (tier.entriesPerBlock! * range.count + 4095) / 4096
        #expect(named.count == most)
        count += named.count
        let least = named.map { abs(wanted[$0]) }.min()!
        #expect(waiting.allSatisfy { abs(wanted[$0]) <= least })
        #expect(Set(named.map { abs(units[$0]) }).count <= 2)
      }
    }
    var square = 0.0
    for coordinate in 0..<layout.count {
      let unsaid = wanted[coordinate] - Float(units[coordinate]) * 0x1p-40
      #expect(feedback[coordinate] == unsaid * tier.feedbackKept)
      if units[coordinate] != 0 {
        #expect((units[coordinate] < 0) == (wanted[coordinate] < 0))
        square += Double(unsaid * unsaid) / Double(wanted[coordinate] * wanted[coordinate])
      }
    }
    // Two levels for a bell's tail: the entries themselves are off by a sixth at most.
    #expect((square / Double(count)).squareRoot() < 0.17)
  }

  @Test func sparseTiersLeaveNothingToSayUnsaid() throws {
    let layout = try Samples.layout()
    var wanted = [Float](repeating: 0, count: layout.count)
    wanted[5] = 0.25
    wanted[700] = -0x1p-42
    let (delta, feedback) = try Delta.quantise(wanted: wanted, layout: layout, tier: .top256)
    #expect(delta.symbols.filter { $0 != 0 }.count == 1)
    #expect(delta.units()[5] == 1 << 38)
    #expect(feedback[5] == 0)
    #expect(feedback[700] == wanted[700])
  }

  @Test func halvesGoToTheEvenSymbol() throws {
    let layout = try AdapterLayout(
      rank: 1, alpha: 1, modules: [AdapterModule(path: "m", inputs: 12, outputs: 1)])
    // The odd numbers hold the exponent down.
    let wanted = [7, 5, 3, -5, -3, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 3.5, 0].map {
      Float($0) * 0x1p-10
    }
    let (delta, _) = try Delta.quantise(wanted: wanted, layout: layout)
    #expect(delta.exponents == [30, 0])
    #expect(delta.symbols == [7, 5, 3, -5, -3, 0, 2, 2, 0, -2, -2, 4, 0])
  }

  @Test func aChangeOfNothingIsZero() throws {
    let layout = try Samples.layout()
    let base = CanonicalAdapter.start(layout: layout, seed: [1]).rounded()
    let (delta, feedback) = try Delta.quantise(trained: base, base: base)
    #expect(delta.isZero)
    #expect(delta.exponents.allSatisfy { $0 == 0 })
    #expect(feedback.allSatisfy { $0 == 0 })
    #expect(delta.factorNorms().allSatisfy { $0 == 0 })
  }

  @Test func changesBelowAUnitAreKeptForLater() throws {
    let layout = try Samples.layout()
    let wanted = [Float](repeating: 0x1p-42, count: layout.count)
    let (delta, feedback) = try Delta.quantise(wanted: wanted, layout: layout)
    #expect(delta.isZero)
    #expect(feedback == wanted)
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func refusesNumbersThatAreNotFinite(value: Float) throws {
    let layout = try Samples.layout()
    var wanted = Samples.change(layout, seed: 1)
    wanted[layout.factors[3].offset + 1] = value
    #expect(throws: DeltaError.notFinite(factor: "layer.0.v_proj.lora_B")) {
      try Delta.quantise(wanted: wanted, layout: layout)
    }
  }

  @Test func refusesOtherLayoutsAndLengths() throws {
    let layout = try Samples.layout()
    let other = try AdapterLayout(
      rank: 1, alpha: 1, modules: [AdapterModule(path: "m", inputs: 8, outputs: 1)])
    #expect(throws: DeltaError.layoutsDiffer) {
      try Delta.quantise(trained: .zero(layout: other), base: .zero(layout: layout))
    }
    #expect(throws: DeltaError.feedbackCount(expected: layout.count, found: 3)) {
      try Delta.quantise(
        trained: .zero(layout: layout), base: .zero(layout: layout), feedback: [0, 0, 0])
    }
  }

  @Test(arguments: DeltaTier.allCases)
  func largestFloatsAreHeldAndKept(tier: DeltaTier) throws {
    let layout = try Samples.layout()
    let wanted = [Float](repeating: .greatestFiniteMagnitude, count: layout.count)
    let (delta, feedback) = try Delta.quantise(wanted: wanted, layout: layout, tier: tier)
    #expect(delta.exponents.allSatisfy { $0 == tier.maximumExponent })
    #expect(delta.units().allSatisfy { $0 <= Delta.maximumUnits })
    #expect(feedback.allSatisfy { $0.isFinite })
    #expect(try Delta.unpack(delta.pack(), layout: layout, tier: tier) == delta)
  }
}
