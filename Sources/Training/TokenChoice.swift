import Determinism
import Glibc

/// How the next token is chosen among all: the order of the steps is that of transformers'
/// `generate`, temperature, then the likeliest few, then the likeliest share.
public struct TokenChoice: Sendable, Equatable {
  /// 0 takes the likeliest token always; 1 draws as the model predicts; more is more even.
  public var temperature = 0.0
  /// Only so many of the likeliest are drawn from; 0 is no bound.
  public var topK = 0
  /// Only the fewest of the likeliest are drawn from that have this probability together; 1 is no
  /// bound. Holtzman and others, 2019, arXiv:1904.09751.
  public var topP = 1.0

  /// Always the likeliest.
  public init() {}

  /// Throws ``TrainingError/setting(name:value:allowed:)`` for the first value out of bounds.
  public func validate() throws {
    guard temperature.isFinite, (0...100).contains(temperature) else {
      throw TrainingError.setting(
        name: "temperature", value: "\(temperature)", allowed: "between 0 and 100")
    }
    guard topK >= 0 else {
      throw TrainingError.setting(name: "top-k", value: "\(topK)", allowed: "0 (off) or above")
    }
    guard topP > 0, topP <= 1 else {
      throw TrainingError.setting(
        name: "top-p", value: "\(topP)", allowed: "above 0 and at most 1 (off)")
    }
  }

  /// The likeliest token, or one drawn from the softmax of logits / temperature. Of equally likely
  /// tokens the lower id counts as the likelier.
  package func draw(from logits: [Float], generator: inout SeededGenerator) -> Int32 {
    var best = 0
    for index in logits.indices where logits[index] > logits[best] { best = index }
    guard temperature > 0 else { return Int32(best) }
    let weights = logits.map { exp((Double($0) - Double(logits[best])) / temperature) }
    let candidates = candidates(weights)
    let total = candidates.reduce(0) { $0 + weights[$1] }
    var left = generator.nextUnit() * total
    for index in candidates {
      left -= weights[index]
      if left < 0 { return Int32(index) }
    }
    // Rounding can leave a last sliver; the likeliest is as good as any there.
    return Int32(best)
  }

  /// The ids that may be drawn: all in their order, or the likeliest first.
  package func candidates(_ weights: [Double]) -> [Int] {
    let all = Array(weights.indices)
    guard (1..<weights.count).contains(topK) || topP < 1 else { return all }
    let total = weights.reduce(0, +)
    // What is left out here has less than 1 − topP together, so the share lies in the rest; sorting
    // a whole vocabulary would take longer than the model.
    let least = topK == 0 ? (1 - topP) * total / Double(weights.count) : 0
    var sorted = all.filter { weights[$0] >= least }.sorted {
      weights[$0] != weights[$1] ? weights[$0] > weights[$1] : $0 < $1
    }
    if topK > 0 { sorted = Array(sorted.prefix(topK)) }
    guard topP < 1 else { return sorted }
    return share(
      sorted, weights,
      of: topP * (topK > 0 ? sorted.reduce(0) { $0 + weights[$1] } : total))
  }

  private func share(_ sorted: [Int], _ weights: [Double], of wanted: Double) -> [Int] {
    var sum = 0.0
    for (count, index) in sorted.enumerated() {
      sum += weights[index]
      if sum >= wanted { return Array(sorted[...count]) }
    }
    return sorted
  }
}
