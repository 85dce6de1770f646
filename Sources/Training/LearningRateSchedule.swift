import Glibc

/// How the learning rate goes on after the warm-up.
public enum Schedule: String, Codable, Sendable, CaseIterable {
  /// Falls to zero along half a cosine wave.
  case cosine
  /// Stays.
  case constant
}

/// How long the learning rate rises in a straight line: some steps, or a share of all.
public enum Warmup: Codable, Sendable, Equatable, CustomStringConvertible {
  case steps(Int)
  /// In percent of all steps, rounded up to a whole step.
  case percent(Double)

  /// Reads `10%` or `20`; nil for anything else.
  public init?(text: String) {
    if text.hasSuffix("%"), let percent = Double(text.dropLast()), (0...100).contains(percent) {
      self = .percent(percent)
    } else if let steps = Int(text), steps >= 0 {
      self = .steps(steps)
    } else {
      return nil
    }
  }

  public var description: String {
    switch self {
    case .steps(let steps): "\(steps)"
    case .percent(let percent):
      percent == percent.rounded() ? "\(Int(percent))%" : "\(percent)%"
    }
  }

  public init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    guard let warmup = Warmup(text: text) else {
      throw TrainingError.setting(
        name: "warm-up", value: text, allowed: "a number of steps, or a percentage such as 10%")
    }
    self = warmup
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }

  /// Steps of warm-up in a run of `total`.
  func steps(of total: Int) -> Int {
    switch self {
    case .steps(let steps): min(steps, total)
    case .percent(let percent): min(Int((Double(total) * percent / 100).rounded(.up)), total)
    }
  }
}

/// The learning rate of every step, decided by the settings alone.
package struct LearningRateSchedule {
  let peak: Double
  let schedule: Schedule
  let warmup: Int
  let total: Int

  package init(settings: TrainingSettings) {
    peak = settings.learningRate
    schedule = settings.schedule
    warmup = settings.warmup.steps(of: settings.steps)
    total = settings.steps
  }

  /// The rate of the step with this index (0 is the first).
  ///
  /// The warm-up's last step has the full rate, and so has the first after it; the cosine would
  /// reach zero one step after the last, so that no step is wasted.
  package func rate(step: Int) -> Double {
    if step < warmup { return peak * Double(step + 1) / Double(warmup) }
    guard schedule == .cosine, total > warmup else { return peak }
    let progress = min(Double(step - warmup) / Double(total - warmup), 1)
    return peak * 0.5 * (1 + cos(Double.pi * progress))
  }
}
