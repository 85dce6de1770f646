/// What one training step did: a line of `hanse train --json`.
public struct StepReport: Codable, Sendable, Equatable {
  /// Number of the step, 1 for the first.
  public let step: Int
  /// Mean loss of the step's windows in nats, before the update.
  public let loss: Double
  /// The learning rate of the update.
  public let learningRate: Double
  /// Norm of the gradient before clipping.
  public let gradientNorm: Double
  /// Tokens read.
  public let tokens: Int
  /// Time taken.
  public let seconds: Double

  enum CodingKeys: String, CodingKey {
    case step, loss, tokens, seconds
    case learningRate = "learning_rate"
    case gradientNorm = "gradient_norm"
  }

  package init(
    step: Int, loss: Double, learningRate: Double, gradientNorm: Double, tokens: Int,
    seconds: Double
  ) {
    self.step = step
    self.loss = loss
    self.learningRate = learningRate
    self.gradientNorm = gradientNorm
    self.tokens = tokens
    self.seconds = seconds
  }
}

/// What a whole run did: the last line of `hanse train --json`.
public struct TrainingReport: Codable, Sendable, Equatable {
  /// Steps made by this run, not counting those before a resume.
  public let steps: Int
  /// Tokens read.
  public let tokens: Int
  /// Loss of the first step, before any update of this run; nil when no step was left to make.
  public let firstLoss: Double?
  /// Loss of the last step, before its update.
  public let lastLoss: Double?
  /// Time from the first step to the last.
  public let seconds: Double
  /// Median over the steps.
  public let tokensPerSecond: Double
  /// The most memory that the process ever held.
  public let peakResidentBytes: Int

  enum CodingKeys: String, CodingKey {
    case steps, tokens, seconds
    case firstLoss = "first_loss"
    case lastLoss = "last_loss"
    case tokensPerSecond = "tokens_per_second"
    case peakResidentBytes = "peak_rss_bytes"
  }

  /// Sums up the steps of a run.
  public init(steps reports: [StepReport]) {
    steps = reports.count
    tokens = reports.reduce(0) { $0 + $1.tokens }
    firstLoss = reports.first?.loss
    lastLoss = reports.last?.loss
    seconds = reports.reduce(0) { $0 + $1.seconds }
    tokensPerSecond = median(reports.map { Double($0.tokens) / max($0.seconds, 1e-9) })
    peakResidentBytes = Training.peakResidentBytes()
  }
}

/// The middle value; of an even count the mean of the two in the middle; 0 of none.
func median(_ values: [Double]) -> Double {
  guard !values.isEmpty else { return 0 }
  let sorted = values.sorted()
  let middle = sorted.count / 2
  return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
