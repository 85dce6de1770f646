import FoundationEssentials
import Identities
import Records

/// What a set of contributions folds to.
///
/// What was admitted stays so until everything is counted anew, and a contribution's base is what
/// it is: entries that come later change nothing here.
struct Landing: Sendable {
  /// Of the contributions.
  let digest: ContentID
  /// What the merge's roster has recalled.
  let recalled: [ContentID]
  /// How often the logs had been counted anew.
  let recounts: UInt64
  let groups: [LandingGroup]
}

/// How the set landed that was looked at last, so that one that differs in its newest rounds is
/// looked at from there on.
struct Course: Sendable {
  let recounts: UInt64
  let recalled: [ContentID]
  /// The set's round.
  let round: UInt32
  /// By round and id.
  let inOrder: [Standing]
  /// Landing rounds in that order; 0 for what no other counts, which lands in the set's own round.
  let landing: [UInt32]
  let groups: [LandingGroup]

  /// The lowest round in which another set differs from this one; one more than the highest of both
  /// when none does.
  func firstDifference(from other: [Standing]) -> UInt32 {
    let shorter = min(inOrder.count, other.count)
    var same = 0
    while same < shorter, inOrder[same].place == other[same].place { same += 1 }
    let rounds = [inOrder, other].compactMap { same < $0.count ? $0[same].round : nil }
    return rounds.min() ?? round &+ 1
  }
}

extension Logbook {
  /// What a merge folds, round by round, empty rounds left out.
  ///
  /// - Throws: ``LedgerError``, also when a member of the frontier is not admitted here.
  public mutating func landingGroups(
    of merge: Hanse_V1_Merge
  ) throws(LedgerError) -> [LandingGroup] {
    settle()
    let expansion = try expand(merge.frontier)
    let recalled = roster(version: merge.rosterVersion)?.recalled ?? []
    let known = landings.last { landing in
      landing.recounts == recounts && landing.digest == expansion.digest
        && landing.recalled == recalled
    }
    if let known { return known.groups }
    let groups = try landingGroups(of: expansion, recalled: recalled)
    landings.append(
      Landing(
        digest: expansion.digest, recalled: recalled, recounts: recounts, groups: groups))
    if landings.count > Self.landingsMax { landings.removeFirst() }
    return groups
  }

  private mutating func landingGroups(
    of expansion: Expansion, recalled: [ContentID]
  ) throws(LedgerError) -> [LandingGroup] {
    guard expansion.places.isSubset(of: admitted) else { throw .wrongMembers }
    let inOrder = contributionOrder.filter { expansion.places.contains($0.place) }
    let last = course?.recounts == recounts ? course : nil
    // A base has lower rounds only, so below the first difference everything landed just so, except
    // what is first counted from there on.
    let first = last?.firstDifference(from: inOrder) ?? 0
    let landing = try landingRounds(inOrder, in: expansion, after: last, from: first)
    let hasSameRecalls = last?.recalled == recalled
    var groups = last.map { $0.groups.filter { $0.round &+ 1 < first } } ?? []
    if !hasSameRecalls { groups = [] }
    let isKept = { (round: UInt32) in hasSameRecalls && round != 0 && round &+ 1 < first }
    groups += landed(inOrder, landing, in: expansion, besides: isKept, after: groups, recalled)
    course = Course(
      recounts: recounts, recalled: recalled, round: expansion.round, inOrder: inOrder,
      landing: landing, groups: groups)
    return groups
  }

  /// The landing round of every contribution of a frontier: one less than the lowest round of those
  /// that count it in their base, else the frontier's own, for which 0 stands here.
  ///
  /// Read upwards, the first that counts a contribution decides, and only what has not landed yet
  /// has to be looked for: years of rounds cost a step each, not a step for each pair.
  private mutating func landingRounds(
    _ inOrder: [Standing], in expansion: Expansion, after last: Course?, from first: UInt32
  ) throws(LedgerError) -> [UInt32] {
    var next = inOrder.firstIndex { $0.round >= first } ?? inOrder.count
    var landing = [UInt32](repeating: 0, count: inOrder.count)
    var afloat: [Int] = []
    for index in 0..<next {
      if let round = last?.landing[index], round != 0, round &+ 1 < first {
        landing[index] = round
      } else {
        afloat.append(index)
      }
    }
    var seen: Set<Data> = []
    for standing in inOrder[next...] {
      guard let state = contributions[standing.id] else { throw .wrongMembers }
      // Labs of one round mostly share their base.
      guard seen.insert(state.message.base.frontier.members).inserted else { continue }
      let base = try base(of: state)
      guard base.isSubset(of: expansion) else { throw .wrongMembers }
      while next < inOrder.count, inOrder[next].round < standing.round {
        afloat.append(next)
        next += 1
      }
      afloat.removeAll { index in
        guard base.places.contains(inOrder[index].place) else { return false }
        landing[index] = standing.round - 1
        return true
      }
    }
    return landing
  }

  /// The groups of what landed in other rounds than those that are kept.
  private func landed(
    _ inOrder: [Standing], _ landing: [UInt32], in expansion: Expansion,
    besides isKept: (UInt32) -> Bool, after kept: [LandingGroup], _ recalled: [ContentID]
  ) -> [LandingGroup] {
    guard let start = landing.firstIndex(where: { !isKept($0) }) else { return [] }
    let rounds = landing.map { $0 == 0 ? expansion.round : $0 }
    var weightless = Set(recalled)
    // Of a round whose other tries have landed long ago, too.
    let lowest = inOrder.firstIndex { $0.round >= inOrder[start].round } ?? 0
    weightless.formUnion(superseded(inOrder[lowest...], rounds))
    var groups: [UInt32: [AdmittedContribution]] = [:]
    var versions: [UInt32: UInt32] = [:]
    for index in start..<inOrder.count where !isKept(landing[index]) {
      guard let state = contributions[inOrder[index].id] else { continue }
      let round = rounds[index]
      versions[round] = max(versions[round] ?? 1, state.entry.rosterVersion)
      groups[round, default: []].append(
        AdmittedContribution(
          id: state.id, author: state.author, round: state.round, landingRound: round,
          tokens: state.message.tokens, isRecalled: weightless.contains(state.id)))
    }
    // Once a round was folded under a version, no later one goes back behind it.
    var version = kept.last?.rosterVersion ?? 1
    return groups.keys.sorted().map { round in
      version = max(version, versions[round] ?? 1)
      return LandingGroup(
        round: round, rosterVersion: version, contributions: groups[round] ?? [])
    }
  }

  /// Tries that weigh nothing because another of the same author and round does: the one that lands
  /// first, and of those that land together the last try.
  private func superseded(_ some: ArraySlice<Standing>, _ landing: [UInt32]) -> [ContentID] {
    var result: [ContentID] = []
    var weighing: [LabID: (state: ContributionState, landing: UInt32)] = [:]
    var round: UInt32 = 0
    for index in some.indices {
      guard let state = contributions[some[index].id] else { continue }
      if state.round != round {
        round = state.round
        weighing = [:]
      }
      let mine = landing[index]
      guard let other = weighing[state.author] else {
        weighing[state.author] = (state, mine)
        continue
      }
      let isLater = state.message.attempt > other.state.message.attempt
      let wins = mine < other.landing || (mine == other.landing && isLater)
      result.append(wins ? other.state.id : state.id)
      if wins { weighing[state.author] = (state, mine) }
    }
    return result
  }
}
