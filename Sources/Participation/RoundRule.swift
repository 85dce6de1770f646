import Determinism
import Identities

/// When a node may leave a round: rounds without a clock.
///
/// It leaves when every lab that is present and trains has been heard and judged, or when a quorum
/// of them has and a grace has passed that follows from the missing labs' own record, or when
/// others have moved on, or when something is admitted and nothing has happened for several graces:
/// a judge that keeps silent must hold nobody up. Protocol/Rounds.md.
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

  /// Least seconds of grace, from the rules.
  package var leastGrace: Double
  /// Least graces without anything new after which a round is left that has something admitted.
  package static let patience = 4.0
  /// Rounds of a lab's record that count.
  package static let recordMax = 8
  /// Rounds behind the current one in which a late lab's contribution still tells how slow it is.
  package static let roundsWatched = 4

  /// What is known of how a round went.
  private struct Course {
    var round: UInt32
    /// When this node came into the round.
    var began: Instant
    /// When the first contribution was decided, and whose have been.
    var firstHeard: Instant?
    var heard: Set<LabID> = []
    /// Those that were noted last.
    var noted: [LabID] = []
  }

  /// How long others waited for a lab.
  private struct Record {
    var lab: LabID
    /// Seconds from a round's first decided contribution to this lab's, in the latest rounds.
    var lags: [Double] = []
    /// Rounds left without it since it was last heard.
    var missed = 0
  }

  /// The latest rounds, ascending.
  private var courses: [Course] = []
  /// Sorted by lab.
  private var records: [Record] = []
  private var lastMissing: (trainers: [LabID], decided: [LabID], missing: [LabID])?
  private var quorumSince: Instant?
  private var known = 0
  private var knownSince: Instant?
  /// Seconds without anything new that are too many.
  private var silence: Double
  /// What the quorum grants the rest now.
  package private(set) var grace: Double

  package init(leastGrace: Double) {
    self.leastGrace = leastGrace
    grace = leastGrace
    silence = Self.patience * leastGrace
  }

  /// Notes whose contributions to a round are decided; also of rounds that were left already, since
  /// a lab that came too late has shown how long it takes.
  package mutating func observe(round: UInt32, decided: [LabID], now: Instant) {
    guard let index = courses.firstIndex(where: { $0.round == round }),
      courses[index].noted != decided
    else { return }
    courses[index].noted = decided
    for lab in decided where !courses[index].heard.contains(lab) {
      let first = courses[index].firstHeard ?? now
      courses[index].firstHeard = first
      courses[index].heard.insert(lab)
      change(lab) { record in
        record.lags.append(now.seconds(since: first))
        if record.lags.count > Self.recordMax { record.lags.removeFirst() }
        record.missed = 0
      }
    }
  }

  /// The round to adopt up to, or nil to stay.
  package mutating func leave(_ facts: Facts, now: Instant) -> UInt32? {
    enter(facts.round, now)
    observe(round: facts.round, decided: facts.decided, now: now)
    if knownSince == nil || known != facts.known {
      known = facts.known
      knownSince = now
    }
    if facts.furthest > facts.round { return facts.furthest - 1 }
    let missing = missing(facts)
    let course = courses[courses.count - 1]
    let toFirst = (course.firstHeard ?? now).seconds(since: course.began)
    silence = max(Self.patience * leastGrace, 2 * expected(of: missing, unknown: toFirst))
    guard !facts.admitted.isEmpty else { return nil }
    if missing.isEmpty { return facts.round }
    if isStuck(now: now) { return left(missing, facts) }
    guard (facts.trainers.count - missing.count) * 2 > facts.trainers.count else {
      quorumSince = nil
      return nil
    }
    let since = quorumSince ?? now
    quorumSince = since
    // No round is made more than twice as long.
    let took = since.seconds(since: course.began)
    grace = max(leastGrace, min(took, expected(of: missing, unknown: took)))
    return now.seconds(since: since) >= grace ? left(missing, facts) : nil
  }

  /// Labs that train and have not been heard; most calls ask the same as the one before.
  private mutating func missing(_ facts: Facts) -> [LabID] {
    if let last = lastMissing, last.trainers == facts.trainers, last.decided == facts.decided {
      return last.missing
    }
    let decided = Set(facts.decided)
    let missing = facts.trainers.filter { !decided.contains($0) }
    lastMissing = (facts.trainers, facts.decided, missing)
    return missing
  }

  /// Whether no contribution and no verdict of the round has come for several graces.
  package func isStuck(now: Instant) -> Bool {
    knownSince.map { now.seconds(since: $0) >= silence } ?? false
  }

  /// Seconds until the grace ends, while a quorum waits.
  package func remaining(now: Instant) -> Double? {
    quorumSince.map { max(0, grace - now.seconds(since: $0)) }
  }

  /// Seconds that the slowest of these labs may still take: twice what it has needed at most
  /// lately, and half of that again for each round in a row that went by without it; `unknown` for
  /// whoever has no record.
  private func expected(of missing: [LabID], unknown: Double) -> Double {
    missing.map { lab -> Double in
      let index = place(of: lab)
      let record = index < records.count && records[index].lab == lab ? records[index] : nil
      let usual = (record?.lags.max()).map { 2 * $0 } ?? unknown
      return usual / Double(UInt64(1) << UInt64(min(record?.missed ?? 0, 20)))
    }.max() ?? 0
  }

  private mutating func left(_ missing: [LabID], _ facts: Facts) -> UInt32 {
    for lab in missing { change(lab) { $0.missed += 1 } }
    return facts.round
  }

  private mutating func enter(_ round: UInt32, _ now: Instant) {
    guard courses.last?.round != round else { return }
    courses.removeAll { $0.round >= round }
    courses.append(Course(round: round, began: now))
    if courses.count > Self.roundsWatched { courses.removeFirst() }
    quorumSince = nil
    knownSince = nil
    grace = leastGrace
  }

  /// Where a lab's record is, or belongs.
  private func place(of lab: LabID) -> Int {
    var low = 0
    var high = records.count
    while low < high {
      let middle = (low + high) / 2
      if records[middle].lab < lab { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private mutating func change(_ lab: LabID, _ body: (inout Record) -> Void) {
    let index = place(of: lab)
    if index == records.count || records[index].lab != lab {
      records.insert(Record(lab: lab), at: index)
    }
    body(&records[index])
  }
}
