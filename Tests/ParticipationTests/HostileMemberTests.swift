import Determinism
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Participation
import Records
import Testing

/// A member that keeps to no rule, over a connection of its own: what it says and cannot prove
/// changes nothing and keeps nobody from anything.
@Suite struct HostileMemberTests {
  private static func presence(_ name: String) -> Hanse_V1_Entry.OneOf_Payload {
    var presence = Hanse_V1_Presence()
    presence.name = name
    return .presence(presence)
  }

  private static func frame(_ entries: [Entry]) -> Hanse_V1_Frame {
    var frame = Hanse_V1_Frame()
    frame.entries.entries = entries.map(\.signed)
    return frame
  }

  /// Four labs: the first has met the second; the third is hostile, the fourth is away.
  private func circle() throws -> Circle {
    var circle = try Circle(4)
    let isMet = circle.meet(0, 1)
    #expect(isMet)
    return circle
  }

  @Test func aForgedEntryOfALaterRosterKeepsNobodyFromReadingTheLog() throws {
    var circle = try circle()
    let wire = circle.intrude(0, as: 2)
    let true1 = try circle.forge(3, Self.presence("true"))
    let log = [true1, try circle.forge(3, Self.presence("true too"), after: true1)]
    for turn in 0..<20 {
      // Nobody can say whose it is while no roster of that version is known.
      let forged = try circle.forge(
        3, Self.presence("forged \(turn)"), version: 99, key: circle.firstKeys[2])
      circle.tell(0, .frame(wire, Self.frame([forged])))
      if turn == 5 { circle.tell(1, .imported(log)) }
      circle.wait(1)
    }
    #expect(circle.nodes[0].logbook.log(of: circle.lab(3)) == log)
  }

  /// A true entry of a later place, with a forged one before it: who shows them does not keep what
  /// really lies before from being asked of others.
  @Test func aLaterTrueEntryKeepsNobodyFromReadingTheLog() throws {
    var circle = try circle()
    let wire = circle.intrude(0, as: 2)
    let first = try circle.forge(3, Self.presence("true"))
    let later = try circle.forge(3, Self.presence("later"), after: first, version: 2)
    // Within the seconds for which what waits is asked of nobody.
    for turn in 0..<4 {
      let forged = try circle.forge(
        3, Self.presence("forged \(turn)"), version: 2, key: circle.firstKeys[2])
      circle.tell(0, .frame(wire, Self.frame([forged, later])))
      if turn == 0 { circle.tell(1, .imported([first])) }
      circle.wait(1)
    }
    #expect(circle.nodes[0].logbook.log(of: circle.lab(3)) == [first])
  }

  @Test func aTrueEntryIsNotMistakenForTheSameOneWithAForgedSignature() throws {
    var circle = try circle()
    let wire = circle.intrude(0, as: 2)
    let early = try circle.forge(3, Self.presence("early"), version: 2)
    var signature = early.signature
    signature[0] ^= 1
    let forged = try Entry(body: early.body, signature: signature)
    circle.tell(0, .frame(wire, Self.frame([forged])))
    circle.tell(0, .frame(wire, Self.frame([early])))
    #expect(circle.nodes[0].logbook.log(of: circle.lab(3)).isEmpty)
    // Three of four approve a change, and version 2 is there.
    var proposal = Hanse_V1_Proposal()
    proposal.makesVersion = 2
    proposal.attempt = 1
    proposal.rotate = Hanse_V1_KeyRotation(of: circle.lab(2), to: KeyTests.next)
    let proposed = try circle.forge(2, .proposal(proposal))
    var approval = Hanse_V1_Approval()
    approval.proposal = Data(proposed.id.bytes)
    circle.tell(
      0, .imported([proposed, try circle.forge(2, .approval(approval), after: proposed)]))
    _ = try circle.ask(0) { node, moment throws(Refusal) in
      try node.approve(proposed.id, at: moment)
    }
    #expect(circle.nodes[0].logbook.roster.version == 1)
    circle.tell(0, .imported([try circle.forge(1, .approval(approval))]))
    #expect(circle.nodes[0].logbook.roster.version == 2)
    #expect(circle.nodes[0].logbook.log(of: circle.lab(3)) == [early])
  }

  @Test func whatWaitsUncheckedIsBounded() throws {
    var circle = try circle()
    let wire = circle.intrude(0, as: 2)
    var big = Hanse_V1_Attestation()
    big.merge = circle.nodes[0].logbook.emptyMerge()
    big.stateRoot = Data(count: 32)
    let before = circle.nodes[0].logbook.entryCount
    for turn in 0..<UInt32(300) {
      var exclusion = Hanse_V1_Exclusion()
      exclusion.lab = Data(circle.lab(3).bytes)
      exclusion.sequences = (0..<6000).map { UInt64($0) + UInt64(turn) + (1 << 40) }
      big.merge.frontier.excluded = [exclusion]
      let forged = try circle.forge(3, .attestation(big), version: 99, key: circle.firstKeys[2])
      circle.tell(0, .frame(wire, Self.frame([forged])))
    }
    #expect(circle.nodes[0].waitingBytes > Limits.waitingBytesMax / 2)
    #expect(circle.nodes[0].waitingBytes <= Limits.waitingBytesMax)
    #expect(circle.nodes[0].logbook.entryCount == before)
  }

  /// A node that has just started waits for what others have more of its own log.
  @Test func aClaimOfMoreKeepsNobodySilentForEver() throws {
    for answers in [0, 1, 2] {
      var circle = try Circle(4)
      let wire = circle.intrude(0, as: 3)
      var heads = Hanse_V1_Frame()
      var position = Hanse_V1_LogPosition()
      position.lab = Data(circle.lab(0).bytes)
      position.entry = Data(ContentID(of: [7], kind: .entry).bytes)
      position.sequence = 1000
      heads.heads.heads = [position]
      circle.tell(0, .frame(wire, heads))
      for other in [1, 2] {
        let isMet = circle.meet(0, other)
        #expect(isMet)
      }
      circle.wait(2)
      #expect(!circle.nodes[0].canSign)
      let forged = try circle.forge(
        0, Self.presence("forged"), version: answers == 1 ? 1 : 99, key: circle.firstKeys[3])
      for _ in 0..<400 where !circle.nodes[0].canSign {
        circle.wait(1)
        circle.tell(0, .frame(wire, heads))
        if answers > 0 { circle.tell(0, .frame(wire, Self.frame([forged]))) }
      }
      #expect(circle.nodes[0].canSign, "\(answers)")
      #expect(circle.nodes[0].logbook.log(of: circle.lab(0)).allSatisfy { $0 != forged })
    }
  }

  /// Entries that are signed as they should be, with every number and id as extreme as may be.
  @Test(arguments: [UInt64(1), 2, 3, 4]) func signedNonsenseNeverTraps(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var circle = try circle()
    circle.wait(3)
    let wire = circle.intrude(0, as: 2)
    var last: Entry?
    var taken = 0
    for _ in 0..<400 {
      var nonsense = Nonsense(circle: circle, generator: generator)
      let payload = nonsense.payload()
      generator = nonsense.generator
      guard let entry = try? circle.forge(2, payload, after: last) else { continue }
      circle.tell(0, .frame(wire, Self.frame([entry])))
      guard circle.nodes[0].logbook.entry(entry.id) != nil else { continue }
      last = entry
      taken += 1
      if taken % 16 == 0 { circle.wait(1) }
    }
    circle.wait(3)
    #expect(taken > 50)
    #expect(circle.nodes[0].logbook.roster.version == 1)
    #expect(circle.nodes[0].logbook.log(of: circle.lab(0)).allSatisfy { $0.lab == circle.lab(0) })
    // Whoever reads it all anew comes to the same.
    circle.restart(0, keys: [circle.firstKeys[0]])
    #expect(circle.nodes[0].logbook.log(of: circle.lab(2)).last == last)
  }
}

/// Payloads out of extreme numbers.
private struct Nonsense {
  let circle: Circle
  var generator: SeededGenerator

  private mutating func number() -> UInt64 {
    let numbers: [UInt64] = [0, 1, 2, 3, .max, .max - 1, UInt64(UInt32.max), 1 << 62, 1 << 31]
    return numbers[Int(generator.next() % UInt64(numbers.count))]
  }

  private mutating func small() -> UInt32 { UInt32(truncatingIfNeeded: number()) }

  private mutating func lab() -> Data {
    Data(circle.lab(Int(generator.next() % 4)).bytes)
  }

  private mutating func id() -> Data {
    let all = circle.kept[0]
    guard generator.next() % 3 > 0, !all.isEmpty else {
      return Data(ContentID(of: [UInt8(generator.next() % 3)], kind: .entry).bytes)
    }
    return Data(all[Int(generator.next() % UInt64(all.count))].id.bytes)
  }

  private mutating func positions() -> [Hanse_V1_LogPosition] {
    (0..<4).filter { _ in generator.next() % 2 == 0 }.map { circle.lab($0) }.sorted().map { lab in
      var position = Hanse_V1_LogPosition()
      position.lab = Data(lab.bytes)
      position.sequence = max(1, number())
      position.entry = id()
      return position
    }
  }

  private mutating func merge() -> Hanse_V1_Merge {
    var merge = circle.nodes[0].logbook.emptyMerge()
    if generator.next() % 2 == 0 { return merge }
    merge.rosterVersion = max(1, small())
    merge.frontier.round = small()
    merge.frontier.seal.rosterVersion = max(1, small())
    merge.frontier.seal.prefixes = positions()
    merge.frontier.above = positions()
    if generator.next() % 2 == 0 {
      var exclusion = Hanse_V1_Exclusion()
      exclusion.lab = lab()
      exclusion.sequences = [number(), number(), number()].sorted()
      merge.frontier.excluded = [exclusion]
    }
    return merge
  }

  private mutating func proposal() -> Hanse_V1_Proposal {
    var proposal = Hanse_V1_Proposal()
    proposal.makesVersion = max(2, small())
    proposal.attempt = max(1, small())
    proposal.citations = [id(), id()]
    switch generator.next() % 4 {
    case 0:
      proposal.remove.lab = lab()
      proposal.remove.lastSequence = number()
      proposal.remove.lastEntry = id()
    case 1: proposal.recall.contributions = [id(), id()]
    case 2:
      proposal.changeRule.outerRateQ16 = small()
      proposal.changeRule.graceSeconds = small()
    default: break
    }
    return proposal
  }

  mutating func payload() -> Hanse_V1_Entry.OneOf_Payload {
    switch generator.next() % 6 {
    case 0:
      var message = Hanse_V1_Contribution()
      message.base = merge()
      message.round = generator.next() % 2 == 0 ? 1 : max(1, small())
      message.attempt = 1 + UInt32(generator.next() % 8)
      message.rejections = [id()]
      message.payload.codec = "int4-128"
      message.payload.size = generator.next() % 2 == 0 ? 1 : 1 << 30
      message.payload.decodedSize = 1 << 33
      message.payload.blockList = id()
      message.payload.symbols = id()
      message.factorNorms = [small(), small()].map(UInt64.init)
      message.tokens = 1 << 40
      return .contribution(message)
    case 1:
      var message = Hanse_V1_Verdict()
      message.contribution = id()
      message.accept = generator.next() % 2 == 0
      return .verdict(message)
    case 2:
      var message = Hanse_V1_Attestation()
      message.prefixes = positions()
      message.merge = merge()
      message.stateRoot = id()
      return .attestation(message)
    case 3: return .proposal(proposal())
    case 4:
      var message = Hanse_V1_Approval()
      message.proposal = id()
      return .approval(message)
    default:
      var message = Hanse_V1_Presence()
      message.addresses = ["\u{1b}[2J:99999", String(repeating: "9", count: 256)]
      message.name = "\u{1b}[31m"
      return .presence(message)
    }
  }
}
