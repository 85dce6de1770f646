import Adapters
import Checkpoints
import Datasets
import Glibc
import Transformers

/// How well a decoder predicts a text.
public struct Evaluation: Sendable, Equatable, Codable {
  /// Predicted tokens.
  public let tokens: Int
  /// Mean loss of a predicted token, in nats.
  public let natsPerToken: Double
  /// e to the mean loss.
  public var perplexity: Double { exp(natsPerToken) }

  enum CodingKeys: String, CodingKey {
    case tokens
    case natsPerToken = "nats_per_token"
    case perplexity
  }

  /// Takes a sum of losses over one token or more.
  init(sum: LossSum) {
    tokens = sum.tokens
    natsPerToken = sum.mean
  }

  public init(from decoder: any Swift.Decoder) throws {
    let fields = try decoder.container(keyedBy: CodingKeys.self)
    tokens = try fields.decode(Int.self, forKey: .tokens)
    natsPerToken = try fields.decode(Double.self, forKey: .natsPerToken)
  }

  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(tokens, forKey: .tokens)
    try fields.encode(natsPerToken, forKey: .natsPerToken)
    try fields.encode(perplexity, forKey: .perplexity)
  }
}

/// Tokens that evaluation hands the decoder at once: enough to fill the cores, little memory.
private let tokensAtOnce = 2048

/// Windows of one length that evaluation hands the decoder at once.
func windowsJudgedAtOnce(length: Int) -> Int { max(1, tokensAtOnce / length) }

/// Judges a decoder with an adapter (nil is the plain base) on all windows.
///
/// The loss of a window is over its positions 1…length−1; the last, shorter window counts too. The
/// sum is taken in the order of the text, so the same windows give the same figure. `progress`
/// hears how many windows are done of how many. Throws ``TrainingError``.
public func evaluate(
  _ decoder: Decoder, adapter: Adapter?, on windows: Windows,
  progress: (_ done: Int, _ all: Int) throws -> Void = { _, _ in }
) throws -> Evaluation {
  try checkTokens(of: windows, vocabulary: decoder.configuration.vocabulary)
  try decoder.setAdapter(adapter)
  let atOnce = windowsJudgedAtOnce(length: windows.length)
  var sum = LossSum()
  for start in stride(from: 0, to: windows.fullCount, by: atOnce) {
    let rows = Array(start..<min(start + atOnce, windows.fullCount))
    sum += decoder.loss(tokens: windows.gather(rows), batch: rows.count, length: windows.length)
    try progress(start + rows.count, windows.evaluationCount)
  }
  if windows.hasShorterLast {
    let last = Array(windows[windows.fullCount])
    sum += decoder.loss(tokens: last, batch: 1, length: last.count)
    try progress(windows.evaluationCount, windows.evaluationCount)
  }
  guard sum.tokens > 0 else { throw TrainingError.nothingToEvaluate }
  return Evaluation(sum: sum)
}

/// Throws for the first token that the model has no row for; the decoder itself would stop there.
func checkTokens(of windows: Windows, vocabulary: Int) throws {
  for token in windows.tokens where token < 0 || token >= vocabulary {
    throw TrainingError.tokenOutOfRange(token: token, vocabulary: vocabulary)
  }
}

/// A number that tells other texts and window lengths apart; for noticing mistakes, not for trust.
public func fingerprint(of windows: Windows) -> UInt64 {
  var hash = Fingerprint()
  hash.combine(UInt32(truncatingIfNeeded: windows.length))
  for token in windows.tokens { hash.combine(UInt32(bitPattern: token)) }
  return hash.value
}
