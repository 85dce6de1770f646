import Determinism
import FoundationEssentials
import Identities
import Ledger
import Records
import Testing

/// Rules are changed by the labs, and every round keeps those that it was made under.
@Suite struct RuleTests {
  private static func change(
    _ body: (inout Hanse_V1_RuleChange) -> Void
  ) -> Hanse_V1_RuleChange {
    var change = Hanse_V1_RuleChange()
    body(&change)
    return change
  }

  @Test func aChangeSetsWhatItNamesAndNothingElse() throws {
    var federation = try Federation(founders: 3)
    let before = federation.book.roster
    try federation.enact(
      .changeRule(
        Self.change {
          $0.graceSeconds = 120
          $0.outerRateQ16 = 32_768
        }))
    let after = federation.book.roster
    #expect(after.version == 2)
    #expect(after.rules.round.graceSeconds == 120)
    #expect(after.rules.merge.outerRateQ16 == 32_768)
    #expect(after.rules.merge.momentumQ16 == before.rules.merge.momentumQ16)
    #expect(after.rules.round.localSteps == before.rules.round.localSteps)
    #expect(after.members == before.members)
    #expect(after.id != before.id)
    #expect(federation.book.roster(version: 1)?.rules == Rules(federation.charter))
  }

  @Test func whatIsBeyondItsLimitsOrChangesNothingIsVoid() throws {
    let changes = [
      Self.change { _ in },
      Self.change { $0.momentumQ16 = 58_982 },
      Self.change { $0.momentumQ16 = 65_536 },
      Self.change { $0.outerRateQ16 = 0 },
      Self.change { $0.outerRateQ16 = 1 << 20 | 1 },
      Self.change { $0.graceSeconds = 604_801 },
      Self.change { $0.latenessLimit = 3 },
      Self.change { $0.committee = 0 },
      Self.change { $0.committee = 17 },
      Self.change { $0.localSteps = 0 },
      Self.change { $0.learningRate = .nan },
      Self.change { $0.learningRate = -1 },
      Self.change { $0.toleranceMicronats = .max },
      Self.change { $0.labsToBegin = 257 },
      Self.change { $0.rule = "whoever-shouts" },
    ]
    for change in changes {
      var federation = try Federation(founders: 1)
      try federation.enact(.changeRule(change))
      #expect(federation.book.roster.version == 1, "\(change)")
      #expect(throws: RecordError.self) { try Rules(federation.charter).applying(change) }
    }
  }

  /// Three labs, a round under the charter's rules, a change, and a round under the new ones.
  private func twoRounds() throws -> (federation: Federation, first: Hanse_V1_Merge) {
    var federation = try Federation(founders: 3)
    let labs = federation.labs
    func round(_ authors: [LabID]) throws {
      let base = federation.head()
      for author in authors {
        let entry = try federation.contribute(author, base: base)
        for judge in labs where judge != author { _ = try federation.judge(judge, entry) }
      }
    }
    try round(Array(labs.prefix(2)))
    let first = federation.head()
    try federation.enact(.changeRule(Self.change { $0.outerRateQ16 = 1_000 }))
    try round(labs)
    return (federation, first)
  }

  @Test func aRoundIsFoldedUnderTheRulesOfItsContributions() throws {
    var (federation, first) = try twoRounds()
    #expect(try federation.book.landingGroups(of: first).map(\.rosterVersion) == [1])
    let second = federation.head()
    #expect(second.frontier.round == 2)
    #expect(try federation.book.landingGroups(of: second).map(\.rosterVersion) == [1, 2])
    // A late one of the first round lands in the second, and takes nothing back.
    var late = federation.contribution(base: federation.book.emptyMerge(), salt: 9)
    late.round = 1
    let entry = try federation.write(federation.labs[2], .contribution(late))
    for judge in federation.labs.prefix(2) { _ = try federation.judge(judge, entry) }
    let third = federation.head()
    let groups = try federation.book.landingGroups(of: third)
    #expect(groups.map(\.rosterVersion) == [1, 2])
    #expect(groups.map(\.contributions.count) == [2, 4])
  }

  /// A state is named by all that was folded into it, the rules included.
  @Test func aStateHasAnotherNameUnderOtherRules() throws {
    var (federation, first) = try twoRounds()
    let head = federation.head()
    let groups = try federation.book.landingGroups(of: head)
    let names = federation.book.chain(of: groups)
    #expect(names.count == 3)
    let earlier = federation.book.chain(of: try federation.book.landingGroups(of: first))
    #expect(Array(names.prefix(2)) == earlier)
    var rules = federation.book.mergeRules(of: groups)
    #expect(LandingGroup.chain(groups, of: federation.charter, under: rules) == names)
    rules[2]?.outerRateQ16 += 1
    let others = LandingGroup.chain(groups, of: federation.charter, under: rules)
    #expect(Array(others.prefix(2)) == earlier)
    #expect(others[2] != names[2])
  }

  @Test func whateverOrderTheEntriesComeInTheGroupsAreTheSame() throws {
    var (federation, _) = try twoRounds()
    let head = federation.head()
    let groups = try federation.book.landingGroups(of: head)
    var generator = SeededGenerator(seed: 5)
    for _ in 0..<20 {
      var book = Logbook(charter: federation.charter)
      var left = federation.written.shuffled(using: &generator)
      while !left.isEmpty {
        left = try left.filter { entry in
          switch try book.append(entry) {
          case .appended, .known, .branch: return false
          case .gap, .unknownRoster: return true
          case .equivocation: throw LedgerError.wrongMembers
          }
        }
        book.settle()
      }
      #expect(book.roster.rules == federation.book.roster.rules)
      #expect(try book.landingGroups(of: book.head { _ in true }) == groups)
    }
  }

  @Test func theCommitteeIsThatOfTheContributionsRoster() throws {
    var federation = try Federation(founders: 5)
    let author = federation.labs[0]
    let base = federation.head()
    let before = try federation.contribute(author, base: base)
    try federation.enact(.changeRule(Self.change { $0.committee = 3 }))
    let after = try federation.contribute(federation.labs[1], base: base)
    #expect(federation.book.contribution(before.id)?.judges.count == 5)
    #expect(federation.book.contribution(after.id)?.judges.count == 3)
  }
}
