import Identities
import Records

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
