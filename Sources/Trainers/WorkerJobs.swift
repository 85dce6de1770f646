import Adapters
import Checkpoints
import Datasets
import Glibc
import Tensors
import Tokenizers
import Training
import Transformers

/// The base in memory and what can be done with it.
public final class WorkerJobs {
  package typealias Hear = (WorkerProgress) throws -> Void

  let path: String
  private let checkpoint: Checkpoint
  private let decoder: Decoder
  private let tokenizer: Tokenizer
  /// Tokenised text, so that a round does not begin with tokenising the same files again.
  private var texts: [(key: TextKey, stream: TokenStream)] = []
  private static let textsMax = 8

  /// How much work a kill may cost.
  private let savingInterval: Duration

  /// Loads and packs a base.
  ///
  /// - Parameters:
  ///   - form: how many bits the frozen weights take.
  ///   - savingInterval: between two times that a run's state is kept.
  public init(
    model path: String, computeType: ComputeType, form: WeightForm = .full,
    savingInterval: Duration = .seconds(30)
  ) throws {
    self.savingInterval = savingInterval
    checkpoint = try Checkpoint.open(path)
    self.path = path
    tokenizer = try checkpoint.tokenizer()
    decoder = try checkpoint.decoder(computeType: computeType, form: form)
  }

  // MARK: jobs

  /// Trains and writes the adapter; when it throws, nothing was written under the output's name.
  package func train(_ job: TrainJob, progress: Hear) throws -> TrainOutcome {
    try progress(WorkerProgress(phase: "loading", done: 0, all: 1))
    let contents = try PEFTFolder.read(job.adapter, for: decoder.configuration)
    let start = contents.adapter
    var settings = try Self.settings(job, start.layout)
    settings.dropout = contents.dropout
    let windows = try Windows(stream: stream(of: job.data), length: job.length)
    let heldOut = try job.heldOut.map {
      try Windows(stream: try stream(of: $0), length: job.length)
    }
    let before = try measure(start, on: heldOut, phase: "measuring before", progress)
    let saved = job.state.flatMap { savedRun(in: $0, settings, windows) }
    let trainer = try Trainer(
      decoder: decoder, adapter: saved?.adapter ?? start, settings: settings, windows: windows,
      optimiser: try saved?.optimiser
        ?? job.optimiserIn.map { try AdamW.read(from: $0, count: start.layout.count) },
      stepsDone: saved?.facts.stepsDone ?? 0)
    var lastSaved = ContinuousClock.now
    func save() throws {
      guard let state = job.state else { return }
      try SavedRun(trainer: trainer, base: checkpoint, baseModel: path).writeState(to: state)
      lastSaved = .now
    }
    let report = try trainer.run { step in
      if ContinuousClock.now - lastSaved >= savingInterval { try save() }
      do {
        try progress(
          WorkerProgress(
            phase: "training", done: step.step, all: job.steps, loss: step.loss,
            tokensPerSecond: Double(step.tokens) / max(step.seconds, 1e-9)))
      } catch {
        // Given up between two steps: what was done so far is there when the job comes again.
        try save()
        throw error
      }
    }
    if job.keepsState == true, report.steps > 0 { try save() }
    let after = try measure(trainer.adapter, on: heldOut, phase: "measuring after", progress)
    try job.optimiserOut.map { try trainer.optimiser.write(to: $0) }
    try write(trainer.adapter, to: job.output)
    return TrainOutcome(
      steps: job.steps, tokens: job.steps * settings.tokensPerStep,
      examples: job.steps * job.batch,
      firstLoss: report.firstLoss, lastLoss: report.lastLoss, before: before, after: after,
      tokensPerSecond: report.tokensPerSecond)
  }

  /// Measures an adapter or the base alone.
  func evaluate(_ job: EvaluateJob, progress: Hear) throws -> LossReport {
    try progress(WorkerProgress(phase: "loading", done: 0, all: 1))
    let adapter = try job.adapter.map {
      try PEFTFolder.read($0, for: decoder.configuration).adapter
    }
    let windows = try Windows(stream: stream(of: job.data), length: job.length)
    guard let report = try measure(adapter, on: windows, phase: "measuring", progress) else {
      throw TrainingError.nothingToEvaluate
    }
    return report
  }

  private func measure(
    _ adapter: Adapter?, on windows: Windows?, phase: String, _ progress: Hear
  ) throws -> LossReport? {
    guard let windows else { return nil }
    let evaluation = try Training.evaluate(decoder, adapter: adapter, on: windows) { done, all in
      try progress(WorkerProgress(phase: phase, done: done, all: all))
    }
    return LossReport(tokens: evaluation.tokens, natsPerToken: evaluation.natsPerToken)
  }

  /// Two files make an adapter; a folder that is renamed when both are there makes it one step.
  private func write(_ adapter: Adapter, to folder: String) throws {
    let sibling = folder + ".new"
    try PEFTFolder.write(adapter, baseModel: path, to: sibling)
    if access(folder, F_OK) == 0 {
      for name in ["adapter_config.json", "adapter_model.safetensors"] {
        unlink("\(folder)/\(name)")
      }
      rmdir(folder)
    }
    guard rename(sibling, folder) == 0 else {
      throw TrainerError.failed(
        message: "\(folder): cannot be written: \(String(cString: strerror(errno)))",
        hint: "the output is a folder that holds an adapter and nothing else, or does not exist")
    }
  }

  /// The run that an earlier worker left of this very job; nil when there is none that fits.
  private func savedRun(
    in folder: String, _ settings: TrainingSettings, _ windows: Windows
  ) -> SavedRun? {
    guard SavedRun.exists(in: folder), let saved = try? SavedRun.read(from: folder),
      (try? saved.requireContinuation(
        path: folder, settings: settings, textFingerprint: fingerprint(of: windows),
        base: checkpoint)) != nil
    else { return nil }
    return saved
  }

  private static func settings(
    _ job: TrainJob, _ layout: AdapterLayout
  ) throws -> TrainingSettings {
    func one<Value: RawRepresentable<String> & CaseIterable>(
      _ type: Value.Type, _ name: String, _ text: String
    ) throws -> Value {
      if let value = Value(rawValue: text) { return value }
      throw TrainingError.setting(
        name: name, value: text,
        allowed: Value.allCases.map(\.rawValue).joined(separator: " or "))
    }
    guard let warmup = Warmup(text: job.warmup) else {
      throw TrainingError.setting(
        name: "warmup", value: job.warmup, allowed: "steps, or a share such as 10%")
    }
    var settings = TrainingSettings(steps: job.steps)
    settings.batch = job.batch
    settings.length = job.length
    settings.rank = layout.rank
    settings.alpha = layout.alpha
    settings.scaling = layout.scaling
    settings.learningRate = job.learningRate
    settings.schedule = try one(Schedule.self, "schedule", job.schedule)
    settings.warmup = warmup
    settings.clip = job.clip
    settings.seed = job.seed
    settings.order = try one(BatchOrder.Order.self, "order", job.order)
    try settings.validate()
    return settings
  }

  // MARK: text

  /// Files by name, size and time: a file that was changed is read again.
  private struct TextKey: Equatable {
    var files: [String]
    var marks: [[Int]]
    var part: TextSource.Part
  }

  private func stream(of source: TextSource) throws -> TokenStream {
    let key = TextKey(files: source.files, marks: source.files.map(Self.mark), part: source.part)
    var stream: TokenStream
    if let known = texts.first(where: { $0.key == key }) {
      stream = known.stream
    } else {
      stream = try load(source).stream(separator: tokenizer.documentSeparator)
      texts.append((key, stream))
      if texts.count > Self.textsMax { texts.removeFirst() }
    }
    if let limit = source.tokensMax, stream.tokens.count > limit {
      stream.tokens = Array(stream.tokens.prefix(max(0, limit)))
    }
    return stream
  }

  private func load(_ source: TextSource) throws -> Corpus {
    let corpus = try Corpus.load(paths: source.files, tokenizer: tokenizer)
    switch source.part {
    case .all: return corpus
    case .training: return corpus.split().training
    case .heldOut: return corpus.split().heldOut
    }
  }

  private static func mark(_ path: String) -> [Int] {
    var status = stat()
    guard stat(path, &status) == 0 else { return [] }
    return [
      Int(status.st_ino), Int(status.st_size), Int(status.st_mtim.tv_sec),
      Int(status.st_mtim.tv_nsec),
    ]
  }
}
