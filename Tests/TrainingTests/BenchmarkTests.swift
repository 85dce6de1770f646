import Testing
import Training
import Transformers

@Suite struct BenchmarkTests {
  /// The benchmark itself must not rot: it runs small in every test run.
  @Test(arguments: ComputeType.allCases)
  func runsSmallAndCountsItsProducts(type: ComputeType) throws {
    let shape = try #require(
      DecoderConfiguration.measuredShapes.first { $0.name == "tiny" }?.shape)
    var settings = TrainingSettings(steps: 2)
    settings.batch = 2
    settings.length = 24
    settings.rank = 4
    settings.computeType = type
    let decoder = try Decoder(
      configuration: shape, weights: RandomWeights(), computeType: type)
    var steps = 0
    let plan = try MemoryPlan(
      configuration: shape, settings: settings, layout: settings.layout(for: shape))
    let result = try TrainingBenchmark(decoder: decoder, settings: settings, plan: plan).run {
      _ in steps += 1
    }
    #expect(steps == 3)
    #expect(result.secondsPerStep.count == 3)
    #expect(result.tokensPerSecond > 0 && result.bestTokensPerSecond >= result.tokensPerSecond)
    #expect(result.ceiling > 0 && result.shareOfCeiling > 0)
    #expect(result.peakResidentBytes > 1 << 20)
    // Forward and backward of every frozen product. Tests beside this one may add to the count.
    let weights = LinearLayer.allCases.reduce(0) { sum, layer in
      let (inputs, outputs) = shape.shape(of: layer)
      return sum + inputs * outputs
    }
    let least = 4 * 48 * (shape.layers * weights + shape.vocabulary * shape.hidden)
    #expect(result.operationsPerStep >= Double(least))
    let named = Set(result.parts.filter { $0.seconds > 0 }.map(\.part))
    for part in ["frozen products, forward", "attention, backward", "vocabulary head and loss"] {
      #expect(named.contains(part))
    }
  }

  @Test func refusesSettingsOutOfBounds() throws {
    let shape = try #require(
      DecoderConfiguration.measuredShapes.first { $0.name == "tiny" }?.shape)
    let decoder = try Decoder(
      configuration: shape, weights: RandomWeights(), computeType: .f32)
    var settings = TrainingSettings(steps: 1)
    let plan = try MemoryPlan(
      configuration: shape, settings: settings, layout: settings.layout(for: shape))
    settings.length = 1
    #expect(throws: TrainingError.self) {
      try TrainingBenchmark(decoder: decoder, settings: settings, plan: plan)
    }
  }

  /// Memory decides whether activations are kept; too little is refused with the figures.
  @Test func aPlanFollowsTheMemoryThereIs() throws {
    let shape = DecoderConfiguration.smolLM2Small
    let settings = TrainingSettings(steps: 1)
    let layout = try settings.layout(for: shape)
    func plan(_ limit: Int) throws -> MemoryPlan {
      try MemoryPlan(configuration: shape, settings: settings, layout: layout, limit: limit)
    }
    let kept = try plan(.max)
    #expect(!kept.recomputes)
    let again = try plan(kept.needs.peak - 1)
    #expect(again.recomputes && again.needs.peak < kept.needs.peak)
    #expect(again.needs.activations < kept.needs.activations / 2)
    #expect(throws: TrainingError.tooLittleMemory(again.needs, available: again.needs.peak - 1)) {
      try plan(again.needs.peak - 1)
    }
    #expect(try #require(availableBytes()) > 1 << 20)
    // Dropout needs room for an input, and judging held-out text a pass of its own.
    var dropping = settings
    dropping.dropout = 0.1
    let more = try MemoryPlan(
      configuration: shape, settings: dropping, layout: layout, limit: .max)
    #expect(more.needs.activations > kept.needs.activations)
    let judging = try MemoryPlan(
      configuration: shape, settings: settings, layout: layout, judges: true, limit: .max)
    #expect(judging.needs.activations > kept.needs.activations)
  }
}
