import Checkpoints
import Datasets
import FoundationEssentials
import Tensors
import Testing
import Tokenizers
import Training
import Transformers

private let realModel = ProcessInfo.processInfo.environment["HANSE_TEST_MODEL"]

/// SmolLM2-135M itself, whose file the environment names: HANSE_TEST_MODEL.
@Suite(.enabled(if: realModel != nil, "HANSE_TEST_MODEL names the GGUF file"))
struct RealModelTests {
  private struct Reference: Decodable {
    let text: String
    let tokens: [Int32]
    let length, predicted: Int
    let lossF32, lossBf16: Double
  }

  private let reference: Reference
  private let checkpoint: Checkpoint

  init() throws {
    checkpoint = try Checkpoint.open(try #require(realModel))
    let path = Fixture.root + "/smollm2/reference.json"
    reference = try Fixture.decoder.decode(
      Reference.self, from: try #require(FileManager.default.contents(atPath: path)))
  }

  @Test func itsShapeIsKnown() {
    #expect(checkpoint.configuration == .smolLM2Small)
    #expect(checkpoint.files == [realModel])
  }

  @Test(arguments: [ComputeType.f32, .bf16])
  func itsLossIsThatOfTransformers(type: ComputeType) throws {
    let tokenizer = try checkpoint.tokenizer()
    #expect(tokenizer.encode(reference.text) == reference.tokens)
    let windows = try Windows(
      stream: TokenStream(tokens: reference.tokens), length: reference.length)
    let result = try evaluate(
      try checkpoint.decoder(computeType: type), adapter: nil, on: windows)
    #expect(result.tokens == reference.predicted)
    let wanted = type == .f32 ? reference.lossF32 : reference.lossBf16
    #expect(abs(result.natsPerToken / wanted - 1) < (type == .f32 ? 5e-4 : 5e-3))
  }

  /// The file's own blocks, kept as they are: nothing is lost. Eight bits of four lose a little.
  @Test func blocksInMemoryAreThoseOfTheFile() throws {
    let windows = try Windows(
      stream: TokenStream(tokens: Array(reference.tokens.prefix(reference.length))),
      length: reference.length)
    func loss(_ form: WeightForm) throws -> Double {
      try evaluate(
        try checkpoint.decoder(computeType: .f32, form: form), adapter: nil, on: windows
      ).natsPerToken
    }
    let whole = try loss(.full)
    let (four, eight) = (try loss(.q4), try loss(.q8))
    #expect(abs(four / whole - 1) < 1e-5)
    #expect(abs(eight / whole - 1) < 5e-3)
    #expect(eight != whole)
  }

  @Test func aFewStepsLowerTheLoss() throws {
    var settings = TrainingSettings(steps: 4)
    settings.batch = 2
    settings.length = reference.length
    settings.learningRate = 2e-3
    settings.order = .sequential
    let windows = try Windows(
      stream: TokenStream(tokens: Array(reference.tokens.prefix(2 * reference.length))),
      length: reference.length)
    let trainer = try Trainer(
      decoder: try checkpoint.decoder(computeType: .bf16),
      adapter: try Trainer.freshAdapter(
        settings: settings, configuration: checkpoint.configuration),
      settings: settings, windows: windows)
    let report = try trainer.run()
    #expect(try #require(report.lastLoss) < #require(report.firstLoss) - 0.2)
  }

  @Test func itAnswersAPlainQuestion() throws {
    let tokenizer = try checkpoint.tokenizer()
    var settings = GenerationSettings()
    settings.stops = tokenizer.stopTokens
    settings.maximumTokens = 12
    let prompt = try tokenizer.encodeChat(
      [ChatMessage(role: "user", content: "What is the capital of France?")],
      addGenerationPrompt: true)
    let answer = try generate(
      try checkpoint.decoder(computeType: .bf16), adapter: nil, prompt: prompt, settings: settings
    ).tokens
    #expect(tokenizer.decode(answer).contains("Paris"))
  }
}
