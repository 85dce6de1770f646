import Adapters
import Datasets
import Determinism
import Tensors
import Transformers

/// Times training steps of a decoder on random tokens, and says where the time went.
public struct TrainingBenchmark {
  /// A part of the fastest step.
  public struct Part: Codable, Sendable {
    /// What it is.
    public let part: String
    /// Seconds, all threads' added.
    public let seconds: Double
    /// Of the threads' time in the step.
    public let share: Double
    /// Multiplications and additions of its products a second while they run on every thread; nil
    /// of a part without products.
    public let operationsPerSecond: Double?

    enum CodingKeys: String, CodingKey {
      case part, seconds, share
      case operationsPerSecond = "operations_per_second"
    }
  }

  /// What was measured: `hanse bench train --json`.
  public struct Result: Codable, Sendable {
    public let dtype: ComputeType
    /// How the frozen weights were kept.
    public let weights: WeightForm
    public let instructionSet: String
    public let threads: Int
    public let layers: Int
    public let batch: Int
    public let length: Int
    public let rank: Int
    /// Numbers of the adapter.
    public let trained: Int
    /// Median of the steps, the first left out.
    public let tokensPerSecond: Double
    /// Of the fastest step.
    public let bestTokensPerSecond: Double
    /// Of each step, the first included.
    public let secondsPerStep: [Double]
    /// Multiplications and additions of a step's products.
    public let operationsPerStep: Double
    /// The same a second, in the fastest step.
    public let operationsPerSecond: Double
    /// What our products reach in cache, measured before and after the steps.
    public let ceiling: Double
    /// The step's rate over the ceiling.
    public let shareOfCeiling: Double
    /// What the step would take if its frozen products took no time, over what it takes: how much
    /// faster products can make it at most is one over this.
    public let shareBesideFrozenProducts: Double
    /// The most memory that the process ever held.
    public let peakResidentBytes: Int
    /// What was expected beforehand, without the program itself.
    public let estimatedBytes: Int
    /// Whether activations were computed again.
    public let recomputes: Bool
    public let parts: [Part]

    enum CodingKeys: String, CodingKey {
      case dtype, weights, threads, layers, batch, length, rank, trained, parts, recomputes
      case instructionSet = "instruction_set"
      case tokensPerSecond = "tokens_per_second"
      case bestTokensPerSecond = "best_tokens_per_second"
      case secondsPerStep = "seconds_per_step"
      case operationsPerStep = "operations_per_step"
      case operationsPerSecond = "operations_per_second"
      case ceiling = "ceiling_operations_per_second"
      case shareOfCeiling = "share_of_ceiling"
      case shareBesideFrozenProducts = "share_beside_frozen_products"
      case peakResidentBytes = "peak_rss_bytes"
      case estimatedBytes = "estimated_bytes"
    }
  }

  private let trainer: Trainer
  private let layers: Int
  private let plan: MemoryPlan

  /// Prepares training with the settings; one step more than `settings.steps` is made, and the
  /// first does not count.
  ///
  /// Throws ``TrainingError`` for settings out of bounds.
  public init(decoder: Decoder, settings: TrainingSettings, plan: MemoryPlan) throws {
    var settings = settings
    settings.steps += 1
    try settings.validate()
    let shape = decoder.configuration
    layers = shape.layers
    self.plan = plan
    decoder.recomputesActivations = plan.recomputes
    var generator = SeededGenerator(seed: settings.seed)
    let tokens = (0..<settings.tokensPerStep).map { _ in
      Int32.random(in: 0..<Int32(shape.vocabulary), using: &generator)
    }
    let adapter = try Trainer.freshAdapter(settings: settings, configuration: shape)
    trainer = try Trainer(
      decoder: decoder, adapter: adapter, settings: settings,
      windows: Windows(stream: TokenStream(tokens: tokens), length: settings.length))
  }

  /// Makes the steps; `progress` hears the report of each.
  ///
  /// Throws what ``Trainer/step()`` throws.
  public func run(progress: (StepReport) -> Void = { _ in }) throws -> Result {
    let storage = trainer.settings.computeType.storage
    let before = Meter.productCeiling(storage: storage)
    var seconds: [Double] = []
    var best: (seconds: Double, reading: Meter.Reading)?
    for number in 0..<trainer.settings.steps {
      var report: StepReport?
      let reading = try Meter.read { report = try trainer.step() }
      guard let report else { continue }
      seconds.append(report.seconds)
      progress(report)
      // The first step touches all memory for the first time.
      if number > 0, report.seconds < best?.seconds ?? .infinity {
        best = (report.seconds, reading)
      }
    }
    let ceiling = max(before, Meter.productCeiling(storage: storage))
    guard let best else {
      throw TrainingError.setting(name: "steps", value: "0", allowed: "at least 1")
    }
    return result(seconds: seconds, best: best, ceiling: ceiling)
  }

  private func result(
    seconds: [Double], best: (seconds: Double, reading: Meter.Reading), ceiling: Double
  ) -> Result {
    let settings = trainer.settings
    let threads = Double(Workers.count)
    let all = threads * best.seconds
    let operations = best.reading.operations.values.reduce(0, +)
    let frozen = [Meter.Part.frozenForward, .frozenBackward].reduce(0) {
      $0 + (best.reading.seconds[$1] ?? 0)
    }
    return Result(
      dtype: settings.computeType, weights: settings.weights, instructionSet: instructionSet,
      threads: Workers.count,
      layers: layers, batch: settings.batch, length: settings.length, rank: settings.rank,
      trained: trainer.adapter.layout.count,
      tokensPerSecond: Double(settings.tokensPerStep) / median(Array(seconds.dropFirst())),
      bestTokensPerSecond: Double(settings.tokensPerStep) / best.seconds,
      secondsPerStep: seconds, operationsPerStep: operations,
      operationsPerSecond: operations / best.seconds, ceiling: ceiling,
      shareOfCeiling: operations / best.seconds / ceiling,
      shareBesideFrozenProducts: (all - frozen) / all,
      peakResidentBytes: Training.peakResidentBytes(),
      estimatedBytes: plan.needs.peak, recomputes: plan.recomputes,
      parts: parts(best.reading, all: all))
  }

  private func parts(_ reading: Meter.Reading, all: Double) -> [Part] {
    let threads = Double(Workers.count)
    var parts = Meter.Part.allCases.map { part in
      let seconds = reading.seconds[part] ?? 0
      let operations = reading.operations[part] ?? 0
      return Part(
        part: part.rawValue, seconds: seconds, share: seconds / all,
        operationsPerSecond: operations > 0 ? operations / seconds * threads : nil)
    }
    let rest = all - parts.reduce(0) { $0 + $1.seconds }
    parts.append(
      Part(
        part: "other, and where one thread works alone", seconds: rest, share: rest / all,
        operationsPerSecond: nil))
    return parts
  }
}
