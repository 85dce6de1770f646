import FoundationEssentials
import Identities
import Ledger
import Records
import Testing

/// Two branches of one log: Protocol/Ledger.md, "Branches".
@Suite struct BranchTests {
  /// Four labs. The first signs two entries at its second place and goes on from one of them; the
  /// other three attest that one.
  struct Forked {
    var federation: Federation
    let liar: LabID
    /// What all have.
    let first: Entry
    /// The branch that is attested.
    let branch: [Entry]
    /// What others than its holders have at the same place.
    let other: Entry
    let attestations: [Entry]

    init(length: Int = 3, attesters: Int = 3) throws {
      federation = try Federation(founders: 4)
      liar = federation.labs[0]
      first = try federation.write(liar, .presence(Hanse_V1_Presence()))
      var branch: [Entry] = []
      for _ in 0..<length {
        branch.append(try federation.contribute(liar, base: federation.book.emptyMerge()))
      }
      self.branch = branch
      var presence = Hanse_V1_Presence()
      presence.name = "another"
      other = try federation.draft(liar, .presence(presence), after: first)
      var attestations: [Entry] = []
      for lab in federation.labs[1...].prefix(attesters) {
        attestations.append(try federation.attest(lab, federation.book.emptyMerge()))
      }
      self.attestations = attestations
    }

    /// A ledger that saw the other branch first.
    func stranger() throws -> Logbook {
      var book = Logbook(charter: federation.charter)
      for entry in [first, other] {
        let outcome = try book.append(entry)
        #expect(outcome == .appended)
      }
      return book
    }
  }

  @Test func aLedgerChangesOverToTheBranchThatAQuorumAttested() throws {
    let forked = try Forked()
    var book = try forked.stranger()
    let outcome = try book.append(forked.branch[0])
    #expect(outcome == .equivocation(2))
    book.settle()
    #expect(book.wantedBranches.isEmpty)
    for entry in forked.attestations { _ = try book.append(entry) }
    book.settle()
    let wanted = try #require(book.wantedBranches.first)
    #expect(wanted.lab == forked.liar)
    #expect(wanted.after.first == 1)
    #expect(wanted.attesters == Array(forked.federation.labs[1...]).sorted())
    for entry in forked.branch[1...] {
      let outcome = try book.append(entry)
      #expect(outcome == .branch)
    }
    book.settle()
    #expect(book.log(of: forked.liar) == [forked.first] + forked.branch)
    #expect(book.wantedBranches.isEmpty)
    #expect(book.forks[forked.liar]?.held == forked.branch[0].id)
    #expect(book.forks[forked.liar]?.other == forked.other)
    let changed = book.takeChangedLogs().filter(\.isFollowed)
    #expect(changed.map(\.lab) == [forked.liar])
    #expect(changed.first?.entries == forked.branch)
    // It counts here as it does where nothing else was ever seen.
    #expect(book.seal == forked.federation.book.seal)
    #expect(book.status(of: forked.branch[0].id) == .pending)
    let again = try book.append(forked.branch[2])
    #expect(again == .known)
  }

  /// Whoever keeps what follows from the logs has to know when it may follow no longer.
  @Test func whatMayCountNoLongerIsCounted() throws {
    let forked = try Forked()
    var book = try forked.stranger()
    book.settle()
    let before = book.recounts
    for entry in forked.attestations { _ = try book.append(entry) }
    book.settle()
    #expect(book.recounts == before)
    _ = try book.append(forked.branch[0])
    book.settle()
    let forkedOnce = book.recounts
    #expect(forkedOnce > before)
    for entry in forked.branch[1...] { _ = try book.append(entry) }
    book.settle()
    #expect(book.recounts > forkedOnce)
  }

  @Test func withoutAQuorumEachKeepsWhatItSawAndNeitherCounts() throws {
    let forked = try Forked(attesters: 1)
    var book = try forked.stranger()
    _ = try book.append(forked.branch[0])
    for entry in forked.attestations { _ = try book.append(entry) }
    book.settle()
    #expect(book.wantedBranches.isEmpty)
    #expect(throws: LedgerError.equivocated(lab: forked.liar, sequence: 2)) {
      try book.append(forked.branch[1])
    }
    #expect(book.log(of: forked.liar) == [forked.first, forked.other])
    #expect(book.status(of: forked.branch[0].id) == nil)
  }

  /// Two honest labs and the liar itself are a quorum; what the liar says stands on the branch.
  @Test func whatTheLiarAttestsOnTheBranchCounts() throws {
    var forked = try Forked(attesters: 2)
    let own = try forked.federation.attest(forked.liar, forked.federation.book.emptyMerge())
    var book = try forked.stranger()
    _ = try book.append(forked.branch[0])
    for entry in forked.attestations { _ = try book.append(entry) }
    book.settle()
    #expect(book.wantedBranches.map(\.lab) == [forked.liar])
    for entry in forked.branch[1...] + [own] { _ = try book.append(entry) }
    book.settle()
    #expect(book.log(of: forked.liar) == [forked.first] + forked.branch)
    #expect(book.seal == forked.federation.book.seal)
  }

  /// Two attest one branch, one the other: what both have in common is sealed, and no more.
  @Test func theCommonPartIsSealedByWhoAttestsEitherBranch() throws {
    let forked = try Forked(attesters: 2)
    var book = try forked.stranger()
    for entry in forked.attestations { _ = try book.append(entry) }
    let third = forked.federation.labs[3]
    var attestation = Hanse_V1_Attestation()
    attestation.prefixes = [forked.other.position]
    attestation.merge = book.emptyMerge()
    attestation.stateRoot = Data(ContentID(of: [], kind: .state).bytes)
    let own = try forked.federation.draft(third, .attestation(attestation), after: nil)
    _ = try book.append(own)
    _ = try book.append(forked.branch[0])
    book.settle()
    #expect(book.wantedBranches.map(\.lab) == [forked.liar])
    for entry in forked.branch[1...] { _ = try book.append(entry) }
    book.settle()
    #expect(book.log(of: forked.liar) == [forked.first, forked.other])
    var seal = Hanse_V1_Seal()
    seal.rosterVersion = 1
    seal.prefixes = [forked.first.position]
    #expect(book.isAttested(seal))
    seal.prefixes = [forked.other.position]
    #expect(!book.isAttested(seal))
    #expect(book.takeChangedLogs().map(\.isFollowed) == [false])
  }

  @Test func whatIsSealedHereIsNeverLeft() throws {
    let forked = try Forked()
    var book = forked.federation.book
    // The liar's friends now attest the other branch; those that sealed this one have no use for
    // it.
    let outcome = try book.append(forked.other)
    #expect(outcome == .equivocation(2))
    book.settle()
    #expect(book.log(of: forked.liar) == [forked.first] + forked.branch)
    #expect(book.takeChangedLogs().isEmpty)
    #expect(book.status(of: forked.branch[0].id) == .pending)
  }

  /// A ledger that is told from its disk what it had appended, then what it had kept beside.
  @Test func aLedgerThatStartsAnewChangesOverAgain() throws {
    let forked = try Forked()
    var book = try forked.stranger()
    for entry in forked.attestations { _ = try book.append(entry) }
    for entry in forked.branch {
      let outcome = try book.append(entry, wasKept: true)
      #expect(outcome == (entry == forked.branch[0] ? .equivocation(2) : .branch))
    }
    book.settle()
    #expect(book.log(of: forked.liar) == [forked.first] + forked.branch)
    #expect(book.seal == forked.federation.book.seal)
  }

  @Test func theAttestedBranchIsTheSameInEveryOrder() throws {
    let forked = try Forked()
    let late = forked.branch[1...] + forked.attestations[...]
    for turn in 0..<late.count {
      var book = try forked.stranger()
      _ = try book.append(forked.branch[0])
      let order = Array(late.dropFirst(turn)) + Array(late.prefix(turn))
      // What is not wanted yet is asked for again once it is.
      for entry in order + order {
        _ = try? book.append(entry)
        book.settle()
      }
      #expect(book.log(of: forked.liar) == [forked.first] + forked.branch)
      #expect(book.seal == forked.federation.book.seal)
    }
  }

  @Test func aFrontierOnTheBranchThatLostIsVoid() throws {
    let forked = try Forked()
    var book = try forked.stranger()
    var frontier = book.emptyMerge().frontier
    frontier.above = [forked.other.position]
    for entry in forked.attestations { _ = try book.append(entry) }
    for entry in forked.branch { _ = try book.append(entry, wasKept: true) }
    book.settle()
    #expect(throws: LedgerError.otherBranch(lab: forked.liar, sequence: 2)) {
      try book.expand(frontier)
    }
  }

  /// A judge rejected, another kept silent: the author tries again, and both tries may be admitted.
  @Test func oneOfTwoAdmittedTriesWeighs() throws {
    var federation = try Federation(founders: 4)
    let labs = federation.labs
    let base = federation.book.emptyMerge()
    let first = try federation.contribute(labs[0], base: base)
    let no = try federation.judge(labs[1], first, accept: false)
    #expect(federation.book.status(of: first.id) == .pending)
    var message = federation.contribution(base: base, attempt: 2)
    message.rejections = [Data(no.id.bytes)]
    let second = try federation.write(labs[0], .contribution(message))
    for judge in labs[2...] {
      _ = try federation.judge(judge, first)
      _ = try federation.judge(judge, second)
    }
    #expect(federation.book.status(of: first.id) == .admitted)
    #expect(federation.book.status(of: second.id) == .admitted)
    let head = federation.head()
    let groups = try federation.book.landingGroups(of: head)
    let weighing = groups.flatMap(\.contributions).filter { !$0.isRecalled }.map(\.id)
    #expect(weighing == [second.id])
  }
}
