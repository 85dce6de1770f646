import Adapters
import ArgumentParser
import Checkpoints
import Glibc
import Tokenizers
import Training
import Transformers

/// `hanse generate`: continues a prompt, or answers it.
struct Generate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Let a model continue or answer a prompt.",
    discussion: """
      Prints the text as it comes, without the prompt. The prompt begins with the token that the \
      model's tokenizer begins with, if any. With --chat it is a user's message in the model's own \
      template. Temperature 0 takes the likeliest token always; above it, tokens are drawn, from \
      the --top-k likeliest, and of these from the likeliest that have --top-p together; the same \
      --seed draws the same. The answer ends with a token that the model's files name as an end, \
      before the first --stop text, or after --max-tokens.

      With --json one object is printed at the end: text, tokens (how many were drawn, those of a \
      stop text included), token_ids, prompt_tokens, stop_reason (token, text or length), stop \
      (the token's text, or the text), tokens_per_second, prompt_tokens_per_second.

      EXAMPLE
        $ hanse generate --model base.gguf --chat --prompt 'What is a port?'
        $ hanse generate --model base.gguf --prompt - --temperature 0.8 --top-p 0.9 < letter.txt

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 not found
      """)

  @OptionGroup var base: BaseOptions

  @Option(help: ArgumentHelp("PEFT adapter to put on the base.", valueName: "dir"))
  var adapter: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "What to continue; - reads standard input, without its last line's end.", valueName: "text"))
  var prompt: String

  @Flag(help: "Put the prompt into the model's chat template.")
  var chat = false

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The system's message; only with --chat.", valueName: "text"))
  var system: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The most tokens to print.", valueName: "n"))
  var maxTokens = 64

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("0 for the likeliest; 1 as the model predicts.", valueName: "t"))
  var temperature = 0.0

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Draw from so many of the likeliest; 0 from all.", valueName: "n"))
  var topK = 0

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Draw from the likeliest that have this probability together.", valueName: "p"))
  var topP = 1.0

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("End before this text; may be given again.", valueName: "text"))
  var stop: [String] = []

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Decides the draws.", valueName: "n"))
  var seed: UInt64 = 0

  @Flag(help: "Say the speed on standard error, as on a terminal.")
  var timing = false

  @Flag(help: "Print one JSON object (version 1, see Protocol/Control.md).")
  var json = false

  func validate() throws {
    guard (1...1 << 20).contains(maxTokens) else {
      throw ValidationError("--max-tokens is \(maxTokens); it must be between 1 and \(1 << 20)")
    }
    guard system == nil || chat else {
      throw ValidationError("--system is a message of a conversation; give --chat with it")
    }
    guard temperature > 0 || (topK == 0 && topP == 1) else {
      throw ValidationError(
        "--top-k and --top-p choose what is drawn from; give --temperature above 0 with them")
    }
    try asWrongUse { try choice.validate() }
    try asWrongUse { _ = try AnswerText(stops: stop) }
  }

  private var choice: TokenChoice {
    var choice = TokenChoice()
    choice.temperature = temperature
    choice.topK = topK
    choice.topP = topP
    return choice
  }

  func run() async throws {
    let checkpoint = try Checkpoint.open(base.model)
    let contents = try adapter.map {
      try PEFTFolder.read($0, for: checkpoint.configuration)
    }
    let tokenizer = try checkpoint.tokenizer()
    let prompt = try promptTokens(tokenizer)
    var settings = GenerationSettings()
    settings.maximumTokens = maxTokens
    settings.choice = choice
    settings.seed = seed
    settings.stops = tokenizer.stopTokens
    var answer = try AnswerText(stops: stop)
    var text = ""
    func hear(_ piece: String) {
      if json { text += piece } else { Speech.piece(shown(piece), to: STDOUT_FILENO) }
    }
    let generation = try generate(
      try checkpoint.decoder(computeType: base.dtype, form: base.weights),
      adapter: contents?.adapter,
      prompt: prompt, settings: settings
    ) { token in
      hear(answer.append(tokenizer.bytes(of: token)))
      return answer.found == nil
    }
    hear(answer.rest())
    if json {
      try Speech.sayLine(Answer(text, generation, found: answer.found, tokenizer))
    } else {
      Speech.piece("\n", to: STDOUT_FILENO)
    }
    if timing || isatty(STDERR_FILENO) == 1 { Speech.note(speed(generation)) }
  }

  private func promptTokens(_ tokenizer: Tokenizer) throws -> [Int32] {
    let text = prompt == "-" ? try Speech.readInput(limit: 1 << 24) : prompt
    guard chat else { return tokenizer.beginning + tokenizer.encode(text) }
    var messages = [ChatMessage(role: "user", content: text)]
    if let system { messages.insert(ChatMessage(role: "system", content: system), at: 0) }
    return try tokenizer.encodeChat(messages, addGenerationPrompt: true)
  }

  /// Text for standard output: to a terminal without control characters, which could steer it.
  private func shown(_ text: String) -> String {
    guard isatty(STDOUT_FILENO) == 1 else { return text }
    return String(
      String.UnicodeScalarView(
        text.unicodeScalars.filter {
          $0 == "\n" || $0 == "\t" || $0.properties.generalCategory != .control
        }))
  }

  private func speed(_ generation: Generation) -> String {
    "prompt \(generation.promptTokens) tokens, "
      + "\(fixed(generation.promptTokensPerSecond, 1)) tokens/s; "
      + "answer \(generation.tokens.count) tokens, "
      + "\(fixed(generation.tokensPerSecond, 1)) tokens/s"
  }
}

/// What `hanse generate --json` prints.
private struct Answer: Encodable {
  let text: String
  let tokens: Int
  let tokenIds: [Int32]
  let promptTokens: Int
  let stopReason: String
  let stop: String?
  let tokensPerSecond: Double
  let promptTokensPerSecond: Double

  enum CodingKeys: String, CodingKey {
    case text, tokens, stop
    case tokenIds = "token_ids"
    case promptTokens = "prompt_tokens"
    case stopReason = "stop_reason"
    case tokensPerSecond = "tokens_per_second"
    case promptTokensPerSecond = "prompt_tokens_per_second"
  }

  init(_ text: String, _ generation: Generation, found: String?, _ tokenizer: Tokenizer) {
    self.text = text
    tokens = generation.tokens.count
    tokenIds = generation.tokens
    promptTokens = generation.promptTokens
    (stopReason, stop) =
      switch generation.end {
      case .stopToken(let token): ("token", tokenizer.decode([token]))
      case .listener: ("text", found)
      case .length: ("length", nil)
      }
    tokensPerSecond = generation.tokensPerSecond
    promptTokensPerSecond = generation.promptTokensPerSecond
  }
}
