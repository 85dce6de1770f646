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
      Prints the text as it comes, without the prompt. With --chat the prompt is a user's message \
      in the model's own template. Temperature 0 takes the likeliest token always; above it, \
      tokens are drawn, and the same --seed draws the same.

      EXAMPLE
        $ hanse generate --model base.gguf --chat --prompt 'What is a port?'

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 not found
      """)

  @OptionGroup var base: BaseOptions

  @Option(help: ArgumentHelp("PEFT adapter to put on the base.", valueName: "dir"))
  var adapter: String?

  @Option(help: "What to continue.")
  var prompt: String

  @Flag(help: "Put the prompt into the model's chat template.")
  var chat = false

  @Option(help: ArgumentHelp("The most tokens to print.", valueName: "n"))
  var maxTokens = 64

  @Option(help: ArgumentHelp("0 for the likeliest; 1 as the model predicts.", valueName: "t"))
  var temperature = 0.0

  @Option(help: ArgumentHelp("Decides the draws.", valueName: "n"))
  var seed: UInt64 = 0

  func validate() throws {
    guard maxTokens > 0 else { throw ValidationError("--max-tokens is at least 1") }
    guard temperature >= 0, temperature.isFinite else {
      throw ValidationError("--temperature is 0 or above")
    }
  }

  func run() async throws {
    let checkpoint = try Checkpoint.open(base.model)
    let contents = try adapter.map {
      try PEFTFolder.read($0, for: checkpoint.configuration)
    }
    let tokenizer = try checkpoint.tokenizer()
    var settings = GenerationSettings()
    settings.maximumTokens = maxTokens
    settings.temperature = temperature
    settings.seed = seed
    settings.stops = tokenizer.stopTokens
    var text = TextPieces(plain: isatty(STDOUT_FILENO) == 1)
    _ = try generate(
      try checkpoint.decoder(computeType: base.dtype), adapter: contents?.adapter,
      prompt: try promptTokens(tokenizer), settings: settings
    ) { token in
      Speech.piece(text.append(tokenizer.bytes(of: token)), to: STDOUT_FILENO)
      return true
    }
    Speech.say([text.rest()])
  }

  private func promptTokens(_ tokenizer: Tokenizer) throws -> [Int32] {
    guard chat else { return tokenizer.encode(prompt) }
    return try tokenizer.encodeChat(
      [ChatMessage(role: "user", content: prompt)], addGenerationPrompt: true)
  }
}

/// Bytes on their way to becoming text: a token may end in the middle of a character.
struct TextPieces {
  /// Whether control characters are left out, which could steer a terminal.
  let plain: Bool
  private var pending: [UInt8] = []

  init(plain: Bool) {
    self.plain = plain
  }

  /// Takes bytes and gives the text that is complete by now.
  mutating func append(_ bytes: [UInt8]) -> String {
    pending += bytes
    let complete = pending.count - unfinished
    defer { pending.removeFirst(complete) }
    return text(pending[..<complete])
  }

  /// What is left at the end, complete or not.
  mutating func rest() -> String {
    defer { pending = [] }
    return text(pending[...])
  }

  /// Bytes at the end that begin a character whose other bytes may follow.
  private var unfinished: Int {
    for (back, byte) in pending.reversed().prefix(3).enumerated() where byte >= 0xC0 {
      let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2
      return length > back + 1 ? back + 1 : 0
    }
    return 0
  }

  private func text(_ bytes: ArraySlice<UInt8>) -> String {
    let text = String(decoding: bytes, as: UTF8.self)
    guard plain else { return text }
    return String(
      String.UnicodeScalarView(
        text.unicodeScalars.filter {
          $0 == "\n" || $0 == "\t" || $0.properties.generalCategory != .control
        }))
  }
}
