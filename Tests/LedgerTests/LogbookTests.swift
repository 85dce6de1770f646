import Determinism
import FoundationEssentials
import Identities
import Ledger
import Records
import Testing

@Suite struct LogbookTests {
  /// Two full rounds of three labs, one of which is rejected once.
  static func twoRounds() throws -> Federation {
    var federation = try Federation(founders: 3)
    let labs = federation.labs
    for _ in 0..<2 {
      let base = federation.head()
      var entries: [Entry] = []
      for lab in labs { entries.append(try federation.contribute(lab, base: base)) }
      for entry in entries {
        for judge in labs where judge != entry.lab {
          let accept = !(base.frontier.round == 1 && entry.lab == labs[2])
          _ = try federation.judge(judge, entry, accept: accept)
        }
      }
      let head = federation.head()
      for lab in labs { _ = try federation.attest(lab, head) }
    }
    return federation
  }

  @Test func admitsByMoreThanHalfOfTheJudges() throws {
    var federation = try Federation(founders: 4)
    let labs = federation.labs
    let entry = try federation.contribute(labs[0], base: federation.book.emptyMerge())
    #expect(federation.book.contribution(entry.id)?.status == .pending)
    _ = try federation.judge(labs[1], entry)
    // Two of four are not more than half.
    #expect(federation.book.contribution(entry.id)?.status == .pending)
    _ = try federation.judge(labs[2], entry)
    #expect(federation.book.contribution(entry.id)?.status == .admitted)
  }

  @Test func rejectsAsSoonAsNoMajorityIsLeft() throws {
    var federation = try Federation(founders: 4)
    let labs = federation.labs
    let entry = try federation.contribute(labs[0], base: federation.book.emptyMerge())
    _ = try federation.judge(labs[1], entry, accept: false)
    #expect(federation.book.contribution(entry.id)?.status == .pending)
    _ = try federation.judge(labs[2], entry, accept: false)
    #expect(federation.book.contribution(entry.id)?.status == .rejected)
    // A judge's first verdict is final.
    _ = try federation.judge(labs[2], entry)
    #expect(federation.book.contribution(entry.id)?.status == .rejected)
  }

  @Test func refusesWhatBreaksARuleOfForm() throws {
    var federation = try Federation(founders: 3)
    let lab = federation.labs[0]
    let base = federation.book.emptyMerge()
    var late = federation.contribution(base: base)
    late.round = 5
    var shapeless = federation.contribution(base: base)
    shapeless.factorNorms = [1]
    var empty = federation.contribution(base: base)
    empty.factorNorms = [0, 0]
    for message in [late, shapeless, empty] {
      let entry = try federation.write(lab, .contribution(message))
      guard case .refused = federation.book.contribution(entry.id)?.status else {
        Issue.record("\(message.round) \(message.factorNorms) was not refused")
        continue
      }
    }
  }

  @Test func countsOnlyTheFirstContributionOfARoundAndAttempt() throws {
    var federation = try Federation(founders: 3)
    let lab = federation.labs[0]
    let base = federation.book.emptyMerge()
    let first = try federation.contribute(lab, base: base)
    let second = try federation.contribute(lab, base: base)
    #expect(federation.book.contribution(first.id)?.status == .pending)
    guard case .refused = federation.book.contribution(second.id)?.status else {
      Issue.record("a second contribution of one round counts")
      return
    }
  }

  @Test func aRetryNeedsAJudgesRejection() throws {
    var federation = try Federation(founders: 3)
    let labs = federation.labs
    let base = federation.book.emptyMerge()
    let first = try federation.contribute(labs[0], base: base)
    let bare = try federation.contribute(labs[0], base: base, attempt: 2)
    guard case .refused = federation.book.contribution(bare.id)?.status else {
      Issue.record("a retry without citations counts")
      return
    }
    #expect(federation.book.contribution(first.id)?.status == .pending)

    var other = try Federation(founders: 3)
    let again = try other.contribute(labs[0], base: base)
    let rejection = try other.judge(labs[1], again, accept: false)
    _ = try other.judge(labs[2], again)
    var retry = other.contribution(base: base, attempt: 2)
    retry.rejections = [Data(rejection.id.bytes)]
    let proven = try other.write(labs[0], .contribution(retry))
    #expect(other.book.contribution(proven.id)?.status == .pending)
  }

  @Test func headHoldsWhatWasAdmittedAndClosesUnderBases() throws {
    var federation = try Self.twoRounds()
    let head = federation.head()
    #expect(head.frontier.round == 2)
    let expansion = try federation.book.expand(head.frontier)
    #expect(expansion.count == 5)
    // Without one payload of round 1, nothing that was trained on top of it can stand.
    let missing = federation.book.contributionsInOrder[0].id
    let smaller = federation.book.head { $0.id != missing }
    let members = federation.book.members(of: try federation.book.expand(smaller.frontier))
    #expect(members.count == 2)
    #expect(!members.contains(missing))
    #expect(smaller.frontier.round == 1)
  }

  @Test func contributionsLandInTheRoundBeforeTheFirstThatCountsThem() throws {
    var federation = try Federation(founders: 3)
    let labs = federation.labs
    let start = federation.book.emptyMerge()
    let early = try federation.contribute(labs[0], base: start)
    _ = try federation.judge(labs[1], early)
    let one = federation.head()
    // Lab 2 is late: its contribution to round 1 is admitted after lab 0 has gone on.
    let onward = try federation.contribute(labs[0], base: one)
    let late = try federation.contribute(labs[2], base: start)
    _ = try federation.judge(labs[1], late)
    _ = try federation.judge(labs[1], onward)
    let two = federation.head()
    let groups = try federation.book.landingGroups(of: two)
    #expect(groups.map(\.round) == [1, 2])
    #expect(groups[0].contributions.map(\.id) == [early.id])
    #expect(groups[1].contributions.map(\.id) == [onward.id, late.id].sorted())
  }

  @Test func theOrderOfArrivalChangesNothing() throws {
    var reference = try Self.twoRounds()
    let head = reference.head()
    let groups = try reference.book.landingGroups(of: head)
    for seed in 1...20 as ClosedRange<UInt64> {
      var generator = SeededGenerator(seed: seed)
      var book = Logbook(charter: reference.charter)
      var left = reference.written.shuffled(using: &generator)
      while !left.isEmpty {
        var next: [Entry] = []
        for entry in left {
          if case .gap = try book.append(entry) { next.append(entry) }
          // Concluding now or later, from few entries or many, comes to the same.
          if generator.next() % 4 == 0 { book.settle() }
        }
        #expect(next.count < left.count)
        left = next
      }
      book.settle()
      let other = book.head { _ in true }
      #expect(other.id == head.id)
      #expect(book.seal.id == reference.book.seal.id)
      #expect(
        book.contributionsInOrder.map(\.status) == reference.book.contributionsInOrder.map(\.status)
      )
      let otherGroups = try book.landingGroups(of: other)
      #expect(otherGroups == groups)
      // The frontier that the reference wrote means the same here.
      let members = book.members(of: try book.expand(head.frontier))
      #expect(members == groups.flatMap(\.contributions).map(\.id).sorted())
    }
  }

  @Test func aQuorumOfAttestationsSealsAPrefix() throws {
    var federation = try Federation(founders: 4)
    let labs = federation.labs
    let entry = try federation.contribute(labs[0], base: federation.book.emptyMerge())
    _ = try federation.judge(labs[1], entry)
    _ = try federation.judge(labs[2], entry)
    let head = federation.head()
    var sealed = federation.book.isSealed(head.frontier)
    #expect(!sealed)
    _ = try federation.attest(labs[0], head)
    _ = try federation.attest(labs[1], head)
    // Four labs, one of which may lie: three attestations.
    sealed = federation.book.isSealed(head.frontier)
    #expect(!sealed)
    _ = try federation.attest(labs[3], head)
    sealed = federation.book.isSealed(head.frontier)
    #expect(sealed)
    let later = federation.head()
    #expect(later.id == head.id)
  }

  @Test func rejectsAFrontierWithOtherMembers() throws {
    var federation = try Self.twoRounds()
    var frontier = federation.head().frontier
    frontier.members = Data(ContentID.members([]).bytes)
    #expect(throws: LedgerError.wrongMembers) { try federation.book.expand(frontier) }
    var unsealed = federation.head().frontier
    unsealed.seal.prefixes = federation.book.heads
    #expect(throws: LedgerError.unsealed) { try federation.book.expand(unsealed) }
  }
}
