import ArgumentParser
import FoundationEssentials
import Identities
import Node

/// `hanse init`: founds a federation with this lab as its first member.
struct Init: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init",
    abstract: "Found a federation: write its charter and this lab's home.",
    discussion: """
      Makes the home, the lab's key and the charter, which names the base model by the hashes of \
      its files and fixes the adapter's shape for ever; most rules of the rounds can be changed \
      later with `hanse propose rule`. Every setting below has a default that works.

      EXAMPLE
        $ hanse init --home h --name luebeck --federation baltic \\
            --model m.gguf --data *.txt --listen 0.0.0.0:7400
        $ hansed --home h

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 a file is missing, 4 refused: there is a home already
      """)

  @OptionGroup var home: HomeOptions
  @OptionGroup var plan: PlanOptions
  @OptionGroup var page: PageOptions

  @Option(help: ArgumentHelp("The federation's name.", valueName: "name"))
  var federation: String

  @OptionGroup(title: "Charter: the adapter") var shape: CharterShape
  @OptionGroup(title: "Charter: the rounds and rules") var rules: CharterRules

  func validate() throws {
    guard !federation.isEmpty, federation.utf8.count <= 64 else {
      throw ValidationError("--federation must have 1 to 64 bytes")
    }
  }

  func run() async throws {
    var settings = Founding.Settings()
    shape.apply(to: &settings)
    rules.apply(to: &settings)
    let result = try Founding.create(
      plan.plan(home: home.layout), federation: federation, settings: settings,
      progress: { Speech.note($0) })
    let founded = Founded(
      federation: result.federation.description, federationName: federation,
      lab: result.lab.description, labName: plan.name, fingerprint: result.fingerprint,
      parameters: result.parameters, home: result.home)
    try Speech.say(founded, json: page.json) { page, _ in page.lines() }
  }
}

/// What the adapter is like, for ever.
struct CharterShape: ParsableArguments {
  @Option(help: "Inner dimension of the LoRA factors.")
  var rank = 16

  @Option(help: "The factors' product is scaled by alpha / rank.")
  var alpha = 32

  @Flag(
    help: ArgumentHelp(
      "It is scaled by alpha / √rank (rsLoRA) instead; the charter then says alpha · √rank, so the "
        + "rank must be a square such as 16 or 64."))
  var rslora = false

  @Option(help: "Which linear layers carry factors: all-linear, or names joined by commas.")
  var targets = "all-linear"

  @Option(help: "Decides the adapter's start. Default: drawn now.")
  var seed: UInt64?

  func validate() throws {
    guard (1...1024).contains(rank) else { throw ValidationError("--rank must be 1 to 1024") }
    guard (1...65_536).contains(alpha) else { throw ValidationError("--alpha must be 1 to 65536") }
    guard rslora else { return }
    guard let root else {
      throw ValidationError(
        "--rslora needs a --rank that is a square, such as 4, 16, 64 or 256, not \(rank): "
          + "a charter holds whole numbers")
    }
    guard alpha * root <= 65_536 else {
      throw ValidationError("--alpha with --rslora must be at most \(65_536 / root)")
    }
  }

  /// The rank's root, if it is a whole number.
  private var root: Int? { (1...32).first { $0 * $0 == rank } }

  func apply(to settings: inout Founding.Settings) {
    settings.rank = rank
    // alpha / √rank is (alpha · √rank) / rank, exactly.
    settings.alpha = rslora ? alpha * (root ?? 1) : alpha
    settings.targets = targets.split(separator: ",").map(String.init)
    settings.seed = seed
  }
}

/// How rounds go and what is admitted, for ever.
struct CharterRules: ParsableArguments {
  @Option(help: "Optimiser steps that a lab takes in a round.")
  var localSteps = 100

  @Option(help: "Windows a step.")
  var batch = 4

  @Option(help: "Tokens a window.")
  var length = 512

  @Option(help: "Learning rate of the labs' own steps.")
  var learningRate = 2e-4

  @Option(help: "Labs on the roster before round 1 begins.")
  var labsToBegin = 1

  @Option(help: "Least seconds that a round waits for late labs once a quorum has been heard.")
  var grace = 60

  @Option(help: "Outer learning rate of the merge.")
  var outerRate = 0.7

  @Option(help: "Outer momentum of the merge.")
  var momentum = 0.9

  @Option(help: "How much worse a judge's loss may get, in nats per token.")
  var tolerance = 0.02

  @Option(help: "Rounds for which payloads are kept, and so how far back a recall reaches.")
  var retention = 256

  @Option(help: "Licence or terms id of the base model, for the record.")
  var terms = ""

  @Option(help: "What the labs declare about privacy, for the record.")
  var privacyPolicy = "deltas are visible to every member"

  func validate() throws {
    try Self.check("--local-steps", localSteps, 1...1_000_000)
    try Self.check("--batch", batch, 1...65_536)
    try Self.check("--length", length, 2...1_048_576)
    try Self.check("--labs-to-begin", labsToBegin, 1...256)
    try Self.check("--grace", grace, 0...86_400)
    try Self.check("--retention", retention, 3...1_000_000)
    try Self.check("--learning-rate", learningRate, 0...10)
    try Self.check("--outer-rate", outerRate, 0...2)
    try Self.check("--momentum", momentum, 0...0.999)
    try Self.check("--tolerance", tolerance, 0...100)
  }

  private static func check<Number: Comparable>(
    _ name: String, _ value: Number, _ range: ClosedRange<Number>
  ) throws {
    guard range.contains(value) else {
      throw ValidationError(
        "\(name) is \(value); it must be \(range.lowerBound) to \(range.upperBound)")
    }
  }

  func apply(to settings: inout Founding.Settings) {
    settings.localSteps = localSteps
    settings.batch = batch
    settings.length = length
    settings.learningRate = learningRate
    settings.labsToBegin = labsToBegin
    settings.graceSeconds = grace
    settings.outerRate = outerRate
    settings.momentum = momentum
    settings.toleranceMicronats = UInt64((tolerance * 1e6).rounded())
    settings.retention = retention
    settings.terms = terms
    settings.privacyPolicy = privacyPolicy
  }
}
