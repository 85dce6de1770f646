import Adapters
import Checkpoints
import Datasets
import Testing
import Training
import Transformers

/// The same mathematics as transformers and PEFT, on tiny models of which they left values.
@Suite struct ParityTests {
  static let models = [
    "llama-tied", "llama-untied", "llama3", "mistral", "qwen2", "qwen3", "smollm3", "olmo2",
    "apertus",
  ]
  /// Those of which there is a GGUF file too.
  static let files = ["llama-tied", "llama3", "qwen3", "smollm3", "olmo2", "apertus"]

  @Test(arguments: models) func logitsAreThoseOfTransformers(name: String) throws {
    let fixture = try Fixture(name)
    let decoder = try fixture.decoder(.f32)
    let reference = fixture.reference
    let plain = decoder.logits(
      tokens: reference.tokens, batch: reference.batch, length: reference.length)
    let gap = relativeGap(plain, try fixture.tensors.floats("logits"))
    print("\(name): logits \(gap) from the reference's")
    #expect(gap < 1e-4)
    try decoder.setAdapter(fixture.adapter)
    let adapted = decoder.logits(
      tokens: reference.tokens, batch: reference.batch, length: reference.length)
    let wanted = try fixture.tensors.floats("adapted_logits")
    #expect(relativeGap(adapted, wanted) < 1e-4)
    #expect(relativeGap(plain, wanted) > 1e-3, "the adapter must matter for this test to mean much")
  }

  @Test(arguments: files) func theGGUFFileGivesTheSameLogits(name: String) throws {
    let fixture = try Fixture(name)
    let decoder = try Checkpoint.open(fixture.folder + "/model.gguf").decoder(computeType: .f32)
    let logits = decoder.logits(
      tokens: fixture.reference.tokens, batch: fixture.reference.batch,
      length: fixture.reference.length)
    #expect(relativeGap(logits, try fixture.tensors.floats("logits")) < 1e-4)
  }

  @Test(arguments: models) func everyFactorsGradientIsThatOfPEFT(name: String) throws {
    let fixture = try Fixture(name)
    let decoder = try fixture.decoder(.f32)
    try decoder.setAdapter(fixture.adapter)
    let layout = fixture.adapter.layout
    let reference = fixture.reference
    let predicted = reference.batch * (reference.length - 1)
    var gradient = [Float](repeating: 0, count: layout.count)
    let loss = gradient.withUnsafeMutableBufferPointer {
      decoder.lossAndGradient(
        tokens: reference.tokens, batch: reference.batch, length: reference.length,
        gradientScale: 1 / Float(predicted), gradient: $0)
    }
    #expect(loss.tokens == predicted)
    #expect(abs(loss.mean / reference.loss - 1) < 1e-5)
    #expect(fixture.tensors.names.count == layout.factors.count + 2)
    var worst = 0.0
    defer { print("\(name): gradients at most \(worst) from the reference's") }
    for factor in layout.factors {
      let wanted = try fixture.tensors.floats("gradient." + factor.name)
      let gap = relativeGap(gradient[factor.range], wanted)
      worst = max(worst, gap)
      #expect(gap < 1e-3, "\(factor.name): \(gap)")
    }
  }

  @Test(arguments: models) func theBaseLossIsThatOfTransformers(name: String) throws {
    let fixture = try Fixture(name)
    let reference = fixture.reference
    let windows = try Windows(
      stream: TokenStream(tokens: reference.tokens), length: reference.length)
    for (type, tolerance) in [(ComputeType.f32, 1e-5), (.bf16, 5e-3)] {
      let decoder = try fixture.decoder(type)
      let plain = try evaluate(decoder, adapter: nil, on: windows)
      #expect(abs(plain.natsPerToken / reference.baseLoss - 1) < tolerance)
      let adapted = try evaluate(decoder, adapter: fixture.adapter, on: windows)
      #expect(abs(adapted.natsPerToken / reference.loss - 1) < tolerance)
      #expect(plain.tokens == reference.batch * (reference.length - 1))
    }
  }

  @Test(arguments: models) func twentyStepsFollowPEFT(name: String) throws {
    let fixture = try Fixture(name)
    let run = fixture.reference.training
    for (type, wanted, tolerance) in [
      (ComputeType.f32, run.lossF32, 1e-3), (.bf16, run.lossBf16, 1e-2),
    ] where !wanted.isEmpty {
      var settings = fixture.settings
      settings.computeType = type
      let trainer = try Trainer(
        decoder: try fixture.decoder(type), adapter: fixture.adapter, settings: settings,
        windows: try fixture.windows)
      var losses: [Double] = []
      let report = try trainer.run { losses.append($0.loss) }
      #expect(losses.count == run.steps && report.steps == run.steps)
      #expect((losses.last ?? 9) < (losses.first ?? 0))
      for (step, (loss, reference)) in zip(losses, wanted).enumerated() {
        #expect(abs(loss / reference - 1) < tolerance, "\(type) step \(step + 1)")
      }
    }
  }
}
