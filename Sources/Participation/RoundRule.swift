import Determinism
import Identities

/// When a node may leave a round: rounds without a clock.
///
/// It leaves when every lab that is present and trains has been heard and judged, or when a quorum
/// of them has and a grace has passed that follows from the spread it has seen, or when others have
/// moved on, or when something is admitted and nothing has happened for several graces: a judge
/// that keeps silent must hold nobody up. Protocol/Rounds.md.
package struct RoundRule: Sendable {
  /// What is known of the round that a node is in.
  package struct Facts {
    /// The round.
    package var round: UInt32
    /// Labs that train and are present, this one included if it trains.
    package var trainers: [LabID]
    /// Labs with an admitted contribution in the round.
    package var admitted: [LabID]
    /// Labs whose contribution to the round is admitted or rejected.
    package var decided: [LabID]
    /// The highest round of an admitted contribution whose base can be folded here.
    package var furthest: UInt32
    /// Contributions to the round and verdicts on them, as many as are known.
    package var known: Int

    package init(
      round: UInt32, trainers: [LabID], admitted: [LabID], decided: [LabID], furthest: UInt32,
      known: Int = 0
    ) {
      self.known = known
      self.round = round
      self.trainers = trainers
      self.admitted = admitted
      self.decided = decided
      self.furthest = furthest
    }
  }

  /// Least seconds of grace, from the charter.
  package let leastGrace: Double
  private var quorumSince: Instant?
  private var quorumRound: UInt32 = 0
  private var spreads: [Double] = []
  private var firstHeard: Instant?
  private var known = 0
  private var knownSince: Instant?
  /// Graces without anything new after which a round is left that has something admitted.
  package static let patience = 4.0

  package init(leastGrace: Double) { self.leastGrace = leastGrace }

  /// Seconds that a quorum waits for the rest: twice the widest recent spread, at least the
  /// charter's.
  package var grace: Double { max(leastGrace, 2 * (spreads.max() ?? 0)) }

  /// The round to adopt up to, or nil to stay.
  package mutating func leave(_ facts: Facts, now: Instant) -> UInt32? {
    if quorumRound != facts.round {
      quorumRound = facts.round
      quorumSince = nil
      firstHeard = nil
      knownSince = nil
    }
    if knownSince == nil || known != facts.known {
      known = facts.known
      knownSince = now
    }
    if firstHeard == nil, !facts.decided.isEmpty { firstHeard = now }
    if facts.furthest > facts.round { return facts.furthest - 1 }
    guard !facts.admitted.isEmpty else { return nil }
    if facts.trainers.allSatisfy(facts.decided.contains) {
      if let firstHeard { note(spread: now.seconds(since: firstHeard)) }
      return facts.round
    }
    if let knownSince, now.seconds(since: knownSince) >= Self.patience * grace {
      return facts.round
    }
    let heard = facts.trainers.count { facts.decided.contains($0) }
    guard heard * 2 > facts.trainers.count else {
      quorumSince = nil
      return nil
    }
    let since = quorumSince ?? now
    quorumSince = since
    return now.seconds(since: since) >= grace ? facts.round : nil
  }

  /// Seconds until the grace ends, while a quorum waits.
  package func remaining(now: Instant) -> Double? {
    quorumSince.map { max(0, grace - now.seconds(since: $0)) }
  }

  private mutating func note(spread: Double) {
    spreads.append(spread)
    if spreads.count > 8 { spreads.removeFirst() }
  }
}
