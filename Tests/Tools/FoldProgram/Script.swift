import Adapters
import Deltas
import Identities
@_spi(Vectors) import Ledger
import Merging

/// Why a vector ends early: the check that refused it.
enum Refusal: Error {
  case check(String)
}

/// Runs a vector line by line. What follows from the lines before is computed, never copied.
struct Script {
  private let vector: Vector
  private var state: FoldState?
  private var round: UInt32?
  private var contributions: [AdmittedContribution] = []
  private var deltas: [(id: ContentID, delta: Delta)] = []
  private var exponents: [Int8] = []

  init(_ vector: Vector) { self.vector = vector }

  /// The vector as it must read, from what this machine computes.
  consuming func rewritten() -> String {
    var lines: [String] = []
    var outcome = "success"
    do throws(Refusal) {
      try begin()
      for field in vector.fields where field.key != "expect" {
        lines.append(field.key + ":" + Self.spaced(try value(of: field.key, field.value)))
      }
      try finishRound()
    } catch {
      switch error {
      case .check(let name): outcome = name
      }
      lines = vector.fields.dropFirst().map { $0.key + ":" + Self.spaced($0.value) }
    }
    var text = "expect: " + outcome + "\n"
    for line in lines { text += line + "\n" }
    guard !vector.body.isEmpty else { return text }
    return text + "\n" + Vector.hex(body(outcome))
  }

  private static func spaced(_ value: String) -> String { value.isEmpty ? "" : " " + value }

  /// A snapshot's bytes from the state that was read from them, where the vector is about that.
  private func body(_ outcome: String) -> [UInt8] {
    guard outcome == "success", vector["kind"] == "snapshot", let state else { return vector.body }
    return state.encoded()
  }

  private mutating func begin() throws(Refusal) {
    switch vector["kind"] ?? "" {
    case "fold", "start", "snapshot": break
    default: return
    }
    _ = try rules()
    let layout = try layout()
    do throws(FoldError) {
      if vector["kind"] == "snapshot" {
        let root = ContentID(text: vector["root"] ?? "")
        guard let root else { throw FoldError.stateMagic }
        state = try FoldState(decoding: vector.body, layout: layout, round: 1, root: root)
      } else if vector.body.isEmpty {
        let seed = Vector.bytes(hex: Array((vector["seed"] ?? "").utf8)) ?? []
        state = FoldState.start(layout: layout, seed: seed)
      } else {
        state = try FoldState(decoding: vector.body, layout: layout, round: 0, root: nil)
      }
    } catch {
      throw .check(error.check)
    }
  }

  private func layout() throws(Refusal) -> AdapterLayout {
    var modules: [AdapterModule] = []
    for field in vector.fields where field.key == "module" {
      let parts = words(field.value)
      modules.append(
        AdapterModule(path: parts[0], inputs: Int(parts[1]) ?? 0, outputs: Int(parts[2]) ?? 0))
    }
    do throws(AdapterError) {
      return try AdapterLayout(
        rank: vector.number("rank", otherwise: 0), alpha: vector.number("alpha", otherwise: 0),
        modules: modules)
    } catch {
      throw .check(error.check)
    }
  }

  private func rules() throws(Refusal) -> FoldRules {
    guard let rule = FoldRules.Rule(rawValue: vector["rule"] ?? "clipped-mean") else {
      throw .check("rule")
    }
    do throws(FoldError) {
      return try FoldRules(
        rule: rule, outerRate: UInt32(vector.number("outer-rate", otherwise: 45_875)),
        momentum: UInt32(vector.number("momentum", otherwise: 58_982)),
        latenessLimit: UInt32(vector.number("lateness-limit", otherwise: 2)))
    } catch {
      throw .check(error.check)
    }
  }

  /// What a line says: an input as it is, anything else as computed.
  private mutating func value(of key: String, _ value: String) throws(Refusal) -> String {
    switch key {
    case "round":
      try finishRound()
      round = UInt32(value) ?? 0
      (contributions, deltas) = ([], [])
    case "contribution": try add(facts: value)
    case "exponents": exponents = numbers(value)
    case "symbols": try add(symbols: numbers(value))
    case "theta", "velocity", "medians", "root":
      try finishRound()
      return outcome(key)
    case "square-root": return integerSquareRoot(UInt128(vector["value"] ?? "") ?? 0).description
    case "shares": return list(Weights.shares(tokens: numbers(vector["tokens"] ?? "")))
    default: break
    }
    return value
  }

  private func outcome(_ key: String) -> String {
    guard let state else { return "" }
    switch key {
    case "theta": return list(state.theta)
    case "velocity": return list(state.velocity)
    case "medians": return list(state.medianNorms)
    default: return state.root.description
    }
  }

  private mutating func add(facts: String) throws(Refusal) {
    var values: [String: String] = [:]
    for word in words(facts) {
      let halves = words(word, by: UInt8(ascii: "="))
      values[halves[0]] = halves.count == 2 ? halves[1] : ""
    }
    guard let id = ContentID(text: values["id"] ?? ""),
      let author = LabID(text: values["author"] ?? ""),
      let of = UInt32(values["round"] ?? ""), let tokens = UInt64(values["tokens"] ?? "")
    else { throw .check("unreadable") }
    let landing = UInt32(values["landing"] ?? "") ?? round ?? 0
    contributions.append(
      AdmittedContribution(
        vector: id, author: author, round: of, landingRound: landing, tokens: tokens,
        isRecalled: values["recalled"] != nil))
  }

  private mutating func add(symbols: [Int8]) throws(Refusal) {
    guard let id = contributions.last?.id, let layout = state?.layout else {
      throw .check("unreadable")
    }
    do throws(DeltaError) {
      deltas.append((id, try Delta(layout: layout, exponents: exponents, symbols: symbols)))
    } catch {
      throw .check(error.check)
    }
  }

  /// Folds what has been gathered, in the order given: the fold has to sort by itself.
  private mutating func finishRound() throws(Refusal) {
    guard let number = round, let before = state else { return }
    round = nil
    let rules = try rules()
    do throws(FoldError) {
      let fold = try RoundFold(
        onto: before, group: LandingGroup(round: number, contributions: contributions),
        rules: rules)
      var needed: [Delta] = []
      for facts in fold.weighing {
        for delta in deltas where delta.id == facts.id {
          needed.append(delta.delta)
          break
        }
      }
      state = try fold.folded(needed)
    } catch {
      throw .check(error.check)
    }
  }
}
