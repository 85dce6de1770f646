import Adapters
import Determinism
import Glibc
import Transformers

/// How an answer is drawn from a decoder.
public struct GenerationSettings: Sendable, Equatable {
  /// The most tokens to append.
  public var maximumTokens = 64
  /// 0 takes the likeliest token always; 1 draws as the model predicts; more is more even.
  public var temperature = 0.0
  /// Decides the draws.
  public var seed: UInt64 = 0
  /// Tokens that end the answer; they are not part of it.
  public var stops: [Int32] = []

  /// Greedy, 64 tokens, no stops.
  public init() {}
}

/// Continues `prompt` with the decoder, under the adapter given (nil is the plain base).
///
/// Returns the appended tokens without the one that stopped it. `heard` gets each as it comes and
/// ends the answer by returning false. Throws ``TrainingError`` for an empty prompt, one that has
/// tokens beyond the vocabulary, or one that leaves no room for an answer.
public func generate(
  _ decoder: Decoder, adapter: Adapter?, prompt: [Int32], settings: GenerationSettings,
  heard: (Int32) throws -> Bool = { _ in true }
) throws -> [Int32] {
  try check(prompt, settings: settings, configuration: decoder.configuration)
  try decoder.setAdapter(adapter)
  let cache = decoder.makeCache(capacity: prompt.count + settings.maximumTokens)
  var logits: [Float] = []
  for token in prompt { logits = decoder.step(token: token, cache: cache) }
  var generator = SeededGenerator(seed: settings.seed)
  var answer: [Int32] = []
  while answer.count < settings.maximumTokens {
    let token = draw(from: logits, temperature: settings.temperature, generator: &generator)
    guard !settings.stops.contains(token) else { break }
    answer.append(token)
    guard try heard(token), answer.count < settings.maximumTokens else { break }
    logits = decoder.step(token: token, cache: cache)
  }
  return answer
}

private func check(
  _ prompt: [Int32], settings: GenerationSettings, configuration: DecoderConfiguration
) throws {
  guard !prompt.isEmpty else {
    throw TrainingError.setting(name: "the prompt", value: "empty", allowed: "one token or more")
  }
  guard settings.temperature.isFinite, settings.temperature >= 0 else {
    throw TrainingError.setting(
      name: "temperature", value: "\(settings.temperature)", allowed: "0 or above")
  }
  guard (1...1 << 20).contains(settings.maximumTokens) else {
    throw TrainingError.setting(
      name: "max-tokens", value: "\(settings.maximumTokens)", allowed: "1 to \(1 << 20)")
  }
  for token in prompt where token < 0 || token >= configuration.vocabulary {
    throw TrainingError.tokenOutOfRange(token: token, vocabulary: configuration.vocabulary)
  }
  let total = prompt.count + settings.maximumTokens
  guard total <= configuration.maximumPositions else {
    throw TrainingError.tooLong(tokens: total, limit: configuration.maximumPositions)
  }
}

/// The likeliest token, or one drawn from the softmax of logits / temperature.
func draw(
  from logits: [Float], temperature: Double, generator: inout SeededGenerator
) -> Int32 {
  var best = 0
  for index in logits.indices where logits[index] > logits[best] { best = index }
  guard temperature > 0 else { return Int32(best) }
  let weights = logits.map { exp((Double($0) - Double(logits[best])) / temperature) }
  var left = generator.nextUnit() * weights.reduce(0, +)
  for (index, weight) in weights.enumerated() {
    left -= weight
    if left < 0 { return Int32(index) }
  }
  // Rounding can leave a last sliver; the likeliest is as good as any there.
  return Int32(best)
}
