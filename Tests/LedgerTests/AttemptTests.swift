import FoundationEssentials
import Identities
import Ledger
import Records
import Testing

/// What follows where the votes on a roster version are split.
@Suite struct AttemptTests {
  /// A federation whose labs propose and approve changes of the rules.
  private struct Vote {
    var federation: Federation
    var labs: [LabID] { federation.labs }
    var version: UInt32 { federation.book.roster.version }

    init(labs: Int) throws { federation = try Federation(founders: labs) }

    static func change(_ grace: UInt32, reason: String = "") -> Hanse_V1_Proposal.OneOf_Change {
      var change = Hanse_V1_RuleChange()
      change.graceSeconds = grace
      change.reason = reason
      return .changeRule(change)
    }

    mutating func propose(
      _ lab: Int, _ change: Hanse_V1_Proposal.OneOf_Change, attempt: UInt32 = 1,
      citing approvals: [Entry] = []
    ) throws -> Entry {
      var proposal = Hanse_V1_Proposal()
      proposal.makesVersion = 2
      proposal.attempt = attempt
      proposal.citations = approvals.map { Data($0.id.bytes) }
      proposal.change = change
      return try federation.write(labs[lab], .proposal(proposal))
    }

    @discardableResult
    mutating func approve(_ lab: Int, _ proposal: Entry) throws -> Entry {
      try federation.approve(labs[lab], proposal)
    }

    func counts(_ proposal: Entry) -> Bool { federation.book.proposal(proposal.id) != nil }
  }

  @Test func labsThatProposeTheSameAtOnceVoteTogether() throws {
    var vote = try Vote(labs: 2)
    let first = try vote.propose(0, Vote.change(100, reason: "slow links"))
    let second = try vote.propose(1, Vote.change(100, reason: "holidays"))
    try vote.approve(0, first)
    #expect(vote.federation.book.openProposals.count == 1)
    try vote.approve(1, second)
    #expect(vote.version == 2)
    let before = try #require(vote.federation.book.roster(version: 1))
    let enacted = try #require(vote.federation.book.enactedProposal(after: before))
    #expect(enacted.approvers == vote.labs)
  }

  @Test func whatAllProposeIsOneOnlyIfItChangesTheSame() throws {
    var vote = try Vote(labs: 2)
    for lab in 0...1 {
      let proposal = try vote.propose(lab, Vote.change(100 + UInt32(lab)))
      try vote.approve(lab, proposal)
    }
    #expect(vote.version == 1)
    let open = vote.federation.book.openProposals
    #expect(open.count == 2)
    #expect(open.allSatisfy { !$0.canPass })
  }

  /// Nine labs of which three are silent: four have approved one change, two others.
  private func divided() throws -> (vote: Vote, first: Entry, approvals: [Entry]) {
    var vote = try Vote(labs: 9)
    let first = try vote.propose(0, Vote.change(100))
    var approvals: [Entry] = []
    for lab in 0...3 { approvals.append(try vote.approve(lab, first)) }
    for lab in 4...5 {
      let other = try vote.propose(lab, Vote.change(100 + UInt32(lab)))
      approvals.append(try vote.approve(lab, other))
    }
    return (vote, first, approvals)
  }

  @Test func theChangeThatAloneCanPassMayBeProposedAgain() throws {
    var (vote, first, approvals) = try divided()
    let other = try vote.propose(4, Vote.change(104), attempt: 2, citing: approvals)
    #expect(!vote.counts(other))
    let hasty = try vote.propose(
      4, Vote.change(100), attempt: 2, citing: Array(approvals.prefix(4)))
    #expect(!vote.counts(hasty))
    let again = try vote.propose(5, Vote.change(100), attempt: 2, citing: approvals)
    #expect(vote.counts(again))
    for lab in 2...5 { try vote.approve(lab, again) }
    #expect(vote.version == 1)
    // The first attempt may pass all the same: it is the same change.
    var late = vote
    try late.approve(6, first)
    #expect(late.version == 2)
    try vote.approve(1, again)
    #expect(vote.version == 2)
    #expect(vote.federation.book.roster == late.federation.book.roster)
  }

  /// A change that may have passed by the first attempt must not be left behind by the third, even
  /// when the second cannot pass: the silent labs may yet approve the first.
  @Test func whatMayPassOnceIsNeverLeftBehind() throws {
    var (vote, first, approvals) = try divided()
    let again = try vote.propose(5, Vote.change(100), attempt: 2, citing: approvals)
    // Votes for what does not count, by which the second attempt is over.
    let void = [
      try vote.propose(4, Vote.change(200), attempt: 2),
      try vote.propose(4, Vote.change(300), attempt: 2),
    ]
    var later: [Entry] = []
    for lab in 0...3 { later.append(try vote.approve(lab, again)) }
    for lab in 4...7 { later.append(try vote.approve(lab, void[lab % 2])) }
    later.append(try vote.approve(8, void[0]))
    #expect(try !#require(vote.federation.book.proposal(again.id)).canPass)
    let other = try vote.propose(4, Vote.change(104), attempt: 3, citing: later)
    #expect(!vote.counts(other))
    let third = try vote.propose(4, Vote.change(100), attempt: 3, citing: later)
    #expect(vote.counts(third))
    try vote.approve(8, first)
    #expect(vote.version == 2)
  }

  @Test func anythingMayFollowWhereNothingCanPass() throws {
    var vote = try Vote(labs: 3)
    var approvals: [Entry] = []
    for lab in 0...2 {
      let proposal = try vote.propose(lab, Vote.change(100 + UInt32(lab)))
      approvals.append(try vote.approve(lab, proposal))
    }
    let second = try vote.propose(0, Vote.change(200), attempt: 2, citing: approvals)
    let beside = try vote.propose(1, Vote.change(300), attempt: 2, citing: approvals)
    #expect(vote.counts(second) && vote.counts(beside))
    #expect(vote.federation.book.citations(for: Vote.change(400), attempt: 2)?.count == 3)
    #expect(vote.federation.book.citations(for: Vote.change(400), attempt: 3) == nil)
  }

  /// A lab that approves two proposals of one attempt has approved the first: the second neither
  /// proves that nothing can pass, nor takes the others' proof away.
  @Test func aSecondApprovalProvesNothing() throws {
    var vote = try Vote(labs: 5)
    let proposals = try (0...3).map { try vote.propose($0, Vote.change(100 + UInt32($0))) }
    let honest = [
      try vote.approve(0, proposals[0]), try vote.approve(2, proposals[2]),
      try vote.approve(3, proposals[3]),
    ]
    let first = try vote.approve(1, proposals[0])
    let second = try vote.approve(1, proposals[1])
    let lie = try vote.propose(1, Vote.change(200), attempt: 2, citing: honest + [second])
    #expect(!vote.counts(lie))
    let carried = try vote.propose(
      2, Vote.change(100), attempt: 2, citing: honest + [first, second])
    #expect(vote.counts(carried))
    let cited = vote.federation.book.citations(for: Vote.change(100), attempt: 2)
    #expect(cited.map(Set.init) == Set((honest + [first]).map(\.id)))
  }

  /// Who writes proposal after proposal does not have the others count them for ever.
  @Test func aLabsFirstProposalsOfAnAttemptCount() throws {
    var vote = try Vote(labs: 2)
    var proposals: [Entry] = []
    for number in 0...UInt32(Limits.proposalsPerAttemptMax) {
      proposals.append(try vote.propose(0, Vote.change(100 + number)))
    }
    let last = proposals.removeLast()
    #expect(proposals.allSatisfy { vote.counts($0) })
    #expect(!vote.counts(last))
    for lab in 0...1 { try vote.approve(lab, last) }
    #expect(vote.version == 1)
    // The other lab may propose the same.
    let other = try vote.propose(1, Vote.change(100 + UInt32(Limits.proposalsPerAttemptMax)))
    #expect(vote.counts(other))
  }

  @Test func attemptsAreBounded() throws {
    var vote = try Vote(labs: 2)
    let last = try vote.propose(0, Vote.change(100), attempt: Limits.proposalAttemptsMax)
    #expect(!vote.counts(last))
    #expect(throws: RecordError.self) {
      _ = try vote.propose(0, Vote.change(100), attempt: Limits.proposalAttemptsMax + 1)
    }
  }
}
