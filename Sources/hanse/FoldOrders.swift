import Determinism
import Dispatch
import Identities
import Ledger
import Merging

/// One round's signed entries heard in many orders and batches: every state root that came out.
///
/// From the network to the root: what arrives before its place in a log waits, what was heard is
/// judged after every batch, and what was admitted in the end is folded by each rule.
struct FoldOrders: Sendable {
  let round: PlayedRound
  let start: FoldState

  /// The roots of each rule, in the order of ``FoldRules/Rule/allCases``; one each, if all is well.
  func roots(of orders: Int, threads: Int) throws -> [Set<ContentID>] {
    let found = Found(threads)
    let group = DispatchGroup()
    for thread in 0..<threads {
      let range = orders * thread / threads..<orders * (thread + 1) / threads
      // A queue for each, so that there is a thread for each whatever the machine has.
      DispatchQueue(label: "orders \(thread)").async(group: group) {
        found.set(thread, Result { try range.map { try roots(order: $0) } })
      }
    }
    group.wait()
    let all = try found.results.flatMap { try $0.get() }
    return FoldRules.Rule.allCases.indices.map { rule in Set(all.map { $0[rule] }) }
  }

  private func roots(order: Int) throws -> [ContentID] {
    var book = try heard(order: order)
    let groups = try book.landingGroups(of: book.head { _ in true })
    return try FoldRules.Rule.allCases.map { rule in
      let rules = try FoldRules(rule: rule)
      var state = start
      for group in groups {
        state = try fold(state, group: group, deltas: { round.deltas[$0]! }, rules: rules)
      }
      return state.root
    }
  }

  /// The ledger of somebody who heard everything, in an order of this number's own.
  private func heard(order: Int) throws -> Logbook {
    var generator = SeededGenerator(seed: 1, stream: UInt64(order))
    var book = Logbook(charter: round.charter)
    var waiting = round.entries.shuffled(using: &generator)
    while !waiting.isEmpty {
      let size = Int.random(in: 1...waiting.count, using: &generator)
      var later = Array(waiting[size...])
      for entry in waiting[..<size] {
        if case .gap = try book.append(entry) { later.append(entry) }
      }
      book.settle()
      // What had to wait is asked for again, among what is still on its way.
      waiting = later.shuffled(using: &generator)
    }
    return book
  }

  /// What each thread found, each in its own place.
  private final class Found: @unchecked Sendable {
    private var places: [Result<[[ContentID]], any Error>]
    private let lock = DispatchSemaphore(value: 1)

    init(_ count: Int) { places = Array(repeating: .success([]), count: count) }

    func set(_ place: Int, _ result: Result<[[ContentID]], any Error>) {
      lock.wait()
      places[place] = result
      lock.signal()
    }

    /// Everything, once all have come.
    var results: [Result<[[ContentID]], any Error>] { places }
  }
}
