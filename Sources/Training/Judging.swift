/// How held-out text is judged while an adapter is trained, and when that ends the run.
public struct JudgingSettings: Codable, Sendable, Equatable {
  /// Steps from one evaluation to the next; one more is made after the last step.
  public var every: Int
  /// Evaluations in a row without improvement that end the run; nil lets it go on to its last step.
  public var patience: Int?
  /// What an evaluation must be below the best that counted to be an improvement, in nats a token.
  public var minimumImprovement = 0.0

  enum CodingKeys: String, CodingKey {
    case every, patience
    case minimumImprovement = "minimum_improvement"
  }

  /// Judges so often, and ends no run.
  public init(every: Int) {
    self.every = every
  }

  /// Throws ``TrainingError/setting(name:value:allowed:)`` for the first value out of bounds.
  public func validate() throws {
    guard (1...100_000_000).contains(every) else {
      throw TrainingError.setting(
        name: "evaluate-every", value: "\(every)", allowed: "between 1 and 100000000")
    }
    if let patience, !(1...100_000_000).contains(patience) {
      throw TrainingError.setting(
        name: "patience", value: "\(patience)", allowed: "between 1 and 100000000")
    }
    guard minimumImprovement.isFinite, (0...1000).contains(minimumImprovement) else {
      throw TrainingError.setting(
        name: "min-improvement", value: "\(minimumImprovement)",
        allowed: "between 0 and 1000 nats a token")
    }
  }

  /// Whether the adapter is judged after this step of a run of `steps`; step 0 is the start.
  public func isDue(after step: Int, of steps: Int) -> Bool {
    step % every == 0 || step == steps
  }
}

/// What the evaluations of a run have come to: which was best, and for how long none was better.
public struct Judging: Codable, Sendable, Equatable {
  /// One evaluation.
  public struct Point: Codable, Sendable, Equatable {
    /// Steps made before it.
    public let step: Int
    /// Mean loss of a held-out token in nats.
    public let loss: Double
  }

  /// How it is done.
  public let settings: JudgingSettings
  /// A number that tells other held-out texts and window lengths apart.
  public let text: UInt64
  /// The first evaluation, of the start.
  public private(set) var first: Point?
  /// The lowest.
  public private(set) var best: Point?
  /// The last.
  public private(set) var last: Point?
  /// The loss that the next must improve on; not always the lowest, for small steps down do not
  /// count.
  private var mark: Double?
  /// Evaluations since the last improvement.
  public private(set) var misses = 0

  enum CodingKeys: String, CodingKey {
    case settings, text, first, best, last, mark, misses
  }

  /// Nothing was judged yet.
  public init(settings: JudgingSettings, text: UInt64) {
    self.settings = settings
    self.text = text
  }

  /// Whether so many evaluations brought no improvement that the run should end.
  public var isOver: Bool { settings.patience.map { misses >= $0 } ?? false }

  /// Whether this step was judged already, as after a resume.
  public func has(_ step: Int) -> Bool { last?.step == step }

  /// Takes an evaluation and says whether it is the lowest.
  public mutating func add(step: Int, loss: Double) -> Bool {
    let point = Point(step: step, loss: loss)
    if first == nil { first = point }
    last = point
    if let mark, !(loss < mark - settings.minimumImprovement) {
      misses += 1
    } else {
      mark = loss
      misses = 0
    }
    guard best.map({ loss < $0.loss }) ?? true else { return false }
    best = point
    return true
  }
}
