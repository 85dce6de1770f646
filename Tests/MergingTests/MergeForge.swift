import Adapters
import Deltas
import Identities
@_spi(Vectors) import Ledger
import Merging

/// Makes the vectors of Protocol/Vectors/Merge. `HANSE_FORGE_VECTORS=1` writes them.
///
/// A fold is written as a script: the charter's numbers, then rounds with their contributions, then
/// what holds after each. The forge writes the script; ``MergeScript`` runs it and adds what holds.
enum MergeForge {
  static func all() throws -> [VectorFile] {
    let scripts = try steps() + clips() + weights() + lateness() + others() + faults()
    let vectors = try scripts.map { try $0.completed() } + parts()
    return vectors.sorted { $0.name < $1.name }
  }

  /// A fold of one module of two inputs and two outputs: four coordinates, two factors.
  struct Script {
    var name: String
    var comment: String
    var expect = "success"
    var rules: [(String, String)] = []
    var lines: [(String, String)] = []
    var body: [UInt8] = []

    init(_ name: String, _ comment: String, expect: String = "success") {
      self.name = name
      self.comment = comment
      self.expect = expect
    }

    func with(_ key: String, _ value: String) -> Script {
      var script = self
      script.rules.append((key, value))
      return script
    }

    /// Begins a round.
    func round(_ round: Int) -> Script {
      var script = self
      script.lines.append(("round", "\(round)"))
      return script
    }

    /// Adds a contribution to the round: who, its round, its tokens, and A's and B's exponent and
    /// symbols.
    func add(
      _ author: String, of round: Int, tokens: UInt64 = 1_000, isRecalled: Bool = false,
      landing: Int? = nil, name: String? = nil, exponents: [Int] = [30, 30],
      symbols: [Int]
    ) -> Script {
      var script = self
      let id = ContentID(of: Array((name ?? "\(author) \(round)").utf8), kind: .entry)
      let lab = ContentID(of: Array(author.utf8), kind: .lab)
      var facts = "id=\(id) author=\(lab) round=\(round) tokens=\(tokens)"
      if isRecalled { facts += " recalled" }
      if let landing { facts += " landing=\(landing)" }
      script.lines.append(("contribution", facts))
      // A block of zeros has exponent 0.
      let canonical = exponents.enumerated().map { index, exponent in
        symbols[2 * index] == 0 && symbols[2 * index + 1] == 0 ? 0 : exponent
      }
      script.lines.append(("exponents", MergeScript.list(canonical)))
      script.lines.append(("symbols", MergeScript.list(symbols)))
      return script
    }

    /// The vector, with what holds after each round as the fold computes it.
    func completed() throws -> VectorFile {
      let fields =
        [
          ("expect", expect), ("comment", comment), ("kind", "fold"), ("rank", "1"),
          ("alpha", "1"), ("module", "m 2 2"), ("seed", "00"),
        ] + rules
      let plain = VectorFile(name, fields + lines, body: body)
      guard expect == "success" else { return plain }
      return VectorFile(name, fields + (try MergeScript(plain).annotated()), body: body)
    }
  }

  /// A state whose coordinates stand where one wants them.
  static func snapshot(theta: [Int64], velocity: [Int64], medians: [UInt64]) throws -> [UInt8] {
    let layout = try MergeScript.smallLayout()
    var bytes = Array("HANSESTA".utf8) + [1, 0, 0, 0, 0, 0, 0, 0] + layout.id.bytes
    let words = medians + (theta + velocity).map { UInt64(bitPattern: $0) }
    for word in words {
      for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * shift))) }
    }
    return bytes
  }

  // MARK: Steps

  private static func steps() -> [Script] {
    let plain: [Int] = [7, -7, 1, 0]
    return [
      Script("fold_alone", "The first round, one contribution: not clipped.")
        .round(1).add("a", of: 1, symbols: plain),
      Script("fold_two", "The first round, two contributions of other sizes: not clipped.")
        .round(1).add("a", of: 1, symbols: plain)
        .add("b", of: 1, exponents: [36, 36], symbols: [7, 7, 7, 7]),
      Script("fold_momentum", "Three rounds; the velocity carries on.")
        .round(1).add("a", of: 1, symbols: plain)
        .round(2).add("a", of: 2, symbols: [0, 0, 1, -1])
        .round(3).add("a", of: 3, symbols: [-1, -1, -1, -1]),
      Script("fold_rounds_skipped", "Rounds need not follow each other.")
        .round(2).add("a", of: 2, symbols: plain)
        .round(9).add("a", of: 9, symbols: plain),
      Script("fold_any_order", "Neither in the order of ids, nor each only once.")
        .round(1).add("c", of: 1, tokens: 7, symbols: [1, 2, 3, 4])
        .add("a", of: 1, tokens: 8, symbols: [4, 3, 2, 1])
        .add("b", of: 1, tokens: 9, symbols: [1, 1, 1, 1])
        .add("a", of: 1, tokens: 8, symbols: [4, 3, 2, 1])
        .add("c", of: 1, tokens: 7, symbols: [1, 2, 3, 4]),
      Script("fold_half_even", "Half units go to the even neighbour, below zero too.")
        .with("outer-rate", "32768").with("momentum", "0")
        .round(1).add("a", of: 1, exponents: [0, 0], symbols: [1, 3, -1, -3]),
      Script("fold_momentum_half_even", "Halves of the momentum go to the even neighbour.")
        .with("outer-rate", "65536").with("momentum", "32768")
        .round(1).add("a", of: 1, exponents: [0, 0], symbols: [1, 3, -1, -3])
        .round(2).add("a", of: 2, exponents: [0, 0], symbols: [1, 1, 1, 1]),
      Script("fold_empty_round", "All recalled: no step, the momentum waits.")
        .round(1).add("a", of: 1, symbols: plain)
        .round(2).add("a", of: 2, isRecalled: true, symbols: plain)
        .round(3).add("a", of: 3, symbols: plain),
      Script(
        "fold_recalled", "A recalled contribution counts for nothing, not for a median either."
      )
      .round(1).add("a", of: 1, symbols: plain)
      .add("b", of: 1, isRecalled: true, exponents: [36, 36], symbols: [7, 7, 7, 7])
      .add("c", of: 1, symbols: [1, 1, 1, 1])
      .add("d", of: 1, isRecalled: true, exponents: [0, 0], symbols: [1, 1, 1, 1]),
    ]
  }

  // MARK: Clips

  private static func clips() -> [Script] {
    [
      Script("clip_median", "Three contributions: the longest is clipped to the middle one.")
        .round(1).add("a", of: 1, exponents: [20, 20], symbols: [3, 4, 1, 0])
        .add("b", of: 1, exponents: [21, 21], symbols: [3, 4, 0, 1])
        .add("c", of: 1, exponents: [33, 22], symbols: [7, -5, 5, 5]),
      Script("clip_lower_median", "Of four norms the second is the limit.")
        .round(1).add("a", of: 1, exponents: [20, 20], symbols: [1, 0, 1, 0])
        .add("b", of: 1, exponents: [21, 21], symbols: [1, 0, 1, 0])
        .add("c", of: 1, exponents: [22, 22], symbols: [1, 0, 1, 0])
        .add("d", of: 1, exponents: [23, 23], symbols: [1, 0, 1, 0]),
      Script("clip_zero_median", "Two do not touch B, so the third's B is clipped to nothing.")
        .round(1).add("a", of: 1, exponents: [20, 0], symbols: [1, 0, 0, 0])
        .add("b", of: 1, exponents: [20, 0], symbols: [1, 0, 0, 0])
        .add("c", of: 1, exponents: [20, 20], symbols: [1, 0, 1, 1]),
      Script("clip_remembered", "Alone, and far longer than the round before: clipped to that one.")
        .round(1).add("a", of: 1, exponents: [20, 20], symbols: [3, 4, 1, 1])
        .round(2).add("a", of: 2, exponents: [36, 36], symbols: [3, 4, 1, 1])
        .round(3).add("a", of: 3, exponents: [36, 36], symbols: [3, 4, 1, 1]),
      Script("clip_remembered_zero", "Nothing is remembered of a factor that nobody touched.")
        .round(1).add("a", of: 1, exponents: [0, 20], symbols: [0, 0, 1, 1])
        .round(2).add("a", of: 2, exponents: [30, 20], symbols: [3, 4, 1, 1]),
      Script("clip_remembered_shrinks", "The remembered norm shrinks at once, grows by doubling.")
        .round(1).add("a", of: 1, exponents: [30, 30], symbols: [3, 4, 1, 1])
        .round(2).add("a", of: 2, exponents: [10, 10], symbols: [3, 4, 1, 1])
        .round(3).add("a", of: 3, exponents: [30, 30], symbols: [3, 4, 1, 1]),
      Script("clip_quorum_grows", "Three contributions may grow as they like.")
        .round(1).add("a", of: 1, exponents: [10, 10], symbols: [3, 4, 1, 1])
        .round(2).add("a", of: 2, exponents: [30, 30], symbols: [3, 4, 1, 1])
        .add("b", of: 2, exponents: [30, 30], symbols: [3, 4, 1, 1])
        .add("c", of: 2, exponents: [30, 30], symbols: [3, 4, 1, 1]),
    ]
  }

  // MARK: Weights

  private static func weights() -> [Script] {
    // All of one length, so that nothing is clipped.
    let symbols = [[7, 1, 7, 1], [1, 7, 1, 7], [-1, 7, -7, 1]]
    func three(_ name: String, _ comment: String, _ tokens: [UInt64]) -> Script {
      var script = Script(name, comment).with("outer-rate", "65536").with("momentum", "0").round(1)
      for (index, count) in tokens.enumerated() {
        script = script.add("lab \(index)", of: 1, tokens: count, symbols: symbols[index])
      }
      return script
    }
    return [
      three("weight_equal", "Three thirds; the odd unit goes to the lowest id.", [5, 5, 5]),
      three("weight_capped", "A forged count weighs no more than the median.", [10, 1 << 40, 10]),
      three("weight_remainders", "Half as many tokens, half the weight.", [2, 1, 2]),
      three("weight_largest_tokens", "Counts up to 2^64 - 1 do not overflow.", [.max, .max, 3]),
      three("weight_no_tokens", "A median of no tokens: all weigh the same.", [0, 0, 9]),
    ]
  }

  // MARK: Lateness

  private static func lateness() -> [Script] {
    let unit = [36, 36]
    func late(_ name: String, _ comment: String, _ rounds: [Int]) -> Script {
      var script = Script(name, comment).with("outer-rate", "65536").with("momentum", "0").round(5)
      for (index, round) in rounds.enumerated() {
        script = script.add("lab \(index)", of: round, exponents: unit, symbols: [1, 2, 3, 4])
      }
      return script
    }
    return [
      late("late_one", "One round late: a quarter, even alone.", [4]),
      late("late_two", "Two rounds late: a ninth.", [3]),
      late("late_three", "Three rounds late: nothing, and no step.", [2]),
      late("late_mixed", "In time, one and two and three late together.", [5, 4, 3, 2]),
      late("late_limit_zero", "A charter that wants nothing late.", [5, 4])
        .with("lateness-limit", "0"),
    ]
  }

  // MARK: Saturation and the other rules

  private static func others() throws -> [Script] {
    let limit: Int64 = 1 << 58
    var saturation = Script("saturation", "Both sums stop at 2^58, either way.")
      .with("outer-rate", "1048576").with("momentum", "65535")
    saturation.body = try snapshot(
      theta: [limit - 1, -limit, 5, -5], velocity: [limit, -limit, limit - 1, 1 - limit],
      medians: [0, 0])
    let symbols = [[1, 2, 3, 4], [4, -3, 2, -1], [2, 2, -2, -2], [5, 5, 5, 5], [-6, 1, 0, 7]]
    func rule(_ name: String, _ rule: String, _ comment: String, _ count: Int) -> Script {
      var script = Script(name, comment).with("rule", rule).round(1)
      for index in 0..<count {
        script = script.add(
          "lab \(index)", of: 1, tokens: UInt64(index + 1), exponents: [30, 31],
          symbols: symbols[index])
      }
      return script
    }
    return [
      saturation.round(1).add("a", of: 1, exponents: [36, 36], symbols: [7, -7, 7, -7]),
      rule("median_odd", "median", "The middle one of three.", 3),
      rule("median_even", "median", "The mean of the middle two of four.", 4),
      rule("median_two", "median", "The mean of two.", 2),
      rule("nnm_three", "nnm-trimmed-mean", "Fewer than four: their mean, tokens ignored.", 3),
      rule("nnm_four", "nnm-trimmed-mean", "Each mixed with its two nearest, one trimmed.", 4),
      rule("nnm_five", "nnm-trimmed-mean", "Each mixed with its three nearest, one trimmed.", 5),
      rule("nnm_tie", "nnm-trimmed-mean", "Equal distances: the lower ids are nearer.", 4)
        .add("lab 9", of: 1, exponents: [30, 31], symbols: symbols[0]),
    ]
  }

  // MARK: Faults

  private static func faults() -> [Script] {
    let plain = [1, 2, 3, 4]
    func fault(_ name: String, _ check: String, _ comment: String) -> Script {
      Script("fault_" + name, comment, expect: check)
    }
    return [
      fault("rule", "rule", "A rule that is not known.").with("rule", "krum"),
      fault("outer_rate_zero", "outer-rate", "An outer rate of 0.").with("outer-rate", "0"),
      fault("outer_rate_large", "outer-rate", "An outer rate above 16.")
        .with("outer-rate", "1048577"),
      fault("momentum", "momentum", "A momentum of 1.").with("momentum", "65536"),
      fault("lateness_limit", "lateness-limit", "A lateness limit of 3.")
        .with("lateness-limit", "3"),
      fault("round_again", "round", "One round twice.")
        .round(1).add("a", of: 1, symbols: plain).round(1).add("b", of: 1, symbols: plain),
      fault("round_zero", "round", "Round 0 is the start's.").round(0),
      fault("landing", "landing", "A contribution that lands elsewhere.")
        .round(2).add("a", of: 1, landing: 1, symbols: plain),
      fault("before_its_round", "landing", "A contribution that lands before its own round.")
        .round(2).add("a", of: 3, symbols: plain),
      fault("conflict", "conflict", "One id, two counts of tokens.")
        .round(1).add("a", of: 1, tokens: 1, symbols: plain)
        .add("a", of: 1, tokens: 2, symbols: plain),
      fault("twice", "twice", "Two contributions of a lab in one round.")
        .round(1).add("a", of: 1, name: "x", symbols: plain)
        .add("a", of: 1, name: "y", symbols: plain),
    ]
  }
}
