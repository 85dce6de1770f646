import Adapters
import ArgumentParser
import Checkpoints
import Datasets
import Tokenizers
import Training
import Transformers

/// `hanse evaluate`: how well a model, with or without an adapter, predicts text.
struct Evaluate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate",
    abstract: "Measure how well a model predicts text.",
    discussion: """
      The text is tokenised, joined and cut into windows of --length; each token but the first of \
      its window is predicted from those before it in the window, and the last, shorter window \
      counts too. Prints the number of predicted tokens, their mean loss in nats, and the \
      perplexity, which is e to that.

      EXAMPLE
        $ hanse evaluate --model base.gguf --adapter adapter --data held.txt

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 not found
      """)

  @OptionGroup var base: BaseOptions
  @OptionGroup var text: TextOptions

  @Option(help: ArgumentHelp("PEFT adapter to put on the base.", valueName: "dir"))
  var adapter: String?

  @Flag(help: "Print one JSON object (version 1, see Protocol/Control.md).")
  var json = false

  func validate() throws {
    guard text.length >= 2 else { throw ValidationError("--length is at least 2") }
  }

  func run() async throws {
    let checkpoint = try Checkpoint.open(base.model)
    let contents = try adapter.map {
      try PEFTFolder.read($0, for: checkpoint.configuration)
    }
    let windows = try text.windows(tokenizer: try checkpoint.tokenizer())
    let result = try evaluate(
      try checkpoint.decoder(computeType: base.dtype, form: base.weights),
      adapter: contents?.adapter, on: windows)
    guard !json else { return try Speech.sayLine(result) }
    Speech.say([
      "tokens          \(result.tokens)",
      "nats per token  \(fixed(result.natsPerToken, 5))",
      "perplexity      \(fixed(result.perplexity, 3))",
    ])
  }
}
