import FoundationEssentials
import Identities
import Ledger
import Records
import Testing

@Suite struct RosterTests {
  @Test func admitsALabWhenMoreThanHalfApprove() throws {
    var federation = try Federation(founders: 2)
    let labs = federation.labs
    let ask = try federation.request(9, invitedBy: labs[0])
    #expect(federation.book.pendingRequests.map(\.ask.lab) == [ask.lab])
    #expect(federation.book.pendingRequests.first?.isInvited == true)
    let proposal = try federation.propose(labs[0], admit: ask)
    _ = try federation.approve(labs[0], proposal)
    #expect(federation.book.roster.version == 1)
    _ = try federation.approve(labs[1], proposal)
    #expect(federation.book.roster.version == 2)
    #expect(federation.book.roster.member(ask.lab)?.name == "lab 9")
    #expect(federation.book.pendingRequests.isEmpty)
    federation.remember(Federation.key(9))
    _ = try federation.contribute(ask.lab, base: federation.book.emptyMerge())
  }

  @Test func aNewRosterIsSealedByTheOldOne() throws {
    var federation = try Federation(founders: 1)
    let founder = federation.labs[0]
    let ask = try federation.request(9, invitedBy: founder)
    _ = try federation.approve(founder, federation.propose(founder, admit: ask))
    #expect(federation.book.seal.rosterVersion == 1)
    _ = try federation.attest(founder, federation.book.emptyMerge())
    #expect(federation.book.seal.rosterVersion == 2)
  }

  @Test func aLabsFirstApprovalOfAnAttemptCounts() throws {
    var federation = try Federation(founders: 3)
    let labs = federation.labs
    let first = try federation.propose(labs[0], admit: federation.request(8, invitedBy: labs[0]))
    let second = try federation.propose(labs[1], admit: federation.request(9, invitedBy: labs[1]))
    _ = try federation.approve(labs[0], first)
    _ = try federation.approve(labs[1], second)
    // Lab 0 changes its mind too late.
    _ = try federation.approve(labs[0], second)
    #expect(federation.book.roster.version == 1)
    _ = try federation.approve(labs[2], second)
    #expect(federation.book.roster.version == 2)
    #expect(federation.book.roster.member(LabID(firstKey: Federation.key(9).publicKey)) != nil)
  }

  @Test func anotherAttemptNeedsProofThatTheLastCannotPass() throws {
    var federation = try Federation(founders: 2)
    let labs = federation.labs
    let first = try federation.propose(labs[0], admit: federation.request(8, invitedBy: labs[0]))
    let second = try federation.propose(labs[1], admit: federation.request(9, invitedBy: labs[1]))
    let approvals = [
      try federation.approve(labs[0], first), try federation.approve(labs[1], second),
    ]
    let ask = try JoinAsk(second.message.proposal.admit.request)
    let bare = try federation.propose(labs[0], admit: ask, attempt: 2)
    #expect(federation.book.proposal(bare.id) == nil)
    var proven = Hanse_V1_Proposal()
    proven.makesVersion = 2
    proven.attempt = 2
    proven.citations = approvals.map { Data($0.id.bytes) }
    proven.admit.request = ask.request
    let proposal = try federation.write(labs[0], .proposal(proven))
    for lab in labs { _ = try federation.approve(lab, proposal) }
    #expect(federation.book.roster.version == 2)
  }

  @Test func aRotationChangesTheKeyFromItsVersionOn() throws {
    var federation = try Federation(founders: 2)
    let (lab, old) = (federation.labs[1], Federation.key(1))
    let new = Federation.key(50)
    try federation.enact(.rotate(Hanse_V1_KeyRotation(of: lab, to: new)))
    #expect(federation.book.roster.version == 2)
    #expect(federation.book.roster.member(lab)?.key == new.publicKey)
    #expect(federation.book.roster.member(lab)?.since == 1)
    // What names the version before is the old key's, and what names the new one is not.
    #expect(federation.book.log(of: lab).allSatisfy { $0.rosterVersion == 1 })
    let late = try federation.draft(
      lab, .presence(Hanse_V1_Presence()), after: federation.book.log(of: lab).last)
    #expect(late.rosterVersion == 2)
    #expect(throws: LedgerError.self) { try federation.book.append(late) }
    federation.keys[lab] = new
    _ = try federation.write(lab, .presence(Hanse_V1_Presence()))
    #expect(old.publicKey != new.publicKey)
  }

  @Test func aKeyIsOneLabsAndNeverComesBack() throws {
    var federation = try Federation(founders: 3)
    let labs = federation.labs
    let keys = (0..<3).map { Federation.key($0) }
    func isRefused(_ lab: LabID, _ key: SigningKey) throws -> Bool {
      let version = federation.book.roster.version
      var copy = federation
      try copy.enact(.rotate(Hanse_V1_KeyRotation(of: lab, to: key)))
      return copy.book.roster.version == version
    }
    #expect(try isRefused(labs[1], keys[2]))
    #expect(try isRefused(labs[1], keys[1]))
    #expect(try !isRefused(labs[1], Federation.key(60)))
    // A rotation that was signed for another lab has no form at all.
    var foreign = Hanse_V1_KeyRotation(of: labs[1], to: Federation.key(60))
    foreign.lab = Data(labs[2].bytes)
    var copy = federation
    #expect(throws: RecordError.self) { try copy.enact(.rotate(foreign)) }
    #expect(copy.book.roster.version == 1)
    try federation.enact(.rotate(Hanse_V1_KeyRotation(of: labs[1], to: Federation.key(60))))
    federation.keys[labs[1]] = Federation.key(60)
    // The key that was given up, for its old lab and for another.
    #expect(try isRefused(labs[1], keys[1]))
    #expect(try isRefused(labs[2], keys[1]))
    var removal = Hanse_V1_Removal()
    removal.lab = Data(labs[2].bytes)
    removal.lastSequence = 0
    try federation.enact(.remove(removal))
    #expect(federation.book.roster.members.count == 2)
    federation.labs.removeLast()
    #expect(try isRefused(labs[1], keys[2]))
  }

  @Test func strangersAndForeignEntriesAreRefused() throws {
    var federation = try Federation(founders: 1)
    federation.remember(Federation.key(7))
    let stranger = federation.labs[1]
    let entry = try federation.draft(
      stranger, .presence(Hanse_V1_Presence()), after: nil)
    #expect(throws: LedgerError.notAMember(lab: stranger, version: 1)) {
      try federation.book.append(entry)
    }
    var other = try Federation(founders: 2)
    let foreign = try other.write(other.labs[0], .presence(Hanse_V1_Presence()))
    #expect(throws: LedgerError.otherFederation(other.charter.id)) {
      try federation.book.append(foreign)
    }
  }

  @Test func twoEntriesAtOneSequenceExcludeTheLabFromThereOn() throws {
    var federation = try Federation(founders: 3)
    let liar = federation.labs[0]
    let base = federation.book.emptyMerge()
    let honest = try federation.contribute(liar, base: base)
    let other = try federation.draft(liar, .presence(Hanse_V1_Presence()), after: nil)
    let outcome1 = try federation.book.append(other)
    #expect(outcome1 == .equivocation(1))
    federation.book.settle()
    #expect(federation.book.contribution(honest.id) == nil)
    #expect(federation.book.forks[liar]?.sequence == 1)
    let next = try federation.draft(liar, .presence(Hanse_V1_Presence()), after: honest)
    #expect(throws: LedgerError.equivocated(lab: liar, sequence: 1)) {
      try federation.book.append(next)
    }
  }

  @Test func whatWasSealedSurvivesALaterEquivocation() throws {
    var federation = try Federation(founders: 3)
    let labs = federation.labs
    let entry = try federation.contribute(labs[0], base: federation.book.emptyMerge())
    _ = try federation.judge(labs[1], entry)
    let head = federation.head()
    for lab in labs { _ = try federation.attest(lab, head) }
    let other = try federation.draft(labs[0], .presence(Hanse_V1_Presence()), after: nil)
    let outcome2 = try federation.book.append(other)
    #expect(outcome2 == .equivocation(1))
    federation.book.settle()
    #expect(federation.book.contribution(entry.id)?.status == .admitted)
    let after = federation.head()
    #expect(after.id == head.id)
  }

  @Test func anEntryThatDoesNotFollowIsRefused() throws {
    var federation = try Federation(founders: 1)
    let lab = federation.labs[0]
    let first = try federation.write(lab, .presence(Hanse_V1_Presence()))
    let second = try federation.draft(lab, .presence(Hanse_V1_Presence()), after: first)
    let third = try federation.draft(lab, .presence(Hanse_V1_Presence()), after: second)
    let outcome3 = try federation.book.append(third)
    #expect(outcome3 == .gap(after: 1))
    let outcome4 = try federation.book.append(second)
    #expect(outcome4 == .appended)
    let outcome5 = try federation.book.append(second)
    #expect(outcome5 == .known)
    var broken = third.body
    broken[broken.count - 1] ^= 1
    let forged = try? Entry(body: broken, signature: third.signature)
    if let forged {
      #expect(throws: LedgerError.self) { try federation.book.append(forged) }
    }
    let outcome6 = try federation.book.append(third)
    #expect(outcome6 == .appended)
  }
}
