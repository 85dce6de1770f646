import Adapters
import ArgumentParser
import Checkpoints
import Datasets
import FoundationEssentials
import Glibc
import Synchronization
import Tensors
import Tokenizers
import Training
import Transformers

extension ComputeType: ExpressibleByArgument {}
extension WeightForm: ExpressibleByArgument {}
extension Schedule: ExpressibleByArgument {}
extension BatchOrder.Order: ExpressibleByArgument {}

extension Warmup: ExpressibleByArgument {
  public init?(argument: String) { self.init(text: argument) }
  public var defaultValueDescription: String { description }
}

/// Which model, and how it is kept in memory.
struct BaseOptions: ParsableArguments {
  @Option(help: ArgumentHelp("A GGUF file, or a Hugging Face folder.", valueName: "path"))
  var model: String

  @Option(help: "How weights and activations are kept.")
  var dtype = ComputeType.bf16

  @Option(
    help: ArgumentHelp(
      "How frozen weights are kept: as --dtype says, or in GGUF's blocks of 8 or 4 bits.",
      valueName: "form"))
  var weights = WeightForm.full
}

/// How much memory training may take.
struct MemoryOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The most memory to take; above it activations are computed again. (default: what is left)",
      valueName: "MiB"))
  var memoryLimit: Int?

  /// The limit in bytes.
  var bytes: Int? { memoryLimit.map { $0 << 20 } }

  func validate() throws {
    guard (1...1 << 30).contains(memoryLimit ?? 1) else {
      throw ValidationError("--memory-limit is a number of MiB, at least 1")
    }
  }
}

/// Which text, and how it is cut.
struct TextOptions: ParsableArguments {
  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Text: .txt is one document, a line of .jsonl is one.", valueName: "file"))
  var data: [String]

  @Option(parsing: .unconditional, help: ArgumentHelp("Tokens of a window.", valueName: "n"))
  var length = 512

  /// The documents joined and cut into windows.
  func windows(tokenizer: Tokenizer) throws -> Windows {
    let corpus = try Corpus.load(paths: data, tokenizer: tokenizer)
    return try Windows(
      stream: corpus.stream(separator: tokenizer.documentSeparator), length: length)
  }
}

/// How an adapter learns.
struct LearningOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: ArgumentHelp("Updates to make.", valueName: "n"))
  var steps: Int

  @Option(parsing: .unconditional, help: ArgumentHelp("Windows at a time.", valueName: "n"))
  var batch = 4

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Batches added up for one update.", valueName: "n"))
  var accumulate = 1

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Rank of the LoRA factors. (default: 16)", valueName: "n"))
  var rank: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Their product counts alpha / rank. (default: 32)", valueName: "n"))
  var alpha: Int?

  @Option(
    help: ArgumentHelp(
      "Modules with factors: all-linear, names such as q_proj,v_proj, paths with * in them; "
        + "!path takes some out. (default: all-linear)",
      valueName: "names"))
  var targets: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Only these layers carry factors, such as 0-3,8; numbers count from 0. (default: all)",
      valueName: "layers"))
  var layers: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Modules that carry none: names such as k_proj, paths with * in them.", valueName: "names"))
  var exclude: String?

  @Flag(help: "Their product counts alpha / √rank (rsLoRA).")
  var rslora = false

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Share of their inputs that the factors lose in training. (default: 0)", valueName: "p"))
  var dropout: Double?

  @Flag(help: "Keep attention and loss inside a document where a window holds several.")
  var separateDocuments = false

  @Option(
    parsing: .unconditional, help: ArgumentHelp("The highest learning rate.", valueName: "rate"))
  var learningRate = 2e-4

  @Option(help: "The learning rate after the warm-up.")
  var schedule = Schedule.cosine

  @Option(help: ArgumentHelp("Steps, or percent of all steps.", valueName: "n|n%"))
  var warmup = Warmup.percent(10)

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Largest norm of the gradient; 0 for no bound.", valueName: "norm"))
  var clip = 1.0

  @Option(parsing: .unconditional, help: ArgumentHelp("Decides start and order.", valueName: "n"))
  var seed: UInt64 = 0

  @Option(help: "The order of windows.")
  var order = BatchOrder.Order.shuffled

  /// The flags as the trainer takes them.
  func settings(length: Int, computeType: ComputeType) -> TrainingSettings {
    var settings = TrainingSettings(steps: steps)
    settings.batch = batch
    settings.accumulate = accumulate
    settings.length = length
    settings.rank = rank ?? settings.rank
    settings.alpha = alpha ?? settings.alpha
    settings.targets = targets ?? settings.targets
    settings.scaling = rslora ? .rankStabilised : .standard
    settings.dropout = dropout ?? 0
    settings.separatesDocuments = separateDocuments
    settings.learningRate = learningRate
    settings.schedule = schedule
    settings.warmup = warmup
    settings.clip = clip
    settings.computeType = computeType
    settings.seed = seed
    settings.order = order
    return settings
  }

  /// `--targets`, with what `--layers` and `--exclude` leave out written as exceptions.
  func targetText(for configuration: DecoderConfiguration) throws -> String {
    var parts = [targets ?? "all-linear"]
    if let layers {
      let chosen = try Self.layers(layers, of: configuration.layers)
      for layer in 0..<configuration.layers where !chosen.contains(layer) {
        parts.append("!model.layers.\(layer).*")
      }
    }
    for item in try excluded() {
      parts.append(item.contains(".") || item.contains("*") ? "!" + item : "!*." + item)
    }
    return parts.joined(separator: ",")
  }

  /// The items of `--exclude`.
  func excluded() throws -> [String] {
    guard let exclude else { return [] }
    let items = exclude.split(separator: ",").map(String.init)
    let isFine = items.allSatisfy { !$0.hasPrefix("!") && $0 != "all-linear" }
    guard !items.isEmpty, isFine else {
      throw ValidationError(
        "--exclude is “\(exclude)”; it must be names such as k_proj or paths such as "
          + "model.layers.0.*")
    }
    return items
  }

  /// Reads numbers and ranges, such as `0-3,8`.
  static func layers(_ text: String, of count: Int? = nil) throws -> Set<Int> {
    var chosen = Set<Int>()
    for item in text.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = item.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        .map { $0.allSatisfy(\.isASCII) && $0.first != "+" ? Int($0) : nil }
      guard let first = ends[0], let last = ends[ends.count - 1], first >= 0, first <= last,
        last < 1 << 16
      else {
        throw ValidationError(
          "--layers is “\(text)”; it must be numbers and ranges such as 0-3,8")
      }
      if let count, last >= count {
        throw ValidationError(
          "--layers names layer \(last), but the model's are 0 to \(count - 1)")
      }
      chosen.formUnion(first...last)
    }
    return chosen
  }

  /// Throws when a flag that was given says something else than the adapter to start from.
  func requireNoContradiction(
    to contents: PEFTFolder.Contents, of configuration: DecoderConfiguration, path: String
  ) throws {
    let layout = contents.adapter.layout
    for (name, flag, found) in [("--rank", rank, layout.rank), ("--alpha", alpha, layout.alpha)] {
      if let flag, flag != found {
        throw ValidationError("\(name) is \(flag), but the adapter in \(path) has \(found)")
      }
    }
    if rslora, layout.scaling == .standard {
      throw ValidationError("--rslora is given, but the adapter in \(path) is without it")
    }
    let given = [("--targets", targets), ("--layers", layers), ("--exclude", exclude)].compactMap {
      name, value in value.map { "\(name) is \($0)" }
    }
    if !given.isEmpty, layers != nil || exclude != nil || targets != "all-linear" {
      let text = try targetText(for: configuration)
      let asked = Set(try configuration.linearModules(targets: Targets(text: text)))
      guard asked == Set(layout.modules) else {
        let found = Set(
          layout.modules.map { String($0.path.split(separator: ".").last ?? "") })
        throw ValidationError(
          given.joined(separator: " and ") + ", but the adapter in \(path) has "
            + found.sorted().joined(separator: ",") + " in other modules")
      }
    }
  }
}

/// Checks flags; the first value out of bounds is wrong use that names its flag.
func asWrongUse(_ check: () throws -> Void) throws {
  do {
    try check()
  } catch TrainingError.setting(let name, let value, let allowed) {
    let flag = name.contains(" ") ? name : "--" + name
    throw ValidationError("\(flag) is \(value); it must be \(allowed)")
  } catch {
    throw ValidationError("\(error)".replacing("\nhint: ", with: "; "))
  }
}

/// Somebody asked the run to end; it ends after the step at hand, saved.
struct Interruption: Error, CustomStringConvertible {
  let step: Int
  let folder: String

  var description: String {
    "interrupted; saved after step \(step) in \(folder)\n"
      + "hint: the same command with --resume goes on from there"
  }

  /// Whether an interruption was asked for.
  static var isAsked: Bool { interruptionIsAsked.load(ordering: .relaxed) }

  /// From now on the first SIGINT or SIGTERM is a request; the second ends the process at once.
  static func listen() {
    _ = isAsked  // A handler must find the flag made.
    for number in [SIGINT, SIGTERM] {
      signal(number) { number in
        interruptionIsAsked.store(true, ordering: .relaxed)
        signal(number, SIG_DFL)
      }
    }
  }
}

// Outside the type, for a signal handler can capture nothing.
private let interruptionIsAsked = Atomic<Bool>(false)

/// Progress on standard error: one line that renews itself on a terminal, else a line now and then.
struct ProgressDisplay {
  private var text: ProgressText
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private let quiet: Bool
  private let steps: Int
  private var lastShown: ContinuousClock.Instant?

  /// Progress to so many steps; `quiet` leaves out the plain lines.
  init(steps: Int, quiet: Bool) {
    text = ProgressText(steps: steps)
    self.steps = steps
    self.quiet = quiet
  }

  /// Shows a step.
  mutating func show(_ report: StepReport) {
    let line = text.line(report)
    if isTerminal {
      Speech.piece("\r\u{1B}[K" + line, to: STDERR_FILENO)
      lastShown = .now
      return
    }
    // Ten seconds keep a log readable.
    let due = lastShown.map { ContinuousClock.now - $0 >= .seconds(10) } ?? true
    guard !quiet, due || report.step == steps else { return }
    Speech.note(line)
    lastShown = .now
  }

  /// Shows how far an evaluation is, on a terminal.
  mutating func judging(_ done: Int, of all: Int) {
    guard isTerminal else { return }
    Speech.piece("\r\u{1B}[Kjudging held-out text, window \(done) of \(all)", to: STDERR_FILENO)
    lastShown = .now
  }

  /// A line that stays.
  func note(_ line: String) {
    if isTerminal && lastShown != nil { Speech.piece("\r\u{1B}[K", to: STDERR_FILENO) }
    if isTerminal || !quiet { Speech.note(line) }
  }

  /// Leaves the line that renewed itself.
  func finish() {
    if isTerminal && lastShown != nil { Speech.piece("\n", to: STDERR_FILENO) }
  }
}

/// A JSON object with the version of its meaning beside its fields.
private struct Versioned<Content: Encodable>: Encodable {
  enum Key: String, CodingKey { case version }

  let content: Content

  func encode(to encoder: any Encoder) throws {
    try content.encode(to: encoder)
    var fields = encoder.container(keyedBy: Key.self)
    try fields.encode(1, forKey: .version)
  }
}

extension Speech {
  /// One JSON object on one line of standard output.
  static func sayLine(_ content: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let data = try encoder.encode(Versioned(content: content))
    say([String(decoding: data, as: UTF8.self)])
  }
}
