import ArgumentParser
import Datasets
import Tokenizers
import Training

/// How held-out text is judged while an adapter is trained.
struct JudgingOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Judge held-out text at the start, after so many steps each, and at the end; the best "
        + "adapter is kept in --out/best.", valueName: "n"))
  var evaluateEvery: Int?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Text to judge on. (default: every tenth document of --data, which is then not trained on; "
        + "of fewer than ten the last tenth of each)", valueName: "file"))
  var heldOut: [String] = []

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "End the run after so many evaluations in a row without improvement.", valueName: "k"))
  var patience: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "What counts as improvement for --patience, in nats a token. (default: any)",
      valueName: "nats"))
  var minImprovement: Double?

  func validate() throws {
    guard let settings else {
      let given = [
        ("--held-out", !heldOut.isEmpty), ("--patience", patience != nil),
        ("--min-improvement", minImprovement != nil),
      ].first { $0.1 }
      if let given { throw ValidationError("\(given.0) needs --evaluate-every") }
      return
    }
    guard minImprovement == nil || patience != nil else {
      throw ValidationError("--min-improvement needs --patience")
    }
    try asWrongUse { try settings.validate() }
  }

  /// The flags as training takes them; nil when nothing is judged.
  var settings: JudgingSettings? {
    guard let evaluateEvery else { return nil }
    var settings = JudgingSettings(every: evaluateEvery)
    settings.patience = patience
    settings.minimumImprovement = minImprovement ?? 0
    return settings
  }

  /// The text to train on and the text to judge on, which is nil when nothing is judged.
  func windows(
    _ text: TextOptions, tokenizer: Tokenizer
  ) throws -> (training: Windows, heldOut: Windows?) {
    guard evaluateEvery != nil else { return (try text.windows(tokenizer: tokenizer), nil) }
    let corpus = try Corpus.load(paths: text.data, tokenizer: tokenizer)
    let parts =
      heldOut.isEmpty
      ? corpus.split() : (corpus, try Corpus.load(paths: heldOut, tokenizer: tokenizer))
    func cut(_ corpus: Corpus) throws -> Windows {
      try Windows(
        stream: corpus.stream(separator: tokenizer.documentSeparator), length: text.length)
    }
    let judged = try cut(parts.1)
    guard judged.evaluationCount > 0 else {
      throw DatasetError.tooShort(
        tokens: judged.tokens.count, needed: 2, purpose: "the held-out text")
    }
    return (try cut(parts.0), judged)
  }
}
