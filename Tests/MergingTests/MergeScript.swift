import Adapters
import Deltas
import Identities
@_spi(Vectors) import Ledger
import Merging
import Records

/// Runs the script of a `fold` vector line by line.
struct MergeScript {
  private let vector: VectorFile

  init(_ vector: VectorFile) { self.vector = vector }

  struct Unreadable: Error { var line: String }
  /// What a line says and what came out instead.
  struct Mismatch: Error, Equatable {
    var key: String
    var expected: String
    var found: String
  }

  /// The layout that fold vectors share.
  static func smallLayout() throws -> AdapterLayout {
    try AdapterLayout(
      rank: 1, alpha: 1, modules: [AdapterModule(path: "m", inputs: 2, outputs: 2)])
  }

  static func list(_ values: some Sequence<some BinaryInteger>) -> String {
    values.map { "\($0)" }.joined(separator: " ")
  }

  static func numbers<Number: FixedWidthInteger>(_ text: String) throws -> [Number] {
    try text.split(separator: " ").map {
      guard let number = Number($0) else { throw Unreadable(line: text) }
      return number
    }
  }

  static func layout(_ vector: VectorFile) throws -> AdapterLayout {
    try AdapterLayout(
      rank: Int(vector["rank"] ?? "") ?? 0, alpha: Int(vector["alpha"] ?? "") ?? 0,
      modules: vector.all("module").map { line in
        let parts = line.split(separator: " ")
        return AdapterModule(
          path: String(parts[0]), inputs: Int(parts[1]) ?? 0, outputs: Int(parts[2]) ?? 0)
      })
  }

  /// Folds all rounds and holds every line of the vector against the outcome.
  func check() throws {
    _ = try run { state, key, value in
      let found = Self.outcome(state).first { $0.0 == key }?.1
      guard found == value else {
        throw Mismatch(key: key, expected: value, found: found ?? "")
      }
    }
  }

  /// The script's lines with the outcome of each round behind it.
  func annotated() throws -> [(String, String)] {
    var lines: [(String, String)] = []
    let final = try run(
      beforeRound: { lines += Self.outcome($0) }, line: { lines.append(($0, $1)) },
      { _, _, _ in })
    return lines + Self.outcome(final)
  }

  private static func outcome(_ state: FoldState) -> [(String, String)] {
    [
      ("theta", list(state.theta)), ("velocity", list(state.velocity)),
      ("medians", list(state.medianNorms)), ("root", state.root.description),
    ]
  }

  private func run(
    beforeRound: (FoldState) -> Void = { _ in }, line: (String, String) -> Void = { _, _ in },
    _ expectation: (FoldState, String, String) throws -> Void
  ) throws -> FoldState {
    let rules = try rules()
    var state = try start()
    var round: Round?
    for field in vector.fields {
      switch field.key {
      case "round":
        if let round { state = try round.folded(onto: state, rules) }
        beforeRound(state)
        round = Round(number: UInt32(field.value) ?? 0, layout: state.layout)
      case "contribution": try round?.add(facts: field.value)
      case "exponents": round?.exponents = try Self.numbers(field.value)
      case "symbols": try round?.add(symbols: Self.numbers(field.value))
      case "theta", "velocity", "medians", "root":
        if let finished = round { state = try finished.folded(onto: state, rules) }
        round = nil
        try expectation(state, field.key, field.value)
      default: continue
      }
      line(field.key, field.value)
    }
    if let round { state = try round.folded(onto: state, rules) }
    return state
  }

  private func start() throws -> FoldState {
    let layout = try Self.layout(vector)
    if vector.body.isEmpty {
      return .start(layout: layout, seed: VectorFile.bytes(hex: vector["seed"] ?? "") ?? [])
    }
    return try FoldState(decoding: vector.body, layout: layout, round: 0, root: nil)
  }

  private func rules() throws -> FoldRules {
    var message = Hanse_V1_MergeRules()
    message.rule = vector["rule"] ?? "clipped-mean"
    message.outerRateQ16 = UInt32(vector["outer-rate"] ?? "45875")!
    message.momentumQ16 = UInt32(vector["momentum"] ?? "58982")!
    message.latenessLimit = UInt32(vector["lateness-limit"] ?? "2")!
    return try FoldRules(message)
  }

  /// A round as its lines give it.
  private struct Round {
    let number: UInt32
    let layout: AdapterLayout
    var contributions: [AdmittedContribution] = []
    var deltas: [(ContentID, Delta)] = []
    var exponents: [Int8] = []

    init(number: UInt32, layout: AdapterLayout) {
      self.number = number
      self.layout = layout
    }

    mutating func add(facts: String) throws {
      var values: [String: String] = [:]
      for word in facts.split(separator: " ") {
        let halves = word.split(separator: "=", maxSplits: 1)
        values[String(halves[0])] = halves.count == 2 ? String(halves[1]) : ""
      }
      guard let id = ContentID(text: values["id"] ?? ""),
        let author = LabID(text: values["author"] ?? ""),
        let round = UInt32(values["round"] ?? ""), let tokens = UInt64(values["tokens"] ?? "")
      else { throw Unreadable(line: facts) }
      contributions.append(
        AdmittedContribution(
          vector: id, author: author, round: round,
          landingRound: values["landing"].flatMap { UInt32($0) } ?? number, tokens: tokens,
          isRecalled: values["recalled"] != nil))
    }

    mutating func add(symbols: [Int8]) throws {
      guard let id = contributions.last?.id else { throw Unreadable(line: "symbols") }
      deltas.append((id, try Delta(layout: layout, exponents: exponents, symbols: symbols)))
    }

    func folded(onto state: FoldState, _ rules: FoldRules) throws -> FoldState {
      // In the order given: the fold has to sort by itself.
      try fold(
        state, group: LandingGroup(round: number, contributions: contributions),
        deltas: { id in
          guard let delta = deltas.first(where: { $0.0 == id }) else {
            throw Unreadable(line: "\(id)")
          }
          return delta.1
        }, rules: rules)
    }
  }
}
