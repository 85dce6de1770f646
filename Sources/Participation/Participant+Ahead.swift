import Identities
import Ledger
import Records

/// What a node does with its machine while it waits, and what interrupts it.
extension Participant {
  /// Training for the next round from what the head will be when nothing more comes; nil when there
  /// is nothing to run ahead of, or it has been done.
  mutating func running(aheadOf facts: RoundRule.Facts, last: UInt32?) -> Step? {
    let isOver = last.map { facts.round >= $0 } ?? false
    guard settings.trains, !isOver, !facts.admitted.isEmpty,
      !logbook.contributions(ofRound: facts.round, by: lab).isEmpty
    else { return nil }
    let set = closure(upTo: facts.round)
    guard set.round == facts.round, prepared != logbook.mergeID(of: set) else { return nil }
    let next = logbook.merge(of: set)
    return isFoldable(next) ? .ahead(next) : nil
  }

  /// Tells the round rule how long labs took that came after this node had left their round.
  mutating func observeLatecomers(before round: UInt32) {
    if let seen = latecomers, seen.statuses == logbook.statusRevision, seen.round == round {
      return
    }
    latecomers = (logbook.statusRevision, round)
    let first = max(1, Int64(round) - Int64(RoundRule.roundsWatched))
    for earlier in stride(from: first, to: Int64(round), by: 1).map({ UInt32($0) }) {
      rule.observe(
        round: earlier,
        decided: logbook.contributions(ofRound: earlier).filter(\.isDecided).map(\.author),
        now: moment.now)
    }
  }
}

extension Step {
  /// Whether a node that trains for a round leaves that for this: for another lab's contribution,
  /// which waits for a verdict, and when others are so far that what it trains would weigh nothing
  /// (Protocol/Merge.md, lateness). The run is kept, and goes on afterwards.
  package func interrupts(trainingFor round: UInt32) -> Bool {
    switch self {
    case .judge: true
    case .adopt(let merge): merge.frontier.round > round + Self.latenessMax
    case .wait(let waiting): waiting == .removed
    case .train, .measure, .ahead, .finish: false
    }
  }

  /// Whether this is to run ahead from a merge.
  package func isAhead(of merge: Hanse_V1_Merge) -> Bool {
    if case .ahead(let other) = self { return other.id == merge.id }
    return false
  }

  /// Rounds after which a contribution still lands with a weight.
  private static let latenessMax: UInt32 = 2
}
