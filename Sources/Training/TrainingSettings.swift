import Adapters
import Datasets
import Tensors
import Transformers

/// How an adapter is trained: the flags of `hanse train`, with their defaults.
public struct TrainingSettings: Codable, Sendable, Equatable {
  /// Updates of the adapter.
  public var steps: Int
  /// Windows at a time.
  public var batch = 4
  /// Batches whose gradients are added up for one update.
  public var accumulate = 1
  /// Tokens of a window.
  public var length = 512
  /// Inner dimension of the LoRA factors.
  public var rank = 16
  /// The factors' product is scaled by alpha / rank.
  public var alpha = 32
  /// Which linear modules carry factors: `all-linear`, or names joined by commas.
  public var targets = "all-linear"
  /// The highest learning rate.
  public var learningRate = 2e-4
  /// What the rate does after the warm-up.
  public var schedule = Schedule.cosine
  /// How long the rate rises.
  public var warmup = Warmup.percent(10)
  /// Largest norm of the gradient, which is scaled down to it; 0 is no bound.
  public var clip = 1.0
  /// In what the frozen weights and activations are kept.
  public var computeType = ComputeType.bf16
  /// Decides the adapter's start and a shuffled order.
  public var seed: UInt64 = 0
  /// The order of windows.
  public var order = BatchOrder.Order.shuffled

  /// What the factors' product is scaled by: alpha / rank, or alpha / √rank.
  public var scaling: AdapterLayout.Scaling {
    get { namedScaling ?? .standard }
    set { namedScaling = newValue == .standard ? nil : newValue }
  }
  /// The share of their inputs that the factors lose in training.
  public var dropout: Double {
    get { namedDropout ?? 0 }
    set { namedDropout = newValue == 0 ? nil : newValue }
  }
  /// Whether attention and loss stay inside a document where several lie in one window.
  public var separatesDocuments: Bool {
    get { namedSeparation ?? false }
    set { namedSeparation = newValue ? true : nil }
  }
  /// How many bits the frozen weights take.
  public var weights: WeightForm {
    get { namedWeights ?? .full }
    set { namedWeights = newValue == .full ? nil : newValue }
  }
  // Absent from the JSON of settings without them, as from that of older runs.
  private var namedScaling: AdapterLayout.Scaling?
  private var namedDropout: Double?
  private var namedSeparation: Bool?
  private var namedWeights: WeightForm?

  /// The names of the flags, which the JSON uses too.
  enum CodingKeys: String, CodingKey {
    case steps, batch, accumulate, length, rank, alpha, targets, schedule, warmup, clip, seed, order
    case learningRate = "learning_rate"
    case computeType = "dtype"
    case namedScaling = "scaling"
    case namedWeights = "weights"
    case namedDropout = "dropout"
    case namedSeparation = "separate_documents"
  }

  /// The defaults, for so many steps.
  public init(steps: Int) {
    self.steps = steps
  }

  /// Throws ``TrainingError/setting(name:value:allowed:)`` for the first value out of bounds.
  ///
  /// The bounds only keep products far from overflow; memory is the real limit.
  public func validate() throws {
    try check("steps", steps, in: 1...100_000_000)
    try check("batch", batch, in: 1...65_536)
    try check("accumulate", accumulate, in: 1...65_536)
    try check("length", length, in: 2...1_048_576)
    try check("rank", rank, in: 1...AdapterLayout.maximumRank)
    try check("alpha", alpha, in: 1...AdapterLayout.maximumAlpha)
    guard batch * length <= 1 << 24 else {
      throw TrainingError.setting(
        name: "batch × length", value: "\(batch * length)", allowed: "at most \(1 << 24) tokens")
    }
    guard learningRate.isFinite, learningRate >= 0, learningRate <= 10 else {
      throw TrainingError.setting(
        name: "learning-rate", value: "\(learningRate)", allowed: "between 0 and 10")
    }
    guard clip.isFinite, clip >= 0 else {
      throw TrainingError.setting(
        name: "clip", value: "\(clip)", allowed: "0 (off) or a norm above it")
    }
    guard (0..<1).contains(dropout) else {
      throw TrainingError.setting(
        name: "dropout", value: "\(dropout)", allowed: "from 0 up to below 1")
    }
    _ = try Targets(text: targets)
  }

  private func check(_ name: String, _ value: Int, in range: ClosedRange<Int>) throws {
    guard range.contains(value) else {
      throw TrainingError.setting(
        name: name, value: "\(value)",
        allowed: "between \(range.lowerBound) and \(range.upperBound)")
    }
  }

  /// The adapter's layout on a decoder.
  public func layout(for configuration: DecoderConfiguration) throws -> AdapterLayout {
    try AdapterLayout(
      rank: rank, alpha: alpha,
      modules: try configuration.linearModules(targets: Targets(text: targets)),
      scaling: scaling)
  }

  /// Tokens that one step reads.
  public var tokensPerStep: Int { batch * accumulate * length }
}

extension ComputeType: Codable {}
