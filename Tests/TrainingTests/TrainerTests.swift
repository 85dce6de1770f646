import Adapters
import Checkpoints
import Datasets
import FoundationEssentials
import Testing
import Training
import Transformers

@Suite struct TrainerTests {
  @Test func aResumedRunIsTheUninterruptedOne() throws {
    let fixture = try Fixture("llama-untied")
    let folder = Folder()
    var settings = fixture.settings
    settings.order = .shuffled
    settings.schedule = .cosine
    settings.warmup = .percent(25)
    settings.seed = 7
    settings.dropout = 0.15
    let decoder = try fixture.decoder(.f32)
    let whole = try Trainer(
      decoder: decoder, adapter: fixture.adapter, settings: settings, windows: fixture.windows)
    var wanted: [Double] = []
    _ = try whole.run { wanted.append($0.loss) }

    let first = try Trainer(
      decoder: decoder, adapter: fixture.adapter, settings: settings, windows: fixture.windows)
    var losses: [Double] = []
    for _ in 0..<8 { losses.append(try first.step().loss) }
    try SavedRun(trainer: first, base: fixture.checkpoint, baseModel: "tiny")
      .write(to: folder.path)

    let saved = try SavedRun.read(from: folder.path)
    #expect(saved.facts.stepsDone == 8)
    try saved.requireContinuation(
      path: folder.path, settings: settings, textFingerprint: first.textFingerprint,
      base: fixture.checkpoint)
    let second = try Trainer(
      decoder: try fixture.decoder(.f32), adapter: saved.adapter, settings: settings,
      windows: fixture.windows, optimiser: saved.optimiser, stepsDone: saved.facts.stepsDone)
    _ = try second.run { losses.append($0.loss) }
    #expect(losses == wanted)
    #expect(second.adapter == whole.adapter)
    #expect(second.optimiser == whole.optimiser)
  }

  @Test func documentsInAWindowAreTrainedAsIfApart() throws {
    let fixture = try Fixture("qwen2")
    let corpus = Corpus(
      documents: (0..<12).map { index in
        Array(fixture.reference.training.stream[index * 20..<index * 20 + 15])
      })
    var settings = fixture.settings
    settings.batch = 2
    settings.length = 32
    settings.separatesDocuments = true
    let decoder = try fixture.decoder(.f32)
    // Two documents with their separators fill a window.
    let packed = try Trainer(
      decoder: decoder, adapter: fixture.adapter, settings: settings,
      windows: Windows(stream: corpus.stream(separator: 3), length: 32)
    ).step()
    settings.batch = 4
    settings.length = 16
    settings.separatesDocuments = false
    let apart = try Trainer(
      decoder: decoder, adapter: fixture.adapter, settings: settings,
      windows: Windows(stream: corpus.stream(separator: 3), length: 16)
    ).step()
    #expect(abs(packed.loss / apart.loss - 1) < 1e-5)
    #expect(abs(packed.gradientNorm / apart.gradientNorm - 1) < 1e-4)
  }

  @Test func theSavedFolderIsAnAdapterToo() throws {
    let fixture = try Fixture("llama-tied")
    let folder = Folder()
    let trainer = try Trainer(
      decoder: try fixture.decoder(.f32), adapter: fixture.adapter, settings: fixture.settings,
      windows: fixture.windows)
    _ = try trainer.step()
    try SavedRun(trainer: trainer, base: fixture.checkpoint, baseModel: "tiny")
      .write(to: folder.path)
    let contents = try PEFTFolder.read(folder.path, for: fixture.checkpoint.configuration)
    #expect(contents.dropout == 0)
    #expect(contents.adapter == trainer.adapter)
    #expect(contents.adapter != fixture.adapter)
    #expect(contents.baseModel == "tiny")
  }

  @Test func aRankStabilisedRunWithDropoutIsSavedAsSuch() throws {
    let fixture = try Fixture("llama-tied")
    let folder = Folder()
    var settings = fixture.settings
    settings.scaling = .rankStabilised
    settings.dropout = 0.25
    let configuration = fixture.checkpoint.configuration
    let trainer = try Trainer(
      decoder: try fixture.decoder(.f32),
      adapter: try Trainer.freshAdapter(settings: settings, configuration: configuration),
      settings: settings, windows: fixture.windows)
    _ = try trainer.step()
    try SavedRun(trainer: trainer, base: fixture.checkpoint, baseModel: "tiny")
      .write(to: folder.path)
    let contents = try PEFTFolder.read(folder.path, for: configuration)
    #expect(contents.dropout == 0.25 && contents.adapter == trainer.adapter)
    #expect(contents.adapter.layout.scale == 4)  // 8 / √4
    let saved = try SavedRun.read(from: folder.path)
    #expect(saved.adapter == trainer.adapter && saved.facts.settings == settings)
  }

  @Test func aRunIsNotContinuedAsAnother() throws {
    let fixture = try Fixture("llama-tied")
    let trainer = try Trainer(
      decoder: try fixture.decoder(.f32), adapter: fixture.adapter, settings: fixture.settings,
      windows: fixture.windows)
    let saved = try SavedRun(trainer: trainer, base: fixture.checkpoint, baseModel: "tiny")
    let text = trainer.textFingerprint
    var changes: [(String, TrainingSettings, UInt64, Checkpoint)] = [
      ("text", fixture.settings, text ^ 1, fixture.checkpoint),
      ("base", fixture.settings, text, try Fixture("llama-untied").checkpoint),
    ]
    var other = fixture.settings
    other.batch = 3
    changes.append(("--batch", other, text, fixture.checkpoint))
    other = fixture.settings
    other.seed = 3
    changes.append(("--seed", other, text, fixture.checkpoint))
    other = fixture.settings
    other.dropout = 0.1
    changes.append(("--dropout", other, text, fixture.checkpoint))
    for (named, settings, text, base) in changes {
      #expect {
        try saved.requireContinuation(
          path: "run", settings: settings, textFingerprint: text, base: base)
      } throws: { "\($0)".contains(named) }
    }
    // A constant rate does not depend on the end, so that may move.
    other = fixture.settings
    other.steps = 99
    try saved.requireContinuation(
      path: "run", settings: other, textFingerprint: text, base: fixture.checkpoint)
  }

  @Test func batchesOfOneAddedUpAreTheBatch() throws {
    let fixture = try Fixture("llama-tied")
    let decoder = try fixture.decoder(.f32)
    var settings = fixture.settings
    let whole = try Trainer(
      decoder: decoder, adapter: fixture.adapter, settings: settings, windows: fixture.windows)
    let together = try whole.step()
    settings.batch = 1
    settings.accumulate = 4
    let parts = try Trainer(
      decoder: decoder, adapter: fixture.adapter, settings: settings, windows: fixture.windows)
    let apart = try parts.step()
    #expect(abs(apart.loss / together.loss - 1) < 1e-5)
    #expect(abs(apart.gradientNorm / together.gradientNorm - 1) < 1e-4)
    #expect(relativeGap(parts.adapter.values, whole.adapter.values) < 1e-4)
  }

  @Test func theSeedDecidesTheStart() throws {
    let configuration = try Fixture("llama-tied").checkpoint.configuration
    var settings = TrainingSettings(steps: 1)
    let first = try Trainer.freshAdapter(settings: settings, configuration: configuration)
    #expect(try Trainer.freshAdapter(settings: settings, configuration: configuration) == first)
    settings.seed = 1
    #expect(try Trainer.freshAdapter(settings: settings, configuration: configuration) != first)
    #expect(first.layout.rank == 16 && first.layout.alpha == 32)
    settings.targets = "q_proj,down_proj"
    let few = try Trainer.freshAdapter(settings: settings, configuration: configuration)
    #expect(few.layout.modules.count == 4)
  }

  @Test func oneDecoderServesManyJobs() throws {
    let fixture = try Fixture("llama-untied")
    let decoder = try fixture.decoder(.f32)
    func job(_ optimiser: AdamW?) throws -> (Adapter, AdamW) {
      var settings = fixture.settings
      settings.steps = 2
      let trainer = try Trainer(
        decoder: decoder, adapter: fixture.adapter, settings: settings, windows: fixture.windows,
        optimiser: optimiser)
      _ = try trainer.run()
      return (trainer.adapter, trainer.optimiser)
    }
    let (first, moments) = try job(nil)
    _ = try evaluate(decoder, adapter: nil, on: fixture.windows)
    let (again, _) = try job(nil)
    #expect(again == first)
    let folder = Folder()
    try moments.write(to: folder.path + "/moments.safetensors")
    let read = try AdamW.read(
      from: folder.path + "/moments.safetensors", count: first.layout.count)
    #expect(read == moments && read.step == 2)
    #expect(try job(read).0 != first)
    #expect(throws: (any Error).self) {
      try AdamW.read(from: folder.path + "/moments.safetensors", count: 3)
    }
  }

  @Test func whatCannotBeTrainedIsSaidBeforehand() throws {
    let fixture = try Fixture("llama-tied")
    let decoder = try fixture.decoder(.f32)
    func start(_ settings: TrainingSettings, tokens: [Int32]) throws {
      _ = try Trainer(
        decoder: decoder, adapter: fixture.adapter, settings: settings,
        windows: try Windows(stream: TokenStream(tokens: tokens), length: settings.length))
    }
    let settings = fixture.settings
    #expect(throws: TrainingError.tooLittleText(tokens: 31, length: 32)) {
      try start(settings, tokens: [Int32](repeating: 1, count: 31))
    }
    #expect(throws: TrainingError.tokenOutOfRange(token: 128, vocabulary: 128)) {
      try start(settings, tokens: [Int32](repeating: 1, count: 63) + [128])
    }
    for change in [
      { (s: inout TrainingSettings) in s.steps = 0 }, { $0.learningRate = .nan },
      { $0.clip = -1 }, { $0.targets = "lm_head" }, { $0.batch = 1 << 40 },
    ] {
      var broken = settings
      change(&broken)
      #expect(throws: (any Error).self) { try broken.validate() }
    }
  }

  @Test func aLossThatIsNoNumberStopsTheRunAndKeepsTheAdapter() throws {
    let fixture = try Fixture("llama-tied")
    var adapter = fixture.adapter
    adapter.values[0] = .nan
    let trainer = try Trainer(
      decoder: try fixture.decoder(.f32), adapter: adapter, settings: fixture.settings,
      windows: fixture.windows)
    #expect(throws: TrainingError.diverged(step: 1)) { try trainer.step() }
    #expect(trainer.adapter.values.dropFirst() == adapter.values.dropFirst())
    #expect(trainer.stepsDone == 0 && trainer.optimiser.step == 0)
  }

  @Test func settingsSurviveJSON() throws {
    var settings = TrainingSettings(steps: 12)
    settings.warmup = .percent(2.5)
    settings.order = .sequential
    let data = try JSONEncoder().encode(settings)
    #expect(try JSONDecoder().decode(TrainingSettings.self, from: data) == settings)
    #expect(String(decoding: data, as: UTF8.self).contains("\"learning_rate\""))
  }
}
