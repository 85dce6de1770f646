import Adapters
import Determinism
import Testing
import Transformers

/// A small model, its adapter and some windows.
struct Specimen {
  let configuration: DecoderConfiguration
  let weights: InventedWeights
  let adapter: Adapter
  let batch: Int
  let length: Int
  let tokens: [Int32]

  init(
    _ configuration: DecoderConfiguration, rank: Int = 3, targets: Targets = .allLinear,
    batch: Int = 2, length: Int = 7, seed: UInt64 = 1
  ) throws {
    self.configuration = configuration
    self.batch = batch
    self.length = length
    weights = InventedWeights(configuration, seed: seed)
    var generator = SeededGenerator(seed: seed + 100)
    let layout = try AdapterLayout(
      rank: rank, alpha: 2 * rank, modules: try configuration.linearModules(targets: targets))
    adapter = try Adapter(
      layout: layout,
      values: (0..<layout.count).map { _ in Float(generator.nextUnit() - 0.5) * 0.4 })
    tokens = (0..<batch * length).map { _ in
      Int32(generator.nextUnit() * Double(configuration.vocabulary))
    }
  }

  /// The shape most tests use: nothing in it is a multiple of a vector or of a tile.
  static let odd = DecoderConfiguration(
    vocabulary: 53, hidden: 36, layers: 2, heads: 6, keyValueHeads: 2, headDimension: 6,
    intermediate: 70, ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: true,
    maximumPositions: 64)

  func decoder(_ type: ComputeType, adapted: Bool = true) throws -> Decoder {
    let decoder = try Decoder(
      configuration: configuration, weights: weights, computeType: type)
    if adapted { try decoder.setAdapter(adapter) }
    return decoder
  }

  func referee(adapted: Bool = true) -> Referee {
    var referee = Referee(weights: weights)
    if adapted {
      referee.layout = adapter.layout
      referee.values = adapter.values.map(Double.init)
    }
    return referee
  }

  func windows() -> [[Int32]] {
    (0..<batch).map { Array(tokens[$0 * length..<($0 + 1) * length]) }
  }

  /// Loss and gradient of the sum.
  func gradient(_ decoder: Decoder, scale: Float = 1) -> (LossSum, [Float]) {
    var gradient = [Float](repeating: 0, count: adapter.layout.count)
    let loss = gradient.withUnsafeMutableBufferPointer {
      decoder.lossAndGradient(
        tokens: tokens, batch: batch, length: length, gradientScale: scale, gradient: $0)
    }
    return (loss, gradient)
  }
}

/// Largest difference relative to the largest value.
func difference(_ a: [Float], _ b: [Double]) -> Double {
  let size = b.map(abs).max() ?? 0
  let worst = zip(a, b).map { abs(Double($0) - $1) }.max() ?? 0
  return a.count == b.count ? worst / max(size, 1e-30) : .infinity
}

@Suite struct DecoderTests {
  static let shapes: [DecoderConfiguration] = {
    var untied = Specimen.odd
    untied.tiedEmbeddings = false
    var wide = Specimen.odd
    wide.headDimension = 64
    wide.heads = 3
    wide.keyValueHeads = 1
    wide.hidden = 96
    wide.layers = 1
    var uneven = Specimen.odd
    uneven.headDimension = 80
    uneven.heads = 2
    uneven.keyValueHeads = 2
    uneven.intermediate = 300
    uneven.layers = 1
    uneven.vocabulary = 1100
    return [Specimen.odd, untied, wide, uneven] + FamilyShapes.all
  }()

  @Test(arguments: shapes)
  func logitsAreTheReferees(shape: DecoderConfiguration) throws {
    for adapted in [false, true] {
      let specimen = try Specimen(shape, length: 9)
      let expected = specimen.windows().flatMap { window in
        specimen.referee(adapted: adapted).logits(window).flatMap(\.self)
      }
      let found = try specimen.decoder(.f32, adapted: adapted)
        .logits(tokens: specimen.tokens, batch: 2, length: 9)
      #expect(difference(found, expected) < 1e-5)
      let rough = try specimen.decoder(.bf16, adapted: adapted)
        .logits(tokens: specimen.tokens, batch: 2, length: 9)
      #expect(difference(rough, expected) < 0.03)
    }
  }

  @Test(arguments: [1, 2, 3, 16, 33, 57, 120])
  func lossIsTheRefereesAtAnyLength(length: Int) throws {
    for batch in [1, 3] {
      let specimen = try Specimen(Specimen.odd, batch: batch, length: length)
      let expected = specimen.windows().map(specimen.referee().loss).reduce(0, +)
      let decoder = try specimen.decoder(.f32)
      let alone = decoder.loss(tokens: specimen.tokens, batch: batch, length: length)
      let (beside, _) = specimen.gradient(decoder)
      #expect(alone.tokens == batch * (length - 1) && beside.tokens == alone.tokens)
      #expect(abs(alone.nats - expected) <= 1e-5 * max(expected, 1))
      #expect(abs(beside.nats - expected) <= 1e-5 * max(expected, 1))
      let rough = try specimen.decoder(.bf16)
        .loss(tokens: specimen.tokens, batch: batch, length: length)
      #expect(abs(rough.nats - expected) <= 0.02 * max(expected, 1))
    }
  }

  @Test(arguments: shapes)
  func everyKindOfGradientAgreesWithFiniteDifferences(shape: DecoderConfiguration) throws {
    let specimen = try Specimen(shape, batch: 1, length: 5)
    let (_, gradient) = specimen.gradient(try specimen.decoder(.f32))
    try compare(gradient, with: specimen, perFactor: 3)
  }

  @Test func everyCoordinateOfATinyModelAgreesWithFiniteDifferences() throws {
    let tiny = DecoderConfiguration(
      vocabulary: 11, hidden: 6, layers: 2, heads: 2, keyValueHeads: 1, headDimension: 4,
      intermediate: 7, ropeTheta: 100, normEpsilon: 1e-5, tiedEmbeddings: false,
      maximumPositions: 16)
    let specimen = try Specimen(tiny, rank: 2, batch: 2, length: 6)
    let (_, gradient) = specimen.gradient(try specimen.decoder(.f32))
    try compare(gradient, with: specimen, perFactor: .max)
  }

  @Test(arguments: ["q_proj", "k_proj,v_proj", "o_proj", "gate_proj", "up_proj,down_proj"])
  func gradientsOfASubsetAreThoseOfTheWhole(names: String) throws {
    let targets = try Targets(text: names)
    let specimen = try Specimen(Specimen.odd, rank: 17, targets: targets, batch: 1, length: 6)
    let (_, gradient) = specimen.gradient(try specimen.decoder(.f32))
    try compare(gradient, with: specimen, perFactor: 2)
  }

  @Test func factorsInOneBlockOnlyLearnToo() throws {
    let modules = try Specimen.odd.linearModules(targets: .allLinear)
    for block in [modules.prefix(7), modules.suffix(7), modules.suffix(3)] {
      let layout = try AdapterLayout(rank: 2, alpha: 3, modules: Array(block))
      var generator = SeededGenerator(seed: 3)
      let adapter = try Adapter(
        layout: layout, values: (0..<layout.count).map { _ in Float(generator.nextUnit() - 0.5) })
      let specimen = try Specimen(Specimen.odd, batch: 1, length: 6)
      let decoder = try specimen.decoder(.f32)
      try decoder.setAdapter(adapter)
      var gradient = [Float](repeating: 0, count: layout.count)
      gradient.withUnsafeMutableBufferPointer {
        _ = decoder.lossAndGradient(
          tokens: specimen.tokens, batch: 1, length: 6, gradientScale: 1, gradient: $0)
      }
      var referee = Referee(weights: specimen.weights)
      referee.layout = layout
      referee.values = adapter.values.map(Double.init)
      compare(gradient, referee, specimen.windows(), perFactor: 1)
    }
  }

  @Test func gradientIsAddedAndScaled() throws {
    let specimen = try Specimen(Specimen.odd)
    let decoder = try specimen.decoder(.f32)
    let (_, once) = specimen.gradient(decoder)
    var twice = once
    twice.withUnsafeMutableBufferPointer {
      _ = decoder.lossAndGradient(
        tokens: specimen.tokens, batch: 2, length: 7, gradientScale: 0.25, gradient: $0)
    }
    #expect(difference(twice, once.map { 1.25 * Double($0) }) < 1e-5)
  }

  @Test func roundedGradientPointsTheSameWay() throws {
    let specimen = try Specimen(Specimen.odd, batch: 3, length: 20)
    let (_, exact) = specimen.gradient(try specimen.decoder(.f32))
    let (_, rough) = specimen.gradient(try specimen.decoder(.bf16))
    var (dot, a, b) = (0.0, 0.0, 0.0)
    for (x, y) in zip(exact, rough) {
      dot += Double(x) * Double(y)
      a += Double(x) * Double(x)
      b += Double(y) * Double(y)
    }
    #expect(dot / (a * b).squareRoot() > 0.999)
    #expect(abs((a / b).squareRoot() - 1) < 0.02)
  }

  /// Many windows go through in several passes, the last one smaller: sums must not notice.
  @Test func passesAndSlicesDoNotChangeTheSum() throws {
    let specimen = try Specimen(Specimen.odd, batch: 5, length: 300)
    let decoder = try specimen.decoder(.f32)
    let (whole, gradient) = specimen.gradient(decoder)
    var pieces = LossSum()
    var sum = [Float](repeating: 0, count: gradient.count)
    for window in specimen.windows() {
      sum.withUnsafeMutableBufferPointer {
        pieces += decoder.lossAndGradient(
          tokens: window, batch: 1, length: 300, gradientScale: 1, gradient: $0)
      }
    }
    #expect(abs(whole.nats - pieces.nats) < 1e-5 * whole.nats && whole.tokens == pieces.tokens)
    #expect(difference(sum, gradient.map(Double.init)) < 1e-4)
  }

  @Test(arguments: ComputeType.allCases)
  func sameInputsGiveSameBits(type: ComputeType) throws {
    let specimen = try Specimen(Specimen.odd, batch: 4, length: 61)
    let decoder = try specimen.decoder(type)
    let first = specimen.gradient(decoder)
    _ = decoder.loss(tokens: Array(specimen.tokens.prefix(12)), batch: 3, length: 4)
    let second = specimen.gradient(decoder)
    let third = specimen.gradient(try specimen.decoder(type))
    #expect(first.0 == second.0 && first.1 == second.1)
    #expect(first.0 == third.0 && first.1 == third.1)
  }

  @Test func adapterComesAndGoes() throws {
    let specimen = try Specimen(Specimen.odd)
    let decoder = try specimen.decoder(.f32, adapted: false)
    let plain = decoder.loss(tokens: specimen.tokens, batch: 2, length: 7)
    try decoder.setAdapter(specimen.adapter)
    let adapted = decoder.loss(tokens: specimen.tokens, batch: 2, length: 7)
    try decoder.setAdapter(Adapter.zero(layout: specimen.adapter.layout))
    let zero = decoder.loss(tokens: specimen.tokens, batch: 2, length: 7)
    try decoder.setAdapter(nil)
    #expect(plain == decoder.loss(tokens: specimen.tokens, batch: 2, length: 7))
    #expect(abs(plain.nats - adapted.nats) > 0.1)
    #expect(abs(plain.nats - zero.nats) < 1e-6)
  }

  @Test func adapterThatDoesNotFitIsRefusedByName() throws {
    let specimen = try Specimen(Specimen.odd)
    let decoder = try specimen.decoder(.f32)
    for module in [
      AdapterModule(path: "model.layers.2.mlp.up_proj", inputs: 36, outputs: 70),
      AdapterModule(path: "model.layers.0.mlp.up_proj", inputs: 70, outputs: 36),
    ] {
      let layout = try AdapterLayout(rank: 2, alpha: 2, modules: [module])
      let error = #expect(throws: TransformersError.self) {
        try decoder.setAdapter(Adapter.zero(layout: layout))
      }
      #expect(error.map(String.init(describing:))?.contains(module.path) == true)
    }
    let loss = decoder.loss(tokens: specimen.tokens, batch: 2, length: 7)
    #expect(
      loss
        == (try specimen.decoder(.f32).loss(tokens: specimen.tokens, batch: 2, length: 7)))
  }

  /// Computing activations again costs time and changes not one bit.
  @Test(arguments: ComputeType.allCases, ["all-linear", "q_proj,down_proj"])
  func activationsComputedAgainAreTheSame(type: ComputeType, targets: String) throws {
    var shape = Specimen.odd
    shape.layers = 5
    let specimen = try Specimen(shape, targets: Targets(text: targets), batch: 3)
    let decoder = try specimen.decoder(type)
    let (loss, gradient) = specimen.gradient(decoder)
    decoder.recomputesActivations = true
    for _ in 0..<2 {
      let (again, gradientAgain) = specimen.gradient(decoder)
      #expect(again == loss)
      #expect(gradientAgain == gradient)
    }
  }

  @Test func impossibleShapesAreRefused() {
    for change in [
      { (c: inout DecoderConfiguration) in c.keyValueHeads = 4 }, { $0.headDimension = 5 },
      { $0.layers = 0 }, { $0.vocabulary = -1 }, { $0.ropeTheta = .nan },
      { $0.slidingLayers = [0] }, { $0.unrotatedLayers = [2] },
      { $0.rotaryScaling = .linear(factor: 0) }, { $0.rotaryScaling = .divisors([1, 1]) },
      { $0.rotaryScaling = .llama3(factor: 8, low: 4, high: 4, original: 64) },
      {
        $0.activation = .xielu
        $0.biases = [.gate]
      },
    ] {
      var shape = Specimen.odd
      change(&shape)
      #expect(throws: TransformersError.self) { try shape.checked() }
    }
  }

  @Test(arguments: [Specimen.odd] + FamilyShapes.all)
  func generationGoesTheWayOfTheFullForward(shape: DecoderConfiguration) throws {
    for type in ComputeType.allCases {
      let specimen = try Specimen(shape, batch: 1, length: 5)
      let decoder = try specimen.decoder(type)
      let cache = decoder.makeCache(capacity: 40)
      var text = specimen.tokens
      var next: [Float] = []
      for token in text { next = decoder.step(token: token, cache: cache) }
      for _ in 0..<30 {
        let full = decoder.logits(tokens: text, batch: 1, length: text.count)
          .suffix(specimen.configuration.vocabulary)
        #expect(difference(next, full.map(Double.init)) < (type == .f32 ? 1e-5 : 0.03))
        // Rounded sums in another order may turn two that are as good as equal.
        #expect(type == .bf16 || argmax(next) == argmax(Array(full)))
        text.append(Int32(argmax(Array(full))))
        next = decoder.step(token: text[text.count - 1], cache: cache)
      }
      #expect(cache.count == 35)
      cache.truncate(to: 4)
      let again = decoder.step(token: text[4], cache: cache)
      let full = decoder.logits(tokens: Array(text.prefix(5)), batch: 1, length: 5)
      let tolerance = type == .f32 ? 1e-5 : 0.03
      #expect(difference(again, full.suffix(again.count).map(Double.init)) < tolerance)
    }
  }

  @Test func aModelWithoutAGateTakesNoFactorsOnOne() throws {
    var shape = Specimen.odd
    shape.activation = .xielu
    let names = try shape.linearModules(targets: .allLinear).map(\.path)
    #expect(names.count == 12 && !names.contains { $0.contains("gate_proj") })
    let error = #expect(throws: TransformersError.self) {
      try shape.linearModules(targets: Targets(text: "q_proj,gate_proj"))
    }
    #expect(error.map(String.init(describing:))?.contains("gate_proj") == true)
    let specimen = try Specimen(shape)
    let module = AdapterModule(path: "model.layers.0.mlp.gate_proj", inputs: 36, outputs: 70)
    let layout = try AdapterLayout(rank: 2, alpha: 2, modules: [module])
    #expect(throws: TransformersError.self) {
      try specimen.decoder(.f32).setAdapter(Adapter.zero(layout: layout))
    }
  }

  @Test func targetsReadAsWritten() throws {
    #expect(try Targets(text: "all-linear") == .allLinear)
    #expect(try Targets(text: "v_proj,q_proj").text == "q_proj,v_proj")
    #expect(throws: TransformersError.self) { try Targets(text: "lm_head") }
    #expect(throws: TransformersError.self) { try Targets(text: "") }
    #expect(throws: TransformersError.self) { try Targets(text: "!model.layers.0.*") }
    let modules = try DecoderConfiguration.smolLM2Small.linearModules(targets: .allLinear)
    #expect(modules.count == 210)
    #expect(modules[9].path == "model.layers.1.self_attn.v_proj" && modules[9].outputs == 192)
  }

  // MARK: Comparing

  private func argmax(_ x: [Float]) -> Int { x.indices.max { x[$0] < x[$1] } ?? 0 }

  private func compare(_ gradient: [Float], with specimen: Specimen, perFactor: Int) throws {
    compare(gradient, specimen.referee(), specimen.windows(), perFactor: perFactor)
  }

  /// Central differences of the referee's loss at up to `perFactor` coordinates of each factor.
  private func compare(
    _ gradient: [Float], _ referee: Referee, _ windows: [[Int32]], perFactor: Int
  ) {
    let size = gradient.map(abs).max() ?? 0
    #expect(size > 1e-3)
    for factor in referee.layout?.factors ?? [] {
      let step = max(1, factor.count / perFactor)
      for index in stride(from: factor.offset, to: factor.range.upperBound, by: step) {
        func loss(_ shift: Double) -> Double {
          var moved = referee
          moved.values[index] += shift
          return windows.map(moved.loss).reduce(0, +)
        }
        let slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
        #expect(
          abs(Double(gradient[index]) - slope) < 2e-5 * Double(size) + 1e-4 * abs(slope),
          "\(factor.name) coordinate \(index - factor.offset)")
      }
    }
  }
}
