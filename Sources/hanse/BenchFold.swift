import Adapters
import ArgumentParser
import Deltas
import Determinism
import FoundationEssentials
import Identities
import Ledger
import Merging
import Node
import Records
import Training
import Transformers

/// `hanse bench fold`: from signed entries to the next shared adapter.
struct BenchFold: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fold",
    abstract: "Time the fold of one round's contributions by every merge rule.",
    discussion: """
      A federation of --labs labs is made in memory: each signs a contribution, every other lab a \
      verdict, and what the ledger admits is folded onto the charter's adapter, of a model like \
      SmolLM2-135M. Everything follows from a fixed seed, so a state root is the same everywhere.

      With --orders the same entries are also heard in so many random orders and batches, on \
      --threads threads, and folded each time: another root than the first is a failure.

      EXAMPLE
        $ hanse bench fold --labs 8
        $ hanse bench fold --layers 1 --rank 1 --orders 10000 --threads 8

      EXIT CODES
        0 done, 1 failed, 2 wrong use
      """)

  @Option(help: ArgumentHelp("Labs that contribute.", valueName: "n"))
  var labs = 5

  @Option(help: ArgumentHelp("Rank of the LoRA factors.", valueName: "n"))
  var rank = 16

  @Option(help: ArgumentHelp("Blocks of the model.", valueName: "n"))
  var layers = 30

  @Option(help: ArgumentHelp("Times each is done; the fastest counts.", valueName: "n"))
  var repeats = 3

  @Option(help: ArgumentHelp("Orders and batches to fold besides.", valueName: "n"))
  var orders = 0

  @Option(help: ArgumentHelp("Threads that fold them.", valueName: "n"))
  var threads = 1

  @Flag(help: "Print one JSON object (version 1, see Protocol/Control.md).")
  var json = false

  /// One merge rule's figures.
  struct Rule: Encodable {
    let rule: String
    let seconds: Double
    /// Numbers of deltas taken in a second.
    let numbersPerSecond: Double
    let root: String

    enum CodingKeys: String, CodingKey {
      case rule, seconds, root
      case numbersPerSecond = "numbers_per_second"
    }
  }

  private struct Report: Encodable {
    let labs: Int
    /// Coordinates of the adapter.
    let numbers: Int
    let entries: Int
    let entriesPerSecond: Double
    let stateBytes: Int
    let rootSeconds: Double
    let rules: [Rule]
    /// Orders that were folded besides and gave the same roots.
    let orders: Int

    enum CodingKeys: String, CodingKey {
      case labs, numbers, entries, rules, orders
      case entriesPerSecond = "entries_per_second"
      case stateBytes = "state_bytes"
      case rootSeconds = "root_seconds"
    }
  }

  func validate() throws {
    guard (2...16).contains(labs) else { throw ValidationError("--labs is 2 to 16") }
    guard (1...256).contains(rank) else { throw ValidationError("--rank is 1 to 256") }
    guard (1...256).contains(layers) else { throw ValidationError("--layers is 1 to 256") }
    guard repeats > 0 else { throw ValidationError("--repeats is at least 1") }
    guard (0...10_000_000).contains(orders) else {
      throw ValidationError("--orders is 0 to 10000000")
    }
    guard (1...256).contains(threads) else { throw ValidationError("--threads is 1 to 256") }
  }

  func run() async throws {
    var shape = DecoderConfiguration.smolLM2Small
    shape.layers = layers
    let round = try PlayedRound(labs: labs, rank: rank, shape: shape)
    let filing = try fastest { try round.filed() }
    var book = filing.value
    let groups = try book.landingGroups(of: book.head { _ in true })
    guard groups.map(\.contributions.count) == [labs] else {
      throw ValidationError("the ledger admitted \(groups.map(\.contributions.count))")
    }
    let start = FoldState.start(
      layout: round.layout, seed: Array(round.charter.message.adapter.seed))
    var last = start
    let rules = try FoldRules.Rule.allCases.map { rule in
      let folded = try fastest {
        try fold(
          start, group: groups[0], deltas: { round.deltas[$0]! }, rules: try FoldRules(rule: rule))
      }
      last = folded.value
      return Rule(
        rule: rule.rawValue, seconds: folded.seconds,
        numbersPerSecond: Double(labs * round.layout.count) / folded.seconds,
        root: "\(folded.value.root)")
    }
    let root = fastest { last.root }
    try checkOrders(FoldOrders(round: round, start: start), rules)
    let report = Report(
      labs: labs, numbers: round.layout.count, entries: book.entryCount,
      entriesPerSecond: Double(book.entryCount) / filing.seconds,
      stateBytes: FoldState.byteCount(of: round.layout), rootSeconds: root.seconds, rules: rules,
      orders: orders)
    if json { try Speech.sayLine(report) } else { Speech.say(Self.lines(report)) }
  }

  /// Folds in other orders. Throws where that gives another root.
  private func checkOrders(_ set: FoldOrders, _ rules: [Rule]) throws {
    guard orders > 0 else { return }
    for (rule, roots) in zip(rules, try set.roots(of: orders, threads: threads)) {
      guard roots.map(\.description) == [rule.root] else {
        throw OrdersDiffer(rule: rule.rule, roots: roots.count)
      }
    }
  }

  /// The same entries gave several roots.
  private struct OrdersDiffer: Error, CustomStringConvertible {
    let rule: String
    let roots: Int
    var description: String {
      "the fold by \(rule) depends on the order of arrival: \(roots) roots of one set of entries"
    }
  }

  private func fastest<Value>(_ body: () throws -> Value) rethrows -> (
    value: Value, seconds: Double
  ) {
    try hanse.fastest(of: repeats, body)
  }

  private static func lines(_ report: Report) -> [String] {
    var lines = [
      "\(report.entries) entries of \(report.labs) labs verified and judged, "
        + "\(fixed(report.entriesPerSecond, 0)) a second",
      "an adapter of \(report.numbers) numbers, state \(report.stateBytes >> 20) MiB, "
        + "root in \(fixed(report.rootSeconds, 2)) s",
    ]
    for rule in report.rules {
      let rate = fixed(rule.numbersPerSecond * 1e-6, 0)
      lines.append(
        "\(rule.rule)  \(fixed(rule.seconds, 2)) s, \(rate) M numbers/s, root \(rule.root)")
    }
    if report.orders > 0 {
      lines.append("\(report.orders) orders and batches: the same roots")
    }
    return lines
  }
}

/// One round of a federation in memory: its charter, its signed entries, its deltas.
struct PlayedRound: Sendable {
  let charter: Charter
  let layout: AdapterLayout
  private(set) var deltas: [ContentID: Delta] = [:]
  private(set) var entries: [Entry] = []

  init(labs: Int, rank: Int, shape: DecoderConfiguration) throws {
    let keys = (0..<labs).map {
      SigningKey(seed: ContentID(of: [UInt8($0)], kind: .start).bytes)!
    }
    charter = try Self.charter(founders: keys, rank: rank, shape: shape)
    layout = try AdapterShapes.layout(of: charter)
    var book = Logbook(charter: charter)
    let base = book.emptyMerge()
    for (index, key) in keys.enumerated() {
      let delta = try Self.delta(layout, seed: UInt64(index))
      var message = Hanse_V1_Contribution()
      message.base = base
      message.round = 1
      message.attempt = 1
      message.payload = try delta.payload(packed: delta.pack())
      message.factorNorms = delta.factorNorms()
      message.tokens = UInt64(100_000 * (index + 1))
      let entry = try file(.contribution(message), key, &book)
      deltas[entry.id] = delta
    }
    for contribution in entries {
      for key in keys where LabID(firstKey: key.publicKey) != contribution.lab {
        var verdict = Hanse_V1_Verdict()
        verdict.contribution = Data(contribution.id.bytes)
        verdict.accept = true
        _ = try file(.verdict(verdict), key, &book)
      }
    }
  }

  /// All entries as if they came from the network: decoded, verified, filed, judged.
  func filed() throws -> Logbook {
    var book = Logbook(charter: charter)
    for entry in entries {
      _ = try book.append(try Entry(entry.signed))
    }
    book.settle()
    return book
  }

  private mutating func file(
    _ payload: Hanse_V1_Entry.OneOf_Payload, _ key: SigningKey, _ book: inout Logbook
  ) throws -> Entry {
    let lab = LabID(firstKey: key.publicKey)
    let last = book.log(of: lab).last
    var message = Hanse_V1_Entry()
    message.federation = Data(charter.id.bytes)
    message.lab = Data(lab.bytes)
    message.rosterVersion = book.roster.version
    message.sequence = (last?.sequence ?? 0) + 1
    message.previous = Data(last?.id.bytes ?? [])
    message.payload = payload
    let entry = try Entry(signing: message, with: key)
    _ = try book.append(entry)
    book.settle()
    entries.append(entry)
    return entry
  }

  private static func charter(
    founders: [SigningKey], rank: Int, shape: DecoderConfiguration
  ) throws -> Charter {
    var message = Hanse_V1_Charter()
    message.format = 1
    message.name = "bench"
    var file = Hanse_V1_BaseFile()
    file.name = "base"
    file.size = 1
    file.hash = Data(ContentID(of: [1], kind: .file).bytes)
    message.base.files = [file]
    message.adapter.rank = UInt32(rank)
    message.adapter.alpha = UInt32(2 * rank)
    message.adapter.seed = Data(repeating: 7, count: 32)
    message.adapter.modules = try shape.linearModules(targets: .allLinear).map {
      var module = Hanse_V1_ModuleShape()
      module.path = $0.path
      module.inputs = UInt32($0.inputs)
      module.outputs = UInt32($0.outputs)
      return module
    }
    message.round.localSteps = 1
    message.round.batch = 1
    message.round.length = 8
    message.round.learningRate = 1e-3
    message.merge.rule = FoldRules.Rule.clippedMean.rawValue
    message.merge.outerRateQ16 = 45_875
    message.merge.momentumQ16 = 58_982
    message.judging.committee = 16
    message.founders = founders.enumerated().map { index, key in
      var founder = Hanse_V1_Founder()
      founder.name = "lab \(index)"
      founder.key = Data(key.publicKey.bytes)
      return founder
    }
    return try Charter(message)
  }

  private static func delta(_ layout: AdapterLayout, seed: UInt64) throws -> Delta {
    var generator = SeededGenerator(seed: seed)
    let change = (0..<layout.count).map { _ in
      Float(2 * generator.nextUnit() - 1) * 1e-3
    }
    return try Delta.quantise(wanted: change, layout: layout, tier: .int4).delta
  }
}
