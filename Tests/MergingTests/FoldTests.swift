import Adapters
import Deltas
import Determinism
import Identities
@_spi(Vectors) import Ledger
import Merging
import Records
import Testing

@Suite struct FoldTests {
  @Test(arguments: FoldRules.Rule.allCases, 0..<6 as Range<UInt64>)
  func agreesWithTheReferee(rule: FoldRules.Rule, seed: UInt64) throws {
    let layout = try AdapterLayout(
      rank: 2, alpha: 4,
      modules: [
        AdapterModule(path: "q", inputs: 70, outputs: 3),
        AdapterModule(path: "v", inputs: 5, outputs: 4),
      ])
    var generator = SeededGenerator(seed: seed)
    let rules = try FoldRules(rule: rule)
    var state = FoldState.start(layout: layout, seed: [7])
    var referee = Referee(state)
    for round in 1...6 as ClosedRange<UInt32> {
      let count = Int.random(in: 0...7, using: &generator)
      let samples = try Samples.round(round, count: count, layout: layout, &generator)
      state = try samples.folded(onto: state, round: round, rules: rules)
      referee.fold(samples, rules: rules)
      #expect(state.theta == referee.theta)
      #expect(state.velocity == referee.velocity)
      #expect(state.medianNorms == referee.medians)
    }
  }

  @Test(arguments: FoldRules.Rule.allCases)
  func anyOrderAndAnyDuplicatesGiveTheSameRoot(rule: FoldRules.Rule) throws {
    let layout = try Samples.layout()
    var generator = SeededGenerator(seed: 3)
    let rules = try FoldRules(rule: rule)
    let start = FoldState.start(layout: layout, seed: [7])
    let samples = try Samples.round(4, count: 9, layout: layout, &generator)
    let root = try samples.folded(onto: start, round: 4, rules: rules).root
    for _ in 0..<100 {
      var other = samples.shuffled(using: &generator)
      for _ in 0..<Int.random(in: 0...4, using: &generator) {
        other.insert(samples.randomElement(using: &generator)!, at: 0)
      }
      #expect(try other.folded(onto: start, round: 4, rules: rules).root == root)
    }
  }

  @Test(arguments: FoldRules.Rule.allCases)
  func oneSymbolMoreGivesAnotherRoot(rule: FoldRules.Rule) throws {
    let layout = try Samples.layout()
    var generator = SeededGenerator(seed: 5)
    let rules = try FoldRules(rule: rule)
    let start = FoldState.start(layout: layout, seed: [7])
    var samples = try Samples.round(1, count: 2, layout: layout, &generator)
    samples[1].isRecalled = false
    let root = try samples.folded(onto: start, round: 1, rules: rules).root
    for _ in 0..<50 {
      var other = samples
      let row = Int.random(in: 0..<samples.count, using: &generator)
      let index = Int.random(in: 0..<layout.count, using: &generator)
      var symbols = samples[row].delta.symbols
      symbols[index] = symbols[index] == 7 ? 6 : symbols[index] + 1
      other[row].delta = try Delta(
        layout: layout, exponents: samples[row].delta.exponents, symbols: symbols)
      #expect(try other.folded(onto: start, round: 1, rules: rules).root != root)
    }
  }

  @Test func recalledAndLateContributionsLeaveNoTrace() throws {
    let layout = try Samples.layout()
    var generator = SeededGenerator(seed: 6)
    let rules = try FoldRules()
    let start = FoldState.start(layout: layout, seed: [7])
    var samples = try Samples.round(5, count: 5, layout: layout, &generator)
    for index in samples.indices { (samples[index].isRecalled, samples[index].round) = (false, 5) }
    samples[1].isRecalled = true
    samples[3].round = 2
    let with = try samples.folded(onto: start, round: 5, rules: rules)
    let without = try [samples[0], samples[2], samples[4]].folded(
      onto: start, round: 5, rules: rules)
    #expect(with == without)
    #expect(with.root != start.root)
  }

  @Test func deltasOfRecalledContributionsAreNotAskedFor() throws {
    let layout = try Samples.layout()
    var generator = SeededGenerator(seed: 6)
    var samples = try Samples.round(1, count: 2, layout: layout, &generator)
    for index in samples.indices { samples[index].isRecalled = true }
    let start = FoldState.start(layout: layout, seed: [7])
    struct Missing: Error {}
    let state = try fold(
      start, group: samples.group(1), deltas: { _ in throw Missing() }, rules: try FoldRules())
    #expect(state.root == start.root)
    #expect(state.round == 1)
    samples[0].isRecalled = false
    #expect(throws: Missing.self) {
      try fold(
        start, group: samples.group(1), deltas: { _ in throw Missing() }, rules: try FoldRules())
    }
  }

  @Test func anEmptyRoundMakesNoStep() throws {
    let layout = try Samples.layout()
    var generator = SeededGenerator(seed: 8)
    let rules = try FoldRules()
    let one = try Samples.round(1, count: 3, layout: layout, &generator)
      .folded(onto: .start(layout: layout, seed: []), round: 1, rules: rules)
    let two = try [Sample]().folded(onto: one, round: 2, rules: rules)
    #expect(two.root == one.root)
    #expect(two.velocity.contains { $0 != 0 })
  }

  @Test func aLoneContributionOfTheFirstRoundIsNotClipped() throws {
    let layout = try Samples.layout()
    var generator = SeededGenerator(seed: 9)
    let rules = try FoldRules(outerRate: 1 << 16, momentum: 0)
    let start = FoldState.start(layout: layout, seed: [1])
    let sample = Sample(
      name: "a", author: "a", round: 1, landing: 1, tokens: 5,
      delta: try Samples.delta(layout, &generator, exponents: 0...36))
    let state = try [sample].folded(onto: start, round: 1, rules: rules)
    #expect(state.theta == zip(start.theta, sample.delta.units()).map { $0 + $1 })
    #expect(state.medianNorms == sample.delta.factorNorms())
  }

  @Test func fewerThanThreeAreHeldToTheRememberedNormWhichAtMostDoubles() throws {
    let layout = try Samples.layout()
    let rules = try FoldRules(outerRate: 1 << 16, momentum: 0)
    func lone(_ round: UInt32, exponent: Int8) throws -> Sample {
      Sample(
        name: "\(round)", author: "a", round: round, landing: round, tokens: 5,
        delta: try Delta(
          layout: layout,
          exponents: [Int8](
            repeating: exponent, count: DeltaTier.int4.blockCount(of: layout)),
          symbols: [Int8](repeating: 1, count: layout.count)))
    }
    let start = FoldState.start(layout: layout, seed: [1])
    var state = try [lone(1, exponent: 20)].folded(onto: start, round: 1, rules: rules)
    let first = state.medianNorms
    for round in 2...4 as ClosedRange<UInt32> {
      let before = state
      state = try [lone(round, exponent: 30)].folded(onto: state, round: round, rules: rules)
      #expect(state.medianNorms == before.medianNorms.map { 2 * $0 })
      for (index, factor) in layout.factors.enumerated() {
        // What was added is no longer than what was remembered, but for rounding to units: less
        // than half a unit a coordinate.
        let squares = factor.range.reduce(UInt128(0)) {
          let moved = (state.theta[$1] - before.theta[$1]).magnitude
          return $0 + UInt128(moved) * UInt128(moved)
        }
        let slack = integerSquareRoot(UInt128(factor.count)) + 1
        #expect(integerSquareRoot(squares) <= before.medianNorms[index] + slack)
        #expect(squares > 0)
      }
    }
    #expect(state.medianNorms == first.map { 8 * $0 })
  }

  @Test func forgedTokenCountsGainNothing() throws {
    let layout = try Samples.layout()
    var generator = SeededGenerator(seed: 10)
    let rules = try FoldRules()
    let start = FoldState.start(layout: layout, seed: [1])
    var samples = try Samples.round(1, count: 3, layout: layout, &generator)
    for index in samples.indices {
      (samples[index].isRecalled, samples[index].tokens) = (false, 1_000)
    }
    let honest = try samples.folded(onto: start, round: 1, rules: rules)
    samples[2].tokens = 1 << 40
    #expect(try samples.folded(onto: start, round: 1, rules: rules) == honest)
    samples[2].tokens = .max
    #expect(try samples.folded(onto: start, round: 1, rules: rules) == honest)
  }

  @Test func coordinatesSaturateInsteadOfOverflowing() throws {
    let layout = try AdapterLayout(
      rank: 1, alpha: 1, modules: [AdapterModule(path: "m", inputs: 1, outputs: 1)])
    let limit = CanonicalAdapter.maximumUnits
    let rules = try FoldRules(outerRate: 1 << 20, momentum: 65_535)
    var state = FoldState.start(layout: layout, seed: [])
    var referee = Referee(state)
    var reached = false
    let delta = try Delta(layout: layout, exponents: [36, 36], symbols: [7, -7])
    for round in 1...4_000 as ClosedRange<UInt32> {
      let sample = Sample(
        name: "\(round)", author: "a", round: round, landing: round, tokens: 1, delta: delta)
      state = try [sample].folded(onto: state, round: round, rules: rules)
      referee.fold([sample], rules: rules)
      #expect(state.theta == referee.theta)
      if state.theta == [limit, -limit] {
        reached = true
        break
      }
    }
    #expect(reached)
  }

  @Test func refusesWhatDoesNotBelong() throws {
    let layout = try Samples.layout()
    var generator = SeededGenerator(seed: 11)
    let rules = try FoldRules()
    let start = FoldState.start(layout: layout, seed: [])
    var sample = try Samples.round(3, count: 1, layout: layout, &generator)[0]
    sample.isRecalled = false
    let state = try [sample].folded(onto: start, round: 3, rules: rules)
    #expect(throws: FoldError.round(state: 3, group: 3)) {
      try [sample].folded(onto: state, round: 3, rules: rules)
    }
    #expect(throws: FoldError.landing(sample.id)) {
      try [sample].folded(onto: start, round: 2, rules: rules)
    }
    var early = sample
    early.round = 4
    #expect(throws: FoldError.landing(sample.id)) {
      try [early].folded(onto: start, round: 3, rules: rules)
    }
    var twin = sample
    twin.tokens += 1
    #expect(throws: FoldError.conflict(sample.id)) {
      try [sample, twin].folded(onto: start, round: 3, rules: rules)
    }
    var second = sample
    second.name = "second"
    #expect(throws: FoldError.twice(author: sample.admitted.author, round: sample.round)) {
      try [sample, second].folded(onto: start, round: 3, rules: rules)
    }
    let other = try AdapterLayout(rank: 1, alpha: 1, modules: layout.modules)
    var foreign = sample
    foreign.delta = try Samples.delta(other, &generator, exponents: 0...9)
    #expect(throws: FoldError.layout(sample.id)) {
      try [foreign].folded(onto: start, round: 3, rules: rules)
    }
  }

  @Test func rulesOutOfRangeAreRefusedByName() throws {
    #expect(throws: FoldError.outerRate(0)) { try FoldRules(outerRate: 0) }
    #expect(throws: FoldError.outerRate(1 << 20 + 1)) { try FoldRules(outerRate: 1 << 20 + 1) }
    #expect(throws: FoldError.momentum(65_536)) { try FoldRules(momentum: 65_536) }
    #expect(throws: FoldError.latenessLimit(3)) { try FoldRules(latenessLimit: 3) }
    var message = Hanse_V1_MergeRules()
    message.rule = "krum"
    message.outerRateQ16 = 45_875
    message.momentumQ16 = 58_982
    message.latenessLimit = 2
    #expect(throws: FoldError.unknownRule("krum")) { try FoldRules(message) }
    message.rule = "clipped-mean"
    #expect(try FoldRules(message) == FoldRules())
  }

  @Test func fiveMillionCoordinatesFoldInSeconds() throws {
    var modules: [AdapterModule] = []
    for layer in 0..<30 {
      for (name, inputs, outputs) in [
        ("q", 576, 576), ("k", 576, 192), ("v", 576, 192), ("o", 576, 576), ("g", 576, 1536),
        ("u", 576, 1536), ("d", 1536, 576),
      ] {
        modules.append(AdapterModule(path: "\(layer).\(name)", inputs: inputs, outputs: outputs))
      }
    }
    let layout = try AdapterLayout(rank: 16, alpha: 32, modules: modules)
    var generator = SeededGenerator(seed: 1)
    let samples = try (0..<3).map {
      Sample(
        name: "\($0)", author: "\($0)", round: 1, landing: 1, tokens: 1_000,
        delta: try Samples.delta(layout, &generator, exponents: 24...30))
    }
    let clock = ContinuousClock()
    var state: FoldState?
    let starting = clock.measure { state = FoldState.start(layout: layout, seed: []) }
    let rules = try FoldRules()
    let folding = try clock.measure {
      state = try samples.folded(onto: state!, round: 1, rules: rules)
    }
    let rooting = clock.measure { _ = state!.root }
    let rounding = clock.measure { _ = state!.adapter.rounded() }
    print(
      "fold of 3 × \(layout.count): \(folding), start \(starting), root \(rooting), "
        + "rounded \(rounding)")
    #expect(folding < .seconds(20))
  }
}
