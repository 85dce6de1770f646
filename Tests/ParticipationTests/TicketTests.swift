import FoundationEssentials
import Identities
import Ledger
import Participation
import Records
import Testing

/// Who may ask to be let in: each request that is refused says why and leaves nothing behind.
@Suite struct TicketTests {
  private static func key(_ number: UInt8) -> SigningKey {
    SigningKey(seed: [UInt8](repeating: number, count: 32))!
  }

  /// Three labs that have met, and the one-time key of a ticket that the first has made.
  private func invited(uses: Int = 1) throws -> (circle: Circle, ticket: SigningKey) {
    var circle = try Circle(3)
    for (left, right) in [(0, 1), (0, 2), (1, 2)] {
      let isMet = circle.meet(left, right)
      #expect(isMet)
    }
    circle.tell(0, .addresses(["127.0.0.1:7447"]))
    circle.wait(3)
    let made = try circle.ask(0) { node, moment throws(Refusal) in
      try node.invite(Self.key(77), uses: uses, expiresInSeconds: 20, at: moment)
    }
    circle.wait(2)
    return (circle, SigningKey(seed: Array(made.invitationSeed))!)
  }

  private func request(
    _ circle: Circle, _ lab: SigningKey, _ ticket: SigningKey, federation: ContentID? = nil,
    charterOnly: Bool = false
  ) throws -> Hanse_V1_JoinRequest {
    var body = Hanse_V1_JoinRequestBody()
    body.federation = Data((federation ?? circle.charter.id).bytes)
    body.name = "lab \(lab.publicKey.fingerprint)"
    body.charterOnly = charterOnly
    return try JoinAsk.sign(body, lab: lab, invitation: ticket)
  }

  /// What a member answers to a request over a connection of `key`, and whether it kept anything.
  private func answer(
    _ circle: inout Circle, _ member: Int, _ request: Hanse_V1_JoinRequest, from key: SigningKey
  ) throws -> (answer: Hanse_V1_JoinAnswer, isKept: Bool) {
    let before = circle.kept[member].count
    let answer = try circle.ask(member) { node, moment throws(Refusal) in
      node.answer(request, from: key.publicKey, at: moment)
    }
    return (answer, circle.kept[member].count > before)
  }

  /// Expects that nothing is given, kept or changed, and that the reason is said.
  private func isRefused(
    _ circle: inout Circle, _ member: Int, _ request: Hanse_V1_JoinRequest, from key: SigningKey,
    _ reason: String
  ) throws {
    let (answer, isKept) = try answer(&circle, member, request, from: key)
    #expect(!answer.accepted && answer.charter.isEmpty && !isKept)
    #expect(answer.reason.contains(reason), "\(answer.reason)")
    #expect(!answer.hint.isEmpty)
  }

  @Test func aTicketIsForAsManyLabsAsItSays() throws {
    var (circle, ticket) = try invited()
    let (first, isKept) = try answer(
      &circle, 1, request(circle, Self.key(50), ticket), from: Self.key(50))
    #expect(first.accepted && isKept && Array(first.charter) == circle.charter.bytes)
    circle.wait(2)
    // The one that asked may ask again, at whatever member; another lab may not.
    let (again, isKeptAgain) = try answer(
      &circle, 1, request(circle, Self.key(50), ticket), from: Self.key(50))
    #expect(again.accepted && !isKeptAgain)
    for member in 0..<3 {
      try isRefused(
        &circle, member, request(circle, Self.key(51), ticket), from: Self.key(51),
        "the ticket has been used already")
    }
  }

  @Test func anExpiredOrUnknownTicketIsNone() throws {
    var (circle, ticket) = try invited()
    try isRefused(
      &circle, 0, request(circle, Self.key(50), Self.key(78)), from: Self.key(50),
      "no member has announced this ticket")
    circle.wait(20)
    for charterOnly in [false, true] {
      try isRefused(
        &circle, 2, request(circle, Self.key(50), ticket, charterOnly: charterOnly),
        from: Self.key(50), "the ticket has expired")
    }
  }

  @Test func aRequestOfAnotherFederationIsRefused() throws {
    var (circle, ticket) = try invited()
    let other = ContentID(of: [1], kind: .charter)
    try isRefused(
      &circle, 0, request(circle, Self.key(50), ticket, federation: other), from: Self.key(50),
      "another federation")
  }

  @Test func aRequestThatSomebodyElseSendsAgainIsRefused() throws {
    var (circle, ticket) = try invited(uses: 5)
    for charterOnly in [false, true] {
      // Every member can read it in the log of whoever recorded it.
      let recorded = try request(circle, Self.key(50), ticket, charterOnly: charterOnly)
      try isRefused(&circle, 0, recorded, from: Self.key(51), "the request is another lab's")
      let (own, _) = try answer(&circle, 0, recorded, from: Self.key(50))
      #expect(own.accepted)
    }
  }

  @Test func aRequestThatWasChangedOnTheWayIsRefused() throws {
    var (circle, ticket) = try invited()
    let good = try request(circle, Self.key(50), ticket)
    for index in good.body.indices {
      var bad = good
      bad.body[index] ^= 1
      try isRefused(&circle, 0, bad, from: Self.key(50), "the request is not valid")
    }
    var unsigned = good
    unsigned.labSignature = Data(count: 64)
    try isRefused(&circle, 0, unsigned, from: Self.key(50), "the request is not valid")
  }

  @Test func theTicketOfALabThatWasRemovedIsNone() throws {
    var (circle, ticket) = try invited(uses: 5)
    let (asked, _) = try answer(
      &circle, 1, request(circle, Self.key(50), ticket), from: Self.key(50))
    #expect(asked.accepted)
    var removal = Hanse_V1_Removal()
    removal.lab = Data(circle.lab(0).bytes)
    let last = try #require(circle.nodes[1].logbook.log(of: circle.lab(0)).last)
    removal.lastSequence = last.sequence
    removal.lastEntry = Data(last.id.bytes)
    let proposal = try circle.ask(1) { node, moment throws(Refusal) in
      try node.propose(.remove(removal), at: moment)
    }
    circle.wait(1)
    _ = try circle.ask(2) { node, moment throws(Refusal) in try node.approve(proposal, at: moment) }
    circle.wait(1)
    for member in [1, 2] {
      #expect(circle.nodes[member].logbook.roster.version == 2)
      // Neither somebody new nor whoever had asked with it before.
      for key in [Self.key(50), Self.key(51)] {
        try isRefused(
          &circle, member, request(circle, key, ticket), from: key,
          "no member has announced this ticket")
      }
    }
  }

  @Test func aKeyThatWasRemovedDoesNotComeBackWithATicket() throws {
    var (circle, ticket) = try invited(uses: 5)
    var removal = Hanse_V1_Removal()
    removal.lab = Data(circle.lab(2).bytes)
    let last = try #require(circle.nodes[0].logbook.log(of: circle.lab(2)).last)
    removal.lastSequence = last.sequence
    removal.lastEntry = Data(last.id.bytes)
    let proposal = try circle.ask(0) { node, moment throws(Refusal) in
      try node.propose(.remove(removal), at: moment)
    }
    circle.wait(1)
    // One approval less than more than half changes nothing anywhere.
    #expect(circle.nodes.allSatisfy { $0.logbook.roster.version == 1 })
    _ = try circle.ask(1) { node, moment throws(Refusal) in try node.approve(proposal, at: moment) }
    circle.wait(1)
    #expect(circle.nodes[..<2].allSatisfy { $0.logbook.roster.version == 2 })
    try isRefused(
      &circle, 0, request(circle, circle.firstKeys[2], ticket), from: circle.firstKeys[2],
      "was on the roster before")
    let (other, _) = try answer(
      &circle, 0, request(circle, Self.key(50), ticket), from: Self.key(50))
    #expect(other.accepted)
  }
}
