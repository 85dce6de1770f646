import FoundationEssentials
import Identities
import Records
import SwiftProtobuf

/// The contributions that a frontier stands for: of use only with the logbook that found it, which
/// knows their names (``Logbook/members(of:)``).
public struct Expansion: Sendable {
  let places: PlaceSet
  /// The frontier's round.
  public let round: UInt32
  /// What a frontier's `members` holds.
  public let digest: ContentID

  /// How many contributions there are.
  public var count: Int { places.count }

  /// Whether all of these contributions are among the others.
  public func isSubset(of other: Expansion) -> Bool { places.isSubset(of: other.places) }
}

extension Logbook {
  /// The contributions of an expansion, sorted.
  public func members(of expansion: Expansion) -> [ContentID] {
    places.names(in: expansion.places)
  }

  /// Whether a contribution is among those of an expansion.
  public func contains(_ id: ContentID, in expansion: Expansion) -> Bool {
    places.find(id).map(expansion.places.contains) ?? false
  }

  /// Whether all contributions of an expansion are admitted.
  public func isAdmitted(_ expansion: Expansion) -> Bool {
    expansion.places.isSubset(of: admitted)
  }

  /// Whether all contributions of an expansion are such as described, but for those of which it is
  /// known.
  public func all(
    in expansion: Expansion, besides known: Expansion? = nil, are isMeant: (ContentID) -> Bool
  ) -> Bool {
    places.all(
      in: expansion.places, besides: known?.places ?? PlaceSet(), are: isMeant)
  }
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
        let place = places.place(of: entry.id)
        guard !under.admitted.contains(place), !under.rejected.contains(place),
          !(excluded[lab]?.contains(entry.sequence) ?? false)
        else { continue }
        members.insert(place)
        if case .contribution(let message)? = entry.message.payload {
          round = max(round, message.round)
        }
      }
    }
    let digest = digest(of: members)
    guard digest.bytes == Array(frontier.members), round == frontier.round
    else { throw .wrongMembers }
    // Written over another seal, the same set takes no place of its own.
    let result =
      interned[digest] ?? Expansion(places: members, round: frontier.round, digest: digest)
    interned[digest] = result
    expansions[key] = result
    return result
  }

  private func digest(of members: PlaceSet) -> ContentID {
    ContentID.members(places.names(in: members))
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
  /// - Parameter held: contributions that are known to be held.
  /// - Returns: the set, and whether it follows from what is admitted and held alone: no
  ///   contribution was left out because its base cannot be told yet.
  public mutating func closure(
    upTo round: UInt32 = .max, held: Expansion? = nil, holding: (ContributionState) -> Bool
  ) -> (set: Expansion, isComplete: Bool) {
    settle()
    let held = held?.places ?? PlaceSet()
    // What was closed last time mostly is now: then only what came since has to be looked at.
    var found = closure(upTo: round, trusting: closed ?? Closed(), held: held, holding: holding)
    if !found.isConfirmed {
      found = closure(upTo: round, trusting: Closed(), held: held, holding: holding)
    }
    return (found.set, found.isComplete)
  }

  /// - Parameter known: what was closed last time and is taken to be so. That is confirmed when all
  ///   of it up to the round is found again: then the base of each is, too.
  private mutating func closure(
    upTo round: UInt32, trusting known: Closed, held: PlaceSet,
    holding: (ContributionState) -> Bool
  ) -> (set: Expansion, isComplete: Bool, isConfirmed: Bool) {
    var isComplete = true
    var set = PlaceSet()
    var rounds: [UInt32] = []
    // Labs of one round mostly share their base, and all of it is of lower rounds.
    var isClosed: [Data: Bool] = [:]
    var kept = 0
    for standing in contributionOrder {
      guard standing.round <= round else { break }
      let place = standing.place
      guard admitted.contains(place) else { continue }
      let isKnown = known.set.contains(place)
      if isKnown, held.contains(place) {
        kept += 1
        set.insert(place)
        rounds.append(standing.round)
        continue
      }
      guard let state = contributions[standing.id], holding(state) else { continue }
      if isKnown {
        kept += 1
      } else if let base = try? base(of: state) {
        let digest = state.message.base.frontier.members
        let holds = isClosed[digest] ?? base.places.isSubset(of: set)
        isClosed[digest] = holds
        guard holds else { continue }
      } else {
        isComplete = false
        continue
      }
      set.insert(place)
      rounds.append(standing.round)
    }
    let isConfirmed = kept == known.count(upTo: round)
    // One that was asked for up to an earlier round knows less.
    if isConfirmed, kept == known.rounds.count { closed = Closed(set: set, rounds: rounds) }
    let expansion = Expansion(places: set, round: rounds.last ?? 0, digest: digest(of: set))
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
    var merge = Hanse_V1_Merge()
    merge.rosterVersion = roster.version
    for candidate in [(sealID, seal)] + olderSeals.reversed() {
      guard let under = try? admissions(under: candidate.1, id: candidate.0),
        under.admitted.isSubset(of: expansion.places)
      else { continue }
      merge.frontier = frontier(of: expansion, over: candidate.1, under)
      return merge
    }
    var none = Hanse_V1_Seal()
    none.rosterVersion = 1
    let under = SealAdmissions()
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
    var frontier = Hanse_V1_Frontier()
    frontier.seal = seal
    for lab in labs {
      let open = contributions(of: lab).filter { entry in
        guard let place = places.find(entry.id) else { return true }
        return !under.admitted.contains(place) && !under.rejected.contains(place)
      }
      guard let last = open.last(where: { contains($0.id, in: expansion) }) else { continue }
      frontier.above.append(last.position)
      let left = open.filter { $0.sequence < last.sequence && !contains($0.id, in: expansion) }
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
    return expansion.places.isSubset(of: under.admitted)
  }

  /// The highest round of a contribution that the current seal admits.
  public mutating func sealedRound() -> UInt32 {
    (try? admissions(under: seal, id: sealID))?.round ?? 0
  }

  /// Whether a contribution is admitted by the current seal: final.
  public mutating func isSealedContribution(_ id: ContentID) -> Bool {
    guard let place = places.find(id) else { return false }
    return (try? admissions(under: seal, id: sealID))?.admitted.contains(place) ?? false
  }
}
