import Adapters
import Testing

@Suite struct AdapterLayoutTests {
  private let modules = [
    AdapterModule(path: "layer.0.q", inputs: 6, outputs: 4),
    AdapterModule(path: "layer.0.v", inputs: 6, outputs: 2),
  ]

  @Test func laysFactorsOutOneAfterTheOther() throws {
    let layout = try AdapterLayout(rank: 3, alpha: 6, modules: modules)
    #expect(layout.factors.map(\.offset) == [0, 18, 30, 48])
    #expect(layout.factors.map(\.rows) == [3, 4, 3, 2])
    #expect(layout.factors.map(\.columns) == [6, 3, 6, 3])
    #expect(
      layout.factors.map(\.name) == [
        "layer.0.q.lora_A", "layer.0.q.lora_B", "layer.0.v.lora_A", "layer.0.v.lora_B",
      ])
    #expect(layout.count == 54)
    #expect(layout.scale == 2)
    #expect(layout.factors.last?.range.upperBound == layout.count)
  }

  @Test func encodesToTheBytesOfTheSpecification() throws {
    let layout = try AdapterLayout(
      rank: 2, alpha: 4, modules: [AdapterModule(path: "q", inputs: 3, outputs: 258)])
    #expect(
      layout.encoded() == [
        2, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0x71, 3, 0, 0, 0, 2, 1, 0, 0,
      ])
  }

  @Test func anythingThatDiffersGivesAnotherID() throws {
    let plain = try AdapterLayout(rank: 3, alpha: 6, modules: modules)
    let others = [
      try AdapterLayout(rank: 2, alpha: 6, modules: modules),
      try AdapterLayout(rank: 3, alpha: 7, modules: modules),
      try AdapterLayout(rank: 3, alpha: 6, modules: modules.reversed()),
      try AdapterLayout(rank: 3, alpha: 6, modules: [modules[0]]),
    ]
    for other in others {
      #expect(other.id != plain.id)
      #expect(other != plain)
    }
    #expect(try AdapterLayout(rank: 3, alpha: 6, modules: modules) == plain)
  }

  @Test(arguments: [0, -1, 1025, Int.max, Int.min])
  func refusesARankOutOfBounds(rank: Int) {
    #expect(throws: AdapterError.rank(rank)) {
      try AdapterLayout(rank: rank, alpha: 1, modules: modules)
    }
  }

  @Test func refusesAlphaOutOfBounds() {
    #expect(throws: AdapterError.alpha(0)) {
      try AdapterLayout(rank: 1, alpha: 0, modules: modules)
    }
    #expect(throws: AdapterError.alpha(65_537)) {
      try AdapterLayout(rank: 1, alpha: 65_537, modules: modules)
    }
  }

  @Test func refusesNoModulesAndTwins() {
    #expect(throws: AdapterError.moduleCount(0)) {
      try AdapterLayout(rank: 1, alpha: 1, modules: [])
    }
    #expect(throws: AdapterError.duplicatePath("layer.0.q")) {
      try AdapterLayout(rank: 1, alpha: 1, modules: [modules[0], modules[1], modules[0]])
    }
  }

  @Test(arguments: [
    "", "a/b", "a b", "a\nb", "é", "..\\x", "a\u{0}", String(repeating: "a", count: 257),
  ])
  func refusesUnusablePaths(path: String) {
    #expect(throws: AdapterError.path(module: 1)) {
      try AdapterLayout(
        rank: 1, alpha: 1,
        modules: [modules[0], AdapterModule(path: path, inputs: 1, outputs: 1)])
    }
  }

  @Test(arguments: [(0, 1), (1, 0), (-4, 4), (1 << 21, 1), (1, Int.max)])
  func refusesSidesOutOfBounds(inputs: Int, outputs: Int) {
    #expect(throws: AdapterError.sides(path: "x", inputs: inputs, outputs: outputs)) {
      try AdapterLayout(
        rank: 1, alpha: 1, modules: [AdapterModule(path: "x", inputs: inputs, outputs: outputs)])
    }
  }

  @Test func refusesMoreNumbersThanTheLimit() {
    let side = AdapterLayout.maximumSide
    #expect(throws: AdapterError.count(2 * 1024 * side)) {
      try AdapterLayout(
        rank: 1024, alpha: 1, modules: [AdapterModule(path: "x", inputs: side, outputs: side)])
    }
  }
}
