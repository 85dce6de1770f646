import Adapters
import Datasets
import Determinism
import Tensors
import Transformers

/// Trains an adapter on a frozen decoder, one step at a time.
///
/// The decoder can serve many trainers, one after the other. Everything a step does follows from
/// the settings, the windows, the adapter and the optimiser it began with: a trainer that is made
/// from saved values at `stepsDone` goes on exactly as the first would have.
public final class Trainer {
  /// How it trains.
  public let settings: TrainingSettings
  /// The adapter as it is now.
  public private(set) var adapter: Adapter
  /// The optimiser as it is now.
  public private(set) var optimiser: AdamW
  /// Steps made, those before a resume included.
  public private(set) var stepsDone: Int

  private let decoder: Decoder
  private let windows: Windows
  private var order: BatchOrder
  private let schedule: LearningRateSchedule
  private var gradient: [Float]

  /// Takes the windows that `settings.length` cut; only full ones are trained on.
  ///
  /// - Parameters:
  ///   - adapter: where training starts; its layout rules over the settings' rank, alpha, targets.
  ///   - optimiser: moments of an earlier run, for the same layout; nil starts afresh.
  ///   - stepsDone: how far the schedule and the order of windows have come.
  ///
  /// Throws ``TrainingError`` or what the decoder says of an adapter that does not fit it.
  public init(
    decoder: Decoder, adapter: Adapter, settings: TrainingSettings, windows: Windows,
    optimiser: AdamW? = nil, stepsDone: Int = 0
  ) throws {
    try settings.validate()
    guard windows.length == settings.length, windows.fullCount > 0 else {
      throw TrainingError.tooLittleText(tokens: windows.tokens.count, length: settings.length)
    }
    if let optimiser, optimiser.first.count != adapter.layout.count {
      throw TrainingError.setting(
        name: "the optimiser's state", value: "\(optimiser.first.count) numbers",
        allowed: "\(adapter.layout.count), as many as the adapter has")
    }
    try checkTokens(of: windows, vocabulary: decoder.configuration.vocabulary)
    self.decoder = decoder
    self.adapter = adapter
    self.settings = settings
    self.windows = windows
    self.optimiser = optimiser ?? AdamW(count: adapter.layout.count)
    self.stepsDone = stepsDone
    order = try BatchOrder(
      windows, batch: settings.batch * settings.accumulate, order: settings.order,
      seed: settings.seed)
    schedule = LearningRateSchedule(settings: settings)
    gradient = [Float](repeating: 0, count: adapter.layout.count)
    try decoder.setAdapter(adapter)
  }

  /// The adapter that a run from nothing starts with: it follows from the seed.
  public static func freshAdapter(
    settings: TrainingSettings, configuration: DecoderConfiguration
  ) throws -> Adapter {
    var generator = SeededGenerator(seed: settings.seed)
    return Adapter.start(
      layout: try settings.layout(for: configuration), generator: &generator)
  }

  /// A number that tells other texts and window lengths apart; for noticing mistakes.
  public var textFingerprint: UInt64 { fingerprint(of: windows) }

  /// Makes one step: gradient of the mean loss over its windows, clipping, update.
  ///
  /// Throws ``TrainingError/diverged(step:)`` and leaves the adapter as it was when the loss or
  /// the gradient is not a number.
  public func step() throws -> StepReport {
    let start = monotonicSeconds()
    let number = stepsDone + 1
    let loss = lossAndGradient()
    let norm = Meter.count(.optimiser) { gradientNorm() }
    guard loss.mean.isFinite, norm.isFinite else { throw TrainingError.diverged(step: number) }
    let rate = schedule.rate(step: stepsDone)
    Meter.count(.optimiser) {
      optimiser.update(
        &adapter.values, gradient: gradient, gradientScale: clipScale(norm: norm),
        learningRate: rate)
    }
    try decoder.setAdapter(adapter)
    stepsDone = number
    return StepReport(
      step: number, loss: loss.mean, learningRate: rate, gradientNorm: norm,
      tokens: settings.tokensPerStep, seconds: monotonicSeconds() - start)
  }

  /// Makes all steps that are left. `progress` hears each and may throw to stop between two.
  public func run(progress: (StepReport) throws -> Void = { _ in }) throws -> TrainingReport {
    var reports: [StepReport] = []
    while stepsDone < settings.steps {
      let report = try step()
      reports.append(report)
      try progress(report)
    }
    return TrainingReport(steps: reports)
  }

  /// Fills `gradient` with that of the mean loss over the step's windows.
  private func lossAndGradient() -> LossSum {
    Meter.count(.optimiser) {
      for index in gradient.indices { gradient[index] = 0 }
    }
    let chosen = order.indexes(atStep: stepsDone)
    let documents = settings.separatesDocuments ? windows.gatherDocuments(chosen) : nil
    let predicted = predictions(chosen.count, documents)
    var sum = LossSum()
    for (part, start) in stride(from: 0, to: chosen.count, by: settings.batch).enumerated() {
      let rows = Array(chosen[start..<min(start + settings.batch, chosen.count)])
      let tokens = windows.gather(rows)
      gradient.withUnsafeMutableBufferPointer {
        sum += decoder.lossAndGradient(
          tokens: tokens, batch: rows.count, length: settings.length,
          gradientScale: 1 / Float(predicted), gradient: $0, dropout: dropout(part: part),
          documents: documents.map {
            Array($0[start * settings.length..<(start + rows.count) * settings.length])
          })
      }
    }
    return sum
  }

  /// Tokens that a step predicts: all but the first of each window and of each document in it.
  private func predictions(_ windows: Int, _ documents: [Int32]?) -> Int {
    let whole = windows * (settings.length - 1)
    guard let documents else { return whole }
    let firsts = documents.indices.count(where: { index in
      let position = index % settings.length
      return position > 0 && Int(documents[index]) == position
    })
    return max(whole - firsts, 1)
  }

  /// What the factors' inputs lose in a batch of the step to come; it follows from the seed.
  private func dropout(part: Int) -> Dropout? {
    settings.dropout == 0
      ? nil
      : Dropout(
        probability: settings.dropout, seed: settings.seed, step: stepsDone, part: part)
  }

  /// Summed in double precision in four fixed strands, so that it does not depend on the machine.
  private func gradientNorm() -> Double {
    gradient.withUnsafeBufferPointer { gradient in
      var sums = SIMD4<Double>.zero
      let whole = gradient.count / 4 * 4
      for start in stride(from: 0, to: whole, by: 4) {
        let values = SIMD4<Double>(
          Double(gradient[start]), Double(gradient[start + 1]), Double(gradient[start + 2]),
          Double(gradient[start + 3]))
        sums += values * values
      }
      var sum = sums.sum()
      for index in whole..<gradient.count {
        sum += Double(gradient[index]) * Double(gradient[index])
      }
      return sum.squareRoot()
    }
  }

  /// As `torch.nn.utils.clip_grad_norm_` scales, its 1e-6 included.
  private func clipScale(norm: Double) -> Float {
    settings.clip == 0 ? 1 : Float(min(settings.clip / (norm + 1e-6), 1))
  }
}
