import FoundationEssentials
import Identities
import Ledger
import Participation
import Records
import Testing

/// A lab's key is replaced: which one signs, which are shown, and what a kill leaves.
@Suite struct KeyTests {
  static let next = SigningKey(seed: [UInt8](repeating: 99, count: 32))!

  /// Three labs that have met; the first has asked for a new key.
  private func asked() throws -> (circle: Circle, proposal: ContentID) {
    var circle = try Circle(3)
    for (left, right) in [(0, 1), (0, 2), (1, 2)] {
      let isMet = circle.meet(left, right)
      #expect(isMet)
    }
    circle.wait(3)
    let id = try circle.ask(0) { node, moment throws(Refusal) in
      try node.rotate(to: Self.next, at: moment)
    }
    circle.wait(2)
    return (circle, id)
  }

  @Test func theRosterDecidesWhichKeySigns() throws {
    var (circle, proposal) = try asked()
    let old = circle.firstKeys[0].publicKey
    #expect(circle.nodes[0].key.publicKey == old)
    // The old one is shown, the new one to whoever does not take that.
    #expect(circle.shown[0] == [old, Self.next.publicKey])
    _ = try circle.ask(1) { node, moment throws(Refusal) in
      try node.approve(proposal, at: moment)
    }
    circle.wait(2)
    for node in circle.nodes {
      #expect(node.logbook.roster.version == 2)
      #expect(node.logbook.roster.member(circle.lab(0))?.key == Self.next.publicKey)
    }
    #expect(circle.nodes[0].key.publicKey == Self.next.publicKey)
    #expect(circle.nodes[0].lab == circle.lab(0))
    // The others take the new key and not the old one.
    for index in [1, 2] {
      #expect(circle.members[index][Self.next.publicKey] == circle.lab(0))
      #expect(circle.members[index][old] == nil)
    }
    // Every entry of the log is signed by the key of the roster version that it names.
    _ = try circle.ask(0) { node, moment throws(Refusal) in
      try node.propose(.recall(Self.recall), at: moment)
    }
    let log = circle.nodes[0].logbook.log(of: circle.lab(0))
    #expect(log.contains { $0.rosterVersion == 2 })
    for entry in log {
      try entry.verify(with: entry.rosterVersion == 1 ? old : Self.next.publicKey)
    }
  }

  private static var recall: Hanse_V1_Recall {
    var recall = Hanse_V1_Recall()
    recall.contributions = [.init(ContentID(of: [9], kind: .entry).bytes)]
    return recall
  }

  @Test func theOldKeyIsKeptUntilEveryMemberHasShownThatItKnows() throws {
    var (circle, proposal) = try asked()
    let old = circle.firstKeys[0].publicKey
    circle.part(0, 2)
    circle.part(1, 2)
    _ = try circle.ask(1) { node, moment throws(Refusal) in
      try node.approve(proposal, at: moment)
    }
    circle.wait(5)
    #expect(circle.shown[0] == [Self.next.publicKey, old])
    // The third lab knows only the old key, and refuses the new one until it has heard.
    let met1 = circle.meet(0, 2)
    #expect(!met1)
    let met2 = circle.meet(0, 2, showing: old)
    #expect(met2)
    circle.wait(3)
    #expect(circle.nodes[2].logbook.roster.version == 2)
    for index in [1, 2] {
      _ = try? circle.ask(index) { node, moment throws(Refusal) in
        try node.propose(.recall(Self.recall), at: moment)
      }
    }
    circle.wait(5)
    #expect(circle.shown[0] == [Self.next.publicKey])
  }

  @Test func aKillAtAnyMomentLeavesTheKeyThatIsDue() throws {
    var (circle, proposal) = try asked()
    let old = circle.firstKeys[0]
    // Killed before it is enacted: the old key signs, and the proposal stands.
    circle.restart(0, keys: [old, Self.next])
    #expect(circle.nodes[0].key.publicKey == old.publicKey)
    #expect(circle.nodes[0].openRotation(of: circle.lab(0))?.id == proposal)
    _ = try circle.ask(1) { node, moment throws(Refusal) in
      try node.approve(proposal, at: moment)
    }
    // Enacted elsewhere while it was away: it is met with the new key, which it can show.
    let met3 = circle.meet(0, 1)
    #expect(!met3)
    let met4 = circle.meet(0, 1, showing: Self.next.publicKey)
    #expect(met4)
    circle.wait(3)
    #expect(circle.nodes[0].key.publicKey == Self.next.publicKey)
    // Killed with the files in either order: the roster says which is in use.
    for keys in [[old, Self.next], [Self.next, old], [Self.next]] {
      circle.restart(0, keys: keys)
      #expect(circle.nodes[0].key.publicKey == Self.next.publicKey)
      #expect(circle.shown[0].first == Self.next.publicKey)
      #expect(circle.nodes[0].lab == circle.lab(0))
    }
    #expect(circle.nodes.allSatisfy { $0.logbook.forks.isEmpty })
  }

  @Test func aLostKeyIsReplacedByTheOthers() throws {
    var circle = try Circle(3)
    for (left, right) in [(0, 1), (0, 2), (1, 2)] {
      let isMet = circle.meet(left, right)
      #expect(isMet)
    }
    circle.wait(3)
    let written = circle.nodes[0].logbook.log(of: circle.lab(0)).count
    circle.restart(0, keys: [Self.next])
    // Its seat is there, but nothing may be signed, and nobody lets it in.
    #expect(circle.nodes[0].isMember)
    #expect(!circle.nodes[0].canSign)
    let met5 = circle.meet(0, 1)
    #expect(!met5)
    let refusal = #expect(throws: Refusal.self) {
      try circle.ask(0) { node, moment throws(Refusal) in
        try node.rotate(to: Self.next, at: moment)
      }
    }
    #expect(refusal?.hint.contains("hanse propose rotate") == true)
    let line = KeyRotationText.write(Hanse_V1_KeyRotation(of: circle.lab(0), to: Self.next))
    let rotation = try KeyRotationText.read(line)
    let proposal = try circle.ask(1) { node, moment throws(Refusal) in
      try node.propose(.rotate(rotation), at: moment)
    }
    circle.wait(1)
    _ = try circle.ask(2) { node, moment throws(Refusal) in try node.approve(proposal, at: moment) }
    circle.wait(1)
    // The others know the new key now; the lab itself hears of it from them.
    let met6 = circle.meet(1, 0) || circle.meet(0, 1)
    #expect(met6)
    let met7 = circle.meet(0, 2)
    #expect(met7)
    circle.wait(5)
    #expect(circle.nodes[0].canSign)
    #expect(circle.nodes[0].lab == circle.lab(0))
    _ = try circle.ask(0) { node, moment throws(Refusal) in
      try node.propose(.recall(Self.recall), at: moment)
    }
    circle.wait(2)
    let log = circle.nodes[1].logbook.log(of: circle.lab(0))
    #expect(log.count > written)
    try log[log.count - 1].verify(with: Self.next.publicKey)
    #expect(circle.nodes.allSatisfy { $0.logbook.forks.isEmpty })
  }

  @Test func whatIsNoGoodIsRefusedWithTheWayOut() throws {
    var (circle, _) = try asked()
    let again = #expect(throws: Refusal.self) {
      try circle.ask(0) { node, moment throws(Refusal) in
        try node.rotate(to: SigningKey.generate(), at: moment)
      }
    }
    #expect(again?.reason.contains("proposed already") == true)
    let used = Hanse_V1_KeyRotation(of: circle.lab(1), to: circle.firstKeys[2])
    let other = #expect(throws: Refusal.self) { try circle.nodes[1].requireUnused(used) }
    #expect(other?.reason.contains("is that of lab 2") == true)
    var forged = Hanse_V1_KeyRotation(of: circle.lab(1), to: SigningKey.generate())
    forged.lab = .init(circle.lab(2).bytes)
    #expect(throws: Refusal.self) { try circle.nodes[0].requireUnused(forged) }
  }
}
