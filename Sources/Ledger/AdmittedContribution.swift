import Identities
import Records

/// A contribution that enough judges accepted: the only thing that may be merged.
///
/// Only this room makes one, so what was not admitted cannot be merged: it does not compile.
public struct AdmittedContribution: Sendable, Hashable {
  /// The entry that announced it.
  public let id: ContentID
  /// Whose it is.
  public let author: LabID
  /// The round that it was trained in.
  public let round: UInt32
  /// The round that it counts in, at least `round`; see Protocol/Merge.md, "Landing rounds".
  public let landingRound: UInt32
  /// Tokens that it claims to have been trained on.
  public let tokens: UInt64
  /// Whether a recall took it out of the fold, or another try of its author for the same round
  /// stands in it instead: it keeps its place and weighs nothing.
  public let isRecalled: Bool

  init(
    id: ContentID, author: LabID, round: UInt32, landingRound: UInt32, tokens: UInt64,
    isRecalled: Bool
  ) {
    self.id = id
    self.author = author
    self.round = round
    self.landingRound = landingRound
    self.tokens = tokens
    self.isRecalled = isRecalled
  }

  /// For test vectors, which have no logs behind them.
  @_spi(Vectors)
  public init(
    vector id: ContentID, author: LabID, round: UInt32, landingRound: UInt32, tokens: UInt64,
    isRecalled: Bool
  ) {
    self.init(
      id: id, author: author, round: round, landingRound: landingRound, tokens: tokens,
      isRecalled: isRecalled)
  }
}

/// The contributions that count in one round.
public struct LandingGroup: Sendable, Hashable {
  /// The landing round that they share.
  public let round: UInt32
  /// The roster version whose rules it is folded under; see Protocol/Merge.md, "Rules".
  public let rosterVersion: UInt32
  /// Sorted by id.
  public let contributions: [AdmittedContribution]

  /// A group; sorts its contributions.
  public init(round: UInt32, rosterVersion: UInt32 = 1, contributions: [AdmittedContribution]) {
    self.round = round
    self.rosterVersion = rosterVersion
    self.contributions = contributions.sorted { $0.id < $1.id }
  }
}

extension LandingGroup {
  /// Names what is folded, group after group, from the charter on: one name more than groups.
  ///
  /// A name stands for everything that the fold reads but the payloads, which the contributions'
  /// ids name. Two merges whose names are equal up to a place have one state there.
  ///
  /// - Parameters:
  ///   - rules: those of each roster version that a group is folded under.
  ///   - known: names of the first groups, if they are known: one more than those groups.
  public static func chain(
    _ groups: [LandingGroup], of charter: Charter, under rules: [UInt32: Hanse_V1_MergeRules],
    after known: [ContentID] = []
  ) -> [ContentID] {
    var names = known.isEmpty ? [ContentID(of: charter.bytes, kind: .merge)] : known
    for group in groups[(names.count - 1)...] {
      let rules = rules[group.rosterVersion] ?? Hanse_V1_MergeRules()
      var bytes = names[names.count - 1].bytes + group.round.littleEndianBytes
      bytes += Array(rules.rule.utf8) + rules.outerRateQ16.littleEndianBytes
      bytes += rules.momentumQ16.littleEndianBytes + rules.latenessLimit.littleEndianBytes
      for contribution in group.contributions {
        bytes += contribution.id.bytes
        bytes.append(contribution.isRecalled ? 1 : 0)
      }
      names.append(ContentID(of: bytes, kind: .merge))
    }
    return names
  }
}

extension Logbook {
  /// The rules that groups are folded under, by roster version.
  public func mergeRules(of groups: [LandingGroup]) -> [UInt32: Hanse_V1_MergeRules] {
    var rules: [UInt32: Hanse_V1_MergeRules] = [:]
    for group in groups where rules[group.rosterVersion] == nil {
      rules[group.rosterVersion] = roster(version: group.rosterVersion)?.rules.merge
    }
    return rules
  }

  /// Names what is folded; see ``LandingGroup/chain(_:of:under:after:)``.
  public mutating func chain(of groups: [LandingGroup]) -> [ContentID] {
    var names: [ContentID] = []
    if let last = lastChain, last.recounts == recounts {
      let same = zip(last.groups, groups).prefix { $0 == $1 }.count
      names = Array(last.names[...same])
    }
    names = LandingGroup.chain(
      groups, of: charter, under: mergeRules(of: groups), after: names)
    lastChain = (groups, recounts, names)
    return names
  }
}
