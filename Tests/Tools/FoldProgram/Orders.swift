import Adapters
import Deltas
import Determinism
import Identities
@_spi(Vectors) import Ledger
import Merging

#if !hasFeature(Embedded)
  import Dispatch
#endif

/// One set of contributions, folded in many orders and batches: every state root that came out.
///
/// Everything is drawn from the seed, so that any machine and any build folds the same set.
struct Orders: Sendable {
  private struct Contribution: Sendable {
    let facts: AdmittedContribution
    let delta: Delta
  }

  private let seed: UInt64
  private let labs: Int
  private let rounds: Int
  private let orders: Int
  private let threads: Int

  init(_ vector: Vector) {
    seed = UInt64(vector.number("seed", otherwise: 1))
    labs = max(1, vector.number("labs", otherwise: 9))
    rounds = max(1, vector.number("rounds", otherwise: 3))
    orders = max(1, vector.number("orders", otherwise: 100))
    threads = max(1, vector.number("threads", otherwise: 1))
  }

  /// A line for each rule: its name, how many orders were folded, and the root or roots.
  func outcome() -> String {
    var text = ""
    for rule in FoldRules.Rule.allCases {
      var roots: [ContentID] = []
      for root in everyRoot(rule) where !roots.contains(root) { roots.append(root) }
      text += rule.rawValue + ": " + orders.description + " orders"
      for root in roots.sorted() { text += " " + root.description }
      text += "\n"
    }
    return text
  }

  private func everyRoot(_ rule: FoldRules.Rule) -> [ContentID] {
    do throws(Refusal) {
      let layout = try layout()
      let set = try contributions(layout)
      #if hasFeature(Embedded)
        return try folded(set, layout, rule, orders: 0..<orders)
      #else
        let parts = Parts(count: threads)
        let group = DispatchGroup()
        for part in 0..<threads {
          let range = orders * part / threads..<orders * (part + 1) / threads
          // A queue for each, so that there is a thread for each whatever the machine has.
          DispatchQueue(label: "orders \(part)").async(group: group) {
            parts.set(part, (try? folded(set, layout, rule, orders: range)) ?? [])
          }
        }
        group.wait()
        return parts.all
      #endif
    } catch {
      return []
    }
  }

  private func layout() throws(Refusal) -> AdapterLayout {
    do throws(AdapterError) {
      return try AdapterLayout(
        rank: 3, alpha: 6,
        modules: [
          AdapterModule(path: "q", inputs: 50, outputs: 7),
          AdapterModule(path: "v", inputs: 43, outputs: 44),
        ])
    } catch {
      throw .check(error.check)
    }
  }

  /// What lands in each round: some late, some recalled, of magnitudes that differ wildly.
  private func contributions(_ layout: AdapterLayout) throws(Refusal) -> [[Contribution]] {
    var generator = SeededGenerator(seed: seed)
    var all: [[Contribution]] = []
    for round in 1...UInt32(rounds) {
      var landing: [Contribution] = []
      for lab in 0..<labs {
        let late = min(UInt32(generator.below(3)), round - 1)
        let name = round.description + "/" + lab.description
        let author = ContentID(of: Array(("lab " + lab.description).utf8), kind: .lab)
        landing.append(
          Contribution(
            facts: AdmittedContribution(
              vector: ContentID(of: Array(name.utf8), kind: .entry),
              author: LabID(bytes: author.bytes)!, round: round - late, landingRound: round,
              tokens: 1 + generator.next() >> 44, isRecalled: generator.below(6) == 0),
            delta: try delta(layout, &generator)))
      }
      all.append(landing)
    }
    return all
  }

  private func delta(
    _ layout: AdapterLayout, _ generator: inout SeededGenerator
  ) throws(Refusal) -> Delta {
    var exponents: [Int8] = []
    var symbols: [Int8] = []
    for factor in layout.factors {
      for start in stride(from: 0, to: factor.count, by: 128) {
        var isZero = true
        for _ in start..<min(start + 128, factor.count) {
          let symbol = Int8(generator.below(15)) - 7
          isZero = isZero && symbol == 0
          symbols.append(symbol)
        }
        let exponent = Int8(generator.below(17)) + 20
        exponents.append(isZero ? 0 : exponent)
      }
    }
    do throws(DeltaError) {
      return try Delta(layout: layout, exponents: exponents, symbols: symbols)
    } catch {
      throw .check(error.check)
    }
  }

  private func folded(
    _ set: [[Contribution]], _ layout: AdapterLayout, _ rule: FoldRules.Rule, orders: Range<Int>
  ) throws(Refusal) -> [ContentID] {
    var roots: [ContentID] = []
    do throws(FoldError) {
      let rules = try FoldRules(rule: rule)
      for order in orders {
        var generator = SeededGenerator(seed: seed, stream: UInt64(order))
        var state = FoldState.start(layout: layout, seed: [7])
        for (index, landing) in set.enumerated() {
          state = try inBatches(landing, onto: state, UInt32(index + 1), rules, &generator)
        }
        let root = state.root
        if !roots.contains(root) { roots.append(root) }
      }
    } catch {
      throw .check(error.check)
    }
    return roots
  }

  /// The round's contributions arrive one batch after the other, some twice, and are folded anew
  /// after each, as a node does that hears of them late. The last fold counts.
  private func inBatches(
    _ landing: [Contribution], onto state: FoldState, _ round: UInt32, _ rules: FoldRules,
    _ generator: inout SeededGenerator
  ) throws(FoldError) -> FoldState {
    var queue = landing
    for last in stride(from: queue.count - 1, to: 0, by: -1) {
      queue.swapAt(last, generator.below(last + 1))
    }
    for _ in 0..<generator.below(3) { queue.append(queue[generator.below(landing.count)]) }
    var here: [Contribution] = []
    var folded = state
    while here.count < queue.count {
      let size = min(1 + generator.below(queue.count), queue.count - here.count)
      here += queue[here.count..<here.count + size]
      var facts: [AdmittedContribution] = []
      for one in here { facts.append(one.facts) }
      let fold = try RoundFold(
        onto: state, group: LandingGroup(round: round, contributions: facts), rules: rules)
      var deltas: [Delta] = []
      for weighing in fold.weighing {
        for one in here where one.facts.id == weighing.id {
          deltas.append(one.delta)
          break
        }
      }
      folded = try fold.folded(deltas)
    }
    return folded
  }
}

extension SeededGenerator {
  /// A number below a small bound. Not quite uniform, which matters to nobody here.
  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}

#if !hasFeature(Embedded)
  /// What several threads found, each in its own place.
  private final class Parts: @unchecked Sendable {
    private var found: [[ContentID]]
    private let lock = DispatchSemaphore(value: 1)

    init(count: Int) { found = Array(repeating: [], count: count) }

    func set(_ part: Int, _ roots: [ContentID]) {
      lock.wait()
      found[part] = roots
      lock.signal()
    }

    var all: [ContentID] { found.flatMap { $0 } }
  }
#endif
