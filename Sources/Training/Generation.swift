import Adapters
import Determinism
import Glibc
import Transformers

/// How an answer is drawn from a decoder.
public struct GenerationSettings: Sendable, Equatable {
  /// The most tokens to append.
  public var maximumTokens = 64
  /// How the next token is chosen.
  public var choice = TokenChoice()
  /// Decides the draws.
  public var seed: UInt64 = 0
  /// Tokens that end the answer; they are not part of it.
  public var stops: [Int32] = []

  /// Greedy, 64 tokens, no stops.
  public init() {}
}

/// An answer, and what it took.
public struct Generation: Sendable, Equatable {
  /// Why no more tokens came.
  public enum End: Sendable, Equatable {
    /// The model drew a token that ends an answer.
    case stopToken(Int32)
    /// The listener had heard enough.
    case listener
    /// As many tokens as were asked for.
    case length
  }

  /// The appended tokens, without the one that stopped it.
  public let tokens: [Int32]
  /// Why no more came.
  public let end: End
  /// Tokens of the prompt.
  public let promptTokens: Int
  /// Time from the prompt's first token to the logits behind its last.
  public let promptSeconds: Double
  /// Time from there to the end.
  public let seconds: Double

  /// Tokens of the prompt read a second.
  public var promptTokensPerSecond: Double { Double(promptTokens) / max(promptSeconds, 1e-9) }
  /// Tokens drawn a second; the first comes of the prompt's own logits and counts too.
  public var tokensPerSecond: Double { Double(tokens.count) / max(seconds, 1e-9) }
}

/// Continues `prompt` with the decoder, under the adapter given (nil is the plain base).
///
/// `heard` gets each token as it comes and ends the answer by returning false. Throws
/// ``TrainingError`` for settings out of bounds, an empty prompt, one that has tokens beyond the
/// vocabulary, or one that leaves no room for an answer.
public func generate(
  _ decoder: Decoder, adapter: Adapter?, prompt: [Int32], settings: GenerationSettings,
  heard: (Int32) throws -> Bool = { _ in true }
) throws -> Generation {
  try check(prompt, settings: settings, configuration: decoder.configuration)
  try decoder.setAdapter(adapter)
  let cache = decoder.makeCache(capacity: prompt.count + settings.maximumTokens)
  let start = monotonicSeconds()
  var logits: [Float] = []
  for token in prompt { logits = decoder.step(token: token, cache: cache) }
  let read = monotonicSeconds()
  var generator = SeededGenerator(seed: settings.seed)
  var answer: [Int32] = []
  var end = Generation.End.length
  while answer.count < settings.maximumTokens {
    let token = settings.choice.draw(from: logits, generator: &generator)
    guard !settings.stops.contains(token) else {
      end = .stopToken(token)
      break
    }
    answer.append(token)
    guard try heard(token) else {
      end = .listener
      break
    }
    if answer.count < settings.maximumTokens {
      logits = decoder.step(token: token, cache: cache)
    }
  }
  return Generation(
    tokens: answer, end: end, promptTokens: prompt.count, promptSeconds: read - start,
    seconds: monotonicSeconds() - read)
}

private func check(
  _ prompt: [Int32], settings: GenerationSettings, configuration: DecoderConfiguration
) throws {
  guard !prompt.isEmpty else {
    throw TrainingError.setting(name: "the prompt", value: "empty", allowed: "one token or more")
  }
  try settings.choice.validate()
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
