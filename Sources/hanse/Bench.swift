import Adapters
import ArgumentParser
import Checkpoints
import Deltas
import Determinism
import Tensors
import Training
import Transformers

/// `hanse bench`: how fast this machine does what a lab does all day.
struct Bench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure this machine's speed.",
    discussion: """
      Figures are of this moment: other work on the machine lowers them, so compare only what ran \
      side by side.

      EXAMPLE
        $ hanse bench train --model SmolLM2-135M-Instruct.Q4_1.gguf

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 not found, 4 refused
      """,
    subcommands: [BenchTrain.self, BenchFold.self, BenchCodec.self, BenchTransfer.self])
}

/// `hanse bench train`: training steps, and where their time goes.
struct BenchTrain: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Time training steps and say where the time goes.",
    discussion: """
      Steps are those of hanse train, on random tokens; the first does not count. Without --model \
      the weights are random too, in the shape of a known model. The ceiling is what our own \
      matrix products reach on all cores when everything is in cache; HANSE_THREADS and \
      HANSE_MAX_ISA (amx, avx512_fp16, avx512_bf16, avx512, avx2, portable) hold back threads \
      and instructions.

      EXAMPLE
        $ hanse bench train --shape 360m --batch 2 --length 1024

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 not found, 4 refused
      """)

  @Option(help: ArgumentHelp("A GGUF file, or a Hugging Face folder.", valueName: "path"))
  var model: String?

  @Option(
    help: ArgumentHelp(
      "Random weights shaped like a known model: tiny, 135m, 360m, 1.7b, 8b. (default: 135m)",
      valueName: "name"))
  var shape: String?

  @Option(help: ArgumentHelp("Only so many blocks of --shape.", valueName: "n"))
  var layers: Int?

  @Option(help: "How weights and activations are kept.")
  var dtype = ComputeType.bf16

  @Option(
    help: ArgumentHelp(
      "How frozen weights are kept: as --dtype says, or in GGUF's blocks of 8 or 4 bits.",
      valueName: "form"))
  var weights = WeightForm.full

  @Option(help: ArgumentHelp("Windows at a time.", valueName: "n"))
  var batch = 4

  @Option(help: ArgumentHelp("Tokens of a window.", valueName: "n"))
  var length = 512

  @Option(help: ArgumentHelp("Rank of the LoRA factors.", valueName: "n"))
  var rank = 16

  @Option(help: ArgumentHelp("Steps that count.", valueName: "n"))
  var steps = 4

  @OptionGroup var memory: MemoryOptions

  @Flag(help: "Print one JSON object (version 1, see Protocol/Control.md).")
  var json = false

  func validate() throws {
    if model != nil, shape != nil || layers != nil {
      throw ValidationError("--model brings its own shape: leave out --shape and --layers")
    }
    if let layers, layers < 1 { throw ValidationError("--layers is at least 1") }
    try asWrongUse { try settings.validate() }
  }

  private var settings: TrainingSettings {
    var settings = TrainingSettings(steps: steps)
    settings.batch = batch
    settings.length = length
    settings.rank = rank
    settings.alpha = 2 * rank
    settings.computeType = dtype
    settings.weights = weights
    return settings
  }

  func run() async throws {
    let checkpoint = try model.map { try Checkpoint.open($0) }
    let configuration = try checkpoint?.configuration ?? namedShape()
    let plan = try MemoryPlan(
      configuration: configuration, settings: settings,
      layout: try settings.layout(for: configuration), limit: memory.bytes)
    Speech.note(plan.text)
    let decoder = try Decoder(
      configuration: configuration, weights: checkpoint?.weights ?? RandomWeights(),
      computeType: dtype, form: weights)
    let benchmark = try TrainingBenchmark(decoder: decoder, settings: settings, plan: plan)
    let result = try benchmark.run { report in
      Speech.note("step \(report.step - 1) of \(steps): \(fixed(report.seconds, 2)) s")
    }
    if json { try Speech.sayLine(result) } else { Speech.say(Self.lines(result)) }
  }

  private func namedShape() throws -> DecoderConfiguration {
    let name = shape ?? "135m"
    let known = DecoderConfiguration.measuredShapes
    guard var found = known.first(where: { $0.name == name })?.shape else {
      throw ValidationError(
        "“\(name)” is no shape; --shape is one of " + known.map(\.name).joined(separator: ", "))
    }
    if let layers { found.layers = layers }
    return found
  }

  static func lines(_ result: TrainingBenchmark.Result) -> [String] {
    func tera(_ rate: Double) -> String { fixed(rate * 1e-12, 3) + " TFLOP/s" }
    var lines = [
      "speed    \(fixed(result.tokensPerSecond, 0)) tokens/s (median), "
        + "\(fixed(result.bestTokensPerSecond, 0)) in the fastest step",
      "products \(tera(result.operationsPerSecond)), "
        + "\(fixed(100 * result.shareOfCeiling, 0)) % of \(tera(result.ceiling)), "
        + "what they reach in cache",
      "set      \(result.instructionSet), \(result.threads) threads, \(result.dtype.rawValue)",
      "memory   \(result.peakResidentBytes >> 20) MiB at most, "
        + "\(result.estimatedBytes >> 20) MiB expected"
        + (result.recomputes ? ", activations computed again" : ""), "",
      "where the fastest step's time went",
    ]
    for part in result.parts {
      let rate = part.operationsPerSecond.map { "  " + tera($0) } ?? ""
      lines.append(
        "  " + padding(part.part, to: 42) + leading(fixed(100 * part.share, 1), to: 5) + " %"
          + leading(fixed(1000 * part.seconds / Double(result.threads), 0), to: 8) + " ms" + rate)
    }
    return lines
  }

  private static func padding(_ text: String, to width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  private static func leading(_ text: String, to width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
}

/// `hanse bench codec`: cutting, packing and unpacking what a round changed.
struct BenchCodec: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "codec",
    abstract: "Time the packing of deltas in every tier.",
    discussion: """
      The change is random, with the even spread of magnitudes that training leaves, on the \
      adapter of a model shaped like SmolLM2-135M. Error is the length of what a delta leaves \
      unsaid over the length of the change; the next delta makes up for it.

      EXAMPLE
        $ hanse bench codec --json

      EXIT CODES
        0 done, 1 failed, 2 wrong use
      """)

  @Option(help: ArgumentHelp("Rank of the LoRA factors.", valueName: "n"))
  var rank = 16

  @Option(help: ArgumentHelp("Blocks of the model.", valueName: "n"))
  var layers = 30

  @Option(help: ArgumentHelp("Times each is done; the fastest counts.", valueName: "n"))
  var repeats = 3

  @Flag(help: "Print one JSON object (version 1, see Protocol/Control.md).")
  var json = false

  /// One tier's figures.
  struct Tier: Encodable {
    let tier: String
    let bytes: Int
    let bitsPerNumber: Double
    let error: Double
    let quantiseNumbersPerSecond: Double
    let packNumbersPerSecond: Double
    let unpackNumbersPerSecond: Double

    enum CodingKeys: String, CodingKey {
      case tier, bytes, error
      case bitsPerNumber = "bits_per_number"
      case quantiseNumbersPerSecond = "quantise_numbers_per_second"
      case packNumbersPerSecond = "pack_numbers_per_second"
      case unpackNumbersPerSecond = "unpack_numbers_per_second"
    }
  }

  private struct Report: Encodable {
    let numbers: Int
    let tiers: [Tier]
  }

  func validate() throws {
    guard (1...1024).contains(rank) else { throw ValidationError("--rank is 1 to 1024") }
    guard (1...1024).contains(layers) else { throw ValidationError("--layers is 1 to 1024") }
    guard repeats > 0 else { throw ValidationError("--repeats is at least 1") }
  }

  func run() async throws {
    var shape = DecoderConfiguration.smolLM2Small
    shape.layers = layers
    let layout = try AdapterLayout(
      rank: rank, alpha: 2 * rank, modules: shape.linearModules(targets: .allLinear))
    var generator = SeededGenerator(seed: 1)
    // The sum of four even draws is near enough to the bell curve of real changes.
    let change = (0..<layout.count).map { _ in
      (0..<4).reduce(Float(0)) { sum, _ in sum + .random(in: -1...1, using: &generator) } * 1e-3
    }
    let tiers = try DeltaTier.allCases.map { try measure(change, layout: layout, tier: $0) }
    if json {
      try Speech.sayLine(Report(numbers: layout.count, tiers: tiers))
    } else {
      Speech.say(["a change of \(layout.count) numbers"] + tiers.map(Self.line))
    }
  }

  private func measure(
    _ change: [Float], layout: AdapterLayout, tier: DeltaTier
  ) throws -> Tier {
    let cut = try fastest { try Delta.quantise(wanted: change, layout: layout, tier: tier) }
    let delta = cut.value.delta
    let packed = fastest { delta.pack() }
    let unpacked = try fastest { try Delta.unpack(packed.value, layout: layout, tier: tier) }
    guard unpacked.value == delta else {
      throw ValidationError("tier \(tier.name): what was unpacked is not what was packed")
    }
    let count = Double(layout.count)
    return Tier(
      tier: tier.name, bytes: packed.value.count,
      bitsPerNumber: Double(8 * packed.value.count) / count,
      error: error(delta, of: change), quantiseNumbersPerSecond: count / cut.seconds,
      packNumbersPerSecond: count / packed.seconds,
      unpackNumbersPerSecond: count / unpacked.seconds)
  }

  private func fastest<Value>(_ body: () throws -> Value) rethrows -> (
    value: Value, seconds: Double
  ) {
    try hanse.fastest(of: repeats, body)
  }

  private func error(_ delta: Delta, of change: [Float]) -> Double {
    var unsaid = 0.0
    var whole = 0.0
    for (unit, value) in zip(delta.units(), change) {
      let left = Double(value) - Double(unit) * 0x1p-40
      unsaid += left * left
      whole += Double(value) * Double(value)
    }
    return (unsaid / whole).squareRoot()
  }

  private static func line(_ tier: Tier) -> String {
    func million(_ rate: Double) -> String { fixed(rate * 1e-6, 0) + " M/s" }
    return "\(tier.tier)  \(fixed(tier.bitsPerNumber, 3)) bits a number, "
      + "error \(fixed(tier.error, 3)), cut \(million(tier.quantiseNumbersPerSecond)), "
      + "packed \(million(tier.packNumbersPerSecond)), "
      + "unpacked \(million(tier.unpackNumbersPerSecond))"
  }
}

/// Does it `repeats` times: the last result, and the seconds of the fastest.
func fastest<Value>(of repeats: Int, _ body: () throws -> Value) rethrows -> (
  value: Value, seconds: Double
) {
  let clock = ContinuousClock()
  var best = Double.infinity
  var value: Value
  var count = 0
  repeat {
    let start = clock.now
    value = try body()
    best = min(best, (clock.now - start) / .seconds(1))
    count += 1
  } while count < repeats
  return (value, max(best, 1e-9))
}
