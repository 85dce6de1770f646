import FoundationEssentials
import Identities
import Records
import SwiftProtobuf

/// The contributions that a frontier stands for.
public struct Expansion: Sendable {
  /// Sorted.
  public let members: [ContentID]
  /// The same, for asking.
  public let set: Set<ContentID>
  /// The frontier's round.
  public let round: UInt32
  /// What a frontier's `members` holds.
  public let digest: ContentID
}

extension Logbook {
  /// Finds the contributions that a frontier stands for.
  ///
  /// - Throws: ``LedgerError/missing(lab:sequence:)`` or ``LedgerError/unsealed`` while entries are
  ///   still to come; the other cases say that it will never mean anything.
  public mutating func expand(_ frontier: Hanse_V1_Frontier) throws(LedgerError) -> Expansion {
    if let last = lastExpanded, last.frontier == frontier { return last.expansion }
    let result = try expandAnew(frontier)
    lastExpanded = (frontier, result)
    return result
  }

  private mutating func expandAnew(
    _ frontier: Hanse_V1_Frontier
  ) throws(LedgerError) -> Expansion {
    guard let bytes: [UInt8] = try? frontier.serializedBytes() else { throw .wrongMembers }
    let key = ContentID(of: bytes, kind: .merge)
    if let known = expansions[key] { return known }
    let under = try admissions(under: frontier.seal)
    guard frontier.round <= under.round &+ UInt32(Limits.roundsAboveSealMax) else {
      throw .tooFarAboveSeal(rounds: frontier.round - under.round)
    }
    try requireHeld(frontier.above)
    var excluded: [LabID: Set<UInt64>] = [:]
    for exclusion in frontier.excluded {
      if let lab = LabID(bytes: exclusion.lab) { excluded[lab] = Set(exclusion.sequences) }
    }
    var members = under.admitted
    var round = under.round
    for position in frontier.above {
      guard let lab = LabID(bytes: position.lab) else { throw .wrongMembers }
      for entry in contributions(of: lab, through: position.sequence) {
        guard !under.admittedSet.contains(entry.id), !under.rejected.contains(entry.id),
          !(excluded[lab]?.contains(entry.sequence) ?? false)
        else { continue }
        members.append(entry.id)
        if case .contribution(let message)? = entry.message.payload {
          round = max(round, message.round)
        }
      }
    }
    members.sort()
    let digest = ContentID.members(members)
    guard digest.bytes == Array(frontier.members), round == frontier.round
    else { throw .wrongMembers }
    let result =
      interned[digest]
      ?? Expansion(
        members: members, set: Set(members), round: frontier.round, digest: digest)
    interned[digest] = result
    expansions[key] = result
    return result
  }

  /// The contributions that a contribution was trained from.
  ///
  /// - Throws: as ``expand(_:)``.
  public mutating func base(of state: ContributionState) throws(LedgerError) -> Expansion {
    if let known = bases[state.id] { return known }
    let found = try expand(state.message.base.frontier)
    bases[state.id] = found
    return found
  }

  /// The largest frontier of admitted contributions, closed under bases.
  ///
  /// - Parameters:
  ///   - round: contributions of later rounds are left out.
  ///   - holding: whether a contribution's payload is here.
  public mutating func head(
    upTo round: UInt32 = .max, holding: (ContributionState) -> Bool
  ) -> Hanse_V1_Merge {
    merge(of: closure(upTo: round, holding: holding).set)
  }

  /// The contributions of that frontier, before it is written over a seal.
  ///
  /// - Returns: the set, and whether it follows from what is admitted and held alone: no
  ///   contribution was left out because its base cannot be told yet.
  public mutating func closure(
    upTo round: UInt32 = .max, holding: (ContributionState) -> Bool
  ) -> (set: Expansion, isComplete: Bool) {
    settle()
    // What was closed last time mostly is now: then only what came since has to be looked at.
    var found = closure(upTo: round, trusting: closed ?? Closed(), holding: holding)
    if !found.isConfirmed { found = closure(upTo: round, trusting: Closed(), holding: holding) }
    return (found.set, found.isComplete)
  }

  /// - Parameter known: what was closed last time and is taken to be so. That is confirmed when all
  ///   of it up to the round is found again: then the base of each is, too.
  private mutating func closure(
    upTo round: UInt32, trusting known: Closed, holding: (ContributionState) -> Bool
  ) -> (set: Expansion, isComplete: Bool, isConfirmed: Bool) {
    var isComplete = true
    var set: Set<ContentID> = []
    var rounds: [UInt32] = []
    // Labs of one round mostly share their base, and all of it is of lower rounds.
    var isClosed: [Data: Bool] = [:]
    var kept = 0
    for standing in contributionOrder {
      guard standing.round <= round, let state = contributions[standing.id],
        state.status == .admitted, holding(state)
      else { continue }
      if known.set.contains(state.id) {
        kept += 1
      } else if let base = try? base(of: state) {
        let digest = state.message.base.frontier.members
        let holds = isClosed[digest] ?? base.set.isSubset(of: set)
        isClosed[digest] = holds
        guard holds else { continue }
      } else {
        isComplete = false
        continue
      }
      set.insert(state.id)
      rounds.append(standing.round)
    }
    let isConfirmed = kept == known.count(upTo: round)
    // One that was asked for up to an earlier round knows less.
    if isConfirmed, kept == known.rounds.count { closed = Closed(set: set, rounds: rounds) }
    let members = set.sorted()
    let expansion = Expansion(
      members: members, set: set, round: rounds.last ?? 0, digest: ContentID.members(members))
    return (expansion, isComplete, isConfirmed)
  }

  /// Writes a set of contributions as a merge under the newest roster.
  public mutating func merge(of expansion: Expansion) -> Hanse_V1_Merge {
    let known = writings.last { writing in
      writing.digest == expansion.digest && writing.seal == sealID
        && writing.recounts == recounts && writing.merge.rosterVersion == roster.version
    }
    if let known { return known.merge }
    let merge = write(expansion)
    writings.append(
      Writing(digest: expansion.digest, seal: sealID, recounts: recounts, merge: merge))
    if writings.count > Self.writingsMax { writings.removeFirst() }
    return merge
  }

  private mutating func write(_ expansion: Expansion) -> Hanse_V1_Merge {
    let set = expansion.set
    var merge = Hanse_V1_Merge()
    merge.rosterVersion = roster.version
    for candidate in [(sealID, seal)] + olderSeals.reversed() {
      guard let under = try? admissions(under: candidate.1, id: candidate.0),
        under.admittedSet.isSubset(of: set)
      else { continue }
      merge.frontier = frontier(of: expansion, over: candidate.1, under)
      return merge
    }
    var none = Hanse_V1_Seal()
    none.rosterVersion = 1
    let under = SealAdmissions(admitted: [], rejected: [], admittedSet: [], round: 0)
    merge.frontier = frontier(of: expansion, over: none, under)
    return merge
  }

  /// The name of the merge that a set of contributions is written as.
  public func mergeID(of expansion: Expansion) -> ContentID {
    var merge = Hanse_V1_Merge()
    merge.rosterVersion = roster.version
    merge.frontier.round = expansion.round
    merge.frontier.members = .init(expansion.digest.bytes)
    return merge.id
  }

  private func frontier(
    of expansion: Expansion, over seal: Hanse_V1_Seal, _ under: SealAdmissions
  ) -> Hanse_V1_Frontier {
    let set = expansion.set
    var frontier = Hanse_V1_Frontier()
    frontier.seal = seal
    for lab in labs {
      let open = contributions(of: lab).filter { entry in
        !under.admittedSet.contains(entry.id) && !under.rejected.contains(entry.id)
      }
      guard let last = open.last(where: { set.contains($0.id) }) else { continue }
      frontier.above.append(last.position)
      let left = open.filter { $0.sequence < last.sequence && !set.contains($0.id) }
      guard !left.isEmpty else { continue }
      var exclusion = Hanse_V1_Exclusion()
      exclusion.lab = .init(lab.bytes)
      exclusion.sequences = left.map(\.sequence)
      frontier.excluded.append(exclusion)
    }
    frontier.round = expansion.round
    frontier.members = .init(expansion.digest.bytes)
    return frontier
  }

  /// The merge that everything begins from: no contribution, round 0.
  public func emptyMerge() -> Hanse_V1_Merge {
    var merge = Hanse_V1_Merge()
    merge.rosterVersion = 1
    merge.frontier.seal.rosterVersion = 1
    merge.frontier.members = .init(ContentID.members([]).bytes)
    return merge
  }

  /// Whether everything in a frontier is admitted by the current seal: it is final.
  public mutating func isSealed(_ frontier: Hanse_V1_Frontier) -> Bool {
    guard let expansion = try? expand(frontier),
      let under = try? admissions(under: seal, id: sealID)
    else {
      return false
    }
    return expansion.set.isSubset(of: under.admittedSet)
  }

  /// The highest round of a contribution that the current seal admits.
  public mutating func sealedRound() -> UInt32 {
    (try? admissions(under: seal, id: sealID))?.round ?? 0
  }

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
    var inOrder: [ContributionState] = []
    for id in expansion.members {
      guard let state = contributions[id], state.status == .admitted else { throw .wrongMembers }
      inOrder.append(state)
    }
    inOrder.sort { ($0.round, $0.id) < ($1.round, $1.id) }
    let landing = try landingRounds(inOrder, in: expansion)
    var weightless = Set(recalled)
    weightless.formUnion(superseded(inOrder, landing))
    var groups: [UInt32: [AdmittedContribution]] = [:]
    var versions: [UInt32: UInt32] = [:]
    for id in expansion.members {
      guard let state = contributions[id], let round = landing[id] else { throw .wrongMembers }
      versions[round] = max(versions[round] ?? 1, state.entry.rosterVersion)
      groups[round, default: []].append(
        AdmittedContribution(
          id: id, author: state.author, round: state.round, landingRound: round,
          tokens: state.message.tokens, isRecalled: weightless.contains(id)))
    }
    // Once a round was folded under a version, no later one goes back behind it.
    var version: UInt32 = 1
    return groups.keys.sorted().map { round in
      version = max(version, versions[round] ?? 1)
      return LandingGroup(
        round: round, rosterVersion: version, contributions: groups[round] ?? [])
    }
  }
}

extension Logbook {
  /// The landing round of every contribution of a frontier: one less than the lowest round of those
  /// that count it in their base, else the frontier's own.
  ///
  /// Read upwards, the first that counts a contribution decides, and only what has not landed yet
  /// has to be looked for: years of rounds cost a step each, not a step for each pair.
  private mutating func landingRounds(
    _ inOrder: [ContributionState], in expansion: Expansion
  ) throws(LedgerError) -> [ContentID: UInt32] {
    var landing: [ContentID: UInt32] = [:]
    var afloat: [ContentID] = []
    var next = 0
    var checked: Set<ContentID> = []
    if let known = contained, known.within.isSubset(of: expansion.set) { checked = known.bases }
    for state in inOrder {
      let base = try base(of: state)
      // Labs of one round mostly share their base.
      if checked.insert(state.message.base.id).inserted {
        guard base.set.isSubset(of: expansion.set) else { throw .wrongMembers }
      }
      while next < inOrder.count, inOrder[next].round < state.round {
        afloat.append(inOrder[next].id)
        next += 1
      }
      afloat.removeAll { id in
        guard base.set.contains(id) else { return false }
        landing[id] = state.round - 1
        return true
      }
    }
    for state in inOrder where landing[state.id] == nil { landing[state.id] = expansion.round }
    contained = (expansion.set, checked)
    return landing
  }

  /// Tries that weigh nothing because another of the same author and round does: the one that lands
  /// first, and of those that land together the last try.
  private func superseded(
    _ inOrder: [ContributionState], _ landing: [ContentID: UInt32]
  ) -> [ContentID] {
    var result: [ContentID] = []
    var weighing: [LabID: ContributionState] = [:]
    var round: UInt32 = 0
    for state in inOrder {
      if state.round != round {
        round = state.round
        weighing = [:]
      }
      guard let other = weighing[state.author] else {
        weighing[state.author] = state
        continue
      }
      let (mine, theirs) = (landing[state.id] ?? 0, landing[other.id] ?? 0)
      let wins = mine < theirs || (mine == theirs && state.message.attempt > other.message.attempt)
      result.append(wins ? other.id : state.id)
      if wins { weighing[state.author] = state }
    }
    return result
  }

  /// Whether a contribution is admitted by the current seal: final.
  public mutating func isSealedContribution(_ id: ContentID) -> Bool {
    (try? admissions(under: seal, id: sealID))?.admittedSet.contains(id) ?? false
  }
}
