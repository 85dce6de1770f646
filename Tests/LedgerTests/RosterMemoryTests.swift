import Determinism
import FoundationEssentials
import Identities
import Ledger
import Records
import Testing

/// Rosters and seals are found from what is new; they must be those that all entries give at once.
@Suite struct RosterMemoryTests {
  /// Labs that propose, approve and attest as it comes, in federations in which others join and are
  /// removed; one of them signs two entries at one place.
  @Test(arguments: UInt64(1)...10)
  func rostersAreThoseFromTheStart(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var federation = try Federation(founders: 4)
    var open: [Entry] = []
    var versions: Set<UInt32> = []
    var wasForked = false
    var laterAttempts = 0
    for step in 0..<150 {
      let version = federation.book.roster.version
      open.removeAll { $0.message.proposal.makesVersion <= version }
      let members = federation.book.roster.members.map(\.lab)
        .filter { federation.book.forks[$0] == nil }
      let lab = members[Int(generator.next() % UInt64(members.count))]
      switch generator.next() % 8 {
      case 0 where open.count < 3:
        let next = federation.labs.count
        let ask = try federation.request(next, invitedBy: lab)
        open.append(try federation.propose(lab, admit: ask))
        federation.remember(Federation.key(next))
      case 1 where open.count < 2 && members.count > 4:
        open.append(try propose(removing: members[0], by: lab, in: &federation))
      case 2 where !wasForked && step > 30:
        try fork(lab, in: &federation)
        wasForked = true
      case 3...5 where !open.isEmpty:
        let chosen = open[Int(generator.next() % UInt64(open.count))]
        _ = try federation.approve(lab, chosen)
      case 6 where !open.isEmpty:
        let chosen = open[Int(generator.next() % UInt64(open.count))].message.proposal
        if let again = try proposeAgain(chosen, by: lab, in: &federation) {
          open.append(again)
          laterAttempts += 1
        }
      default: _ = try federation.attest(lab, federation.book.emptyMerge())
      }
      versions.insert(federation.book.roster.version)
      try compare(federation)
    }
    #expect(versions.count > 1)
    #expect(laterAttempts > 0)
  }

  /// The third approval lies behind an equivocation, and counts from the seal on that covers it.
  @Test func aSealBringsBackWhatItCovers() throws {
    var federation = try Federation(founders: 4)
    let labs = federation.labs
    let ask = try federation.request(9, invitedBy: labs[1])
    let proposal = try federation.propose(labs[1], admit: ask)
    for lab in labs[1...2] { _ = try federation.approve(lab, proposal) }
    let first = try federation.write(labs[0], .presence(Hanse_V1_Presence()))
    var approval = Hanse_V1_Approval()
    approval.proposal = Data(proposal.id.bytes)
    let third = try federation.draft(labs[0], .approval(approval), after: first)
    let other = try federation.draft(labs[0], .presence(Hanse_V1_Presence()), after: first)
    for entry in [third, other] { _ = try federation.book.append(entry) }
    federation.written += [third, other]
    federation.book.settle()
    #expect(federation.book.forks[labs[0]]?.sequence == 2)
    for lab in labs[1...] {
      #expect(federation.book.roster.version == 1)
      _ = try federation.attest(lab, federation.book.emptyMerge())
    }
    #expect(federation.book.roster.version == 2)
    try compare(federation)
  }

  /// Another attempt with a change, if the votes on the last allow one.
  private func proposeAgain(
    _ last: Hanse_V1_Proposal, by proposer: LabID, in federation: inout Federation
  ) throws -> Entry? {
    var proposal = last
    proposal.attempt += 1
    guard let change = last.change,
      let citations = federation.book.citations(for: change, attempt: proposal.attempt)
    else { return nil }
    proposal.citations = citations.map { Data($0.bytes) }
    return try federation.write(proposer, .proposal(proposal))
  }

  private func propose(
    removing lab: LabID, by proposer: LabID, in federation: inout Federation
  ) throws -> Entry {
    var removal = Hanse_V1_Removal()
    removal.lab = Data(lab.bytes)
    let last = federation.book.log(of: lab).last
    removal.lastSequence = last?.sequence ?? 0
    removal.lastEntry = Data(last?.id.bytes ?? [])
    removal.reason = "left"
    var proposal = Hanse_V1_Proposal()
    proposal.makesVersion = federation.book.roster.version + 1
    proposal.attempt = 1
    proposal.remove = removal
    return try federation.write(proposer, .proposal(proposal))
  }

  /// A second entry in the place of one of a lab's last.
  private func fork(_ lab: LabID, in federation: inout Federation) throws {
    let log = federation.book.log(of: lab)
    guard log.count > 2 else { return }
    var presence = Hanse_V1_Presence()
    presence.name = "another"
    let other = try federation.draft(lab, .presence(presence), after: log[log.count - 3])
    guard case .equivocation = try federation.book.append(other) else { return }
    federation.book.settle()
    federation.written.append(other)
  }

  private func compare(_ federation: Federation) throws {
    var fresh = Logbook(charter: federation.charter)
    var left = federation.written
    var isMoving = true
    while isMoving {
      isMoving = false
      left = try left.filter { entry in
        switch try fresh.append(entry) {
        case .gap, .unknownRoster: return true
        default:
          isMoving = true
          return false
        }
      }
    }
    fresh.settle()
    #expect(federation.book.rosters == fresh.rosters)
    #expect(federation.book.seal == fresh.seal)
    #expect(
      federation.book.openProposals.map(\.approvers) == fresh.openProposals.map(\.approvers))
  }
}
