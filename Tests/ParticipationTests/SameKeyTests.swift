import FoundationEssentials
import Identities
import Ledger
import Participation
import Records
import Testing

/// One key in two places: a home that was copied and both of which run.
@Suite struct SameKeyTests {
  private func circle() throws -> Circle {
    var circle = try Circle(3)
    for (left, right) in [(0, 1), (0, 2), (1, 2)] {
      let isMet = circle.meet(left, right)
      #expect(isMet)
    }
    circle.tell(0, .addresses(["127.0.0.1:7447"]))
    circle.wait(3)
    return circle
  }

  /// What the other daemon signs behind all that the first lab has written.
  private func foreign(_ circle: Circle, wallSeconds: UInt64) throws -> Entry {
    var presence = Hanse_V1_Presence()
    presence.name = "the copy"
    return try circle.forge(
      0, .presence(presence), after: circle.nodes[0].logbook.log(of: circle.lab(0)).last,
      wallSeconds: wallSeconds)
  }

  @Test func theOtherDaemonIsNoticedBeforeTheLogForks() throws {
    var circle = try circle()
    #expect(circle.nodes[0].canSign)
    let entry = try foreign(circle, wallSeconds: circle.moment.wallSeconds + 1)
    circle.tell(1, .imported([entry]))
    circle.wait(3)
    #expect(circle.nodes[0].logbook.log(of: circle.lab(0)).last == entry)
    #expect(!circle.nodes[0].canSign)
    let isSaid = circle.news[0].contains { news in
      if case .signedElsewhere(entry.sequence) = news { true } else { false }
    }
    #expect(isSaid)
    let kept = circle.kept[0]
    let refusal = #expect(throws: Refusal.self) {
      try circle.ask(0) { node, moment throws(Refusal) in
        try node.invite(SigningKey.generate(), uses: 1, expiresInSeconds: 60, at: moment)
      }
    }
    #expect(refusal?.reason.contains("another daemon has signed entry") == true)
    #expect(refusal?.hint.contains("end one of the two") == true)
    circle.wait(30)
    #expect(circle.kept[0] == kept)
    #expect(circle.nodes.allSatisfy { $0.logbook.forks.isEmpty })
    // The other one has been ended, and this one is started anew.
    circle.restart(0, keys: [circle.firstKeys[0]])
    for other in [1, 2] {
      let isMet = circle.meet(0, other)
      #expect(isMet)
    }
    circle.wait(3)
    #expect(circle.nodes[0].canSign)
    #expect(circle.nodes.allSatisfy { $0.logbook.forks.isEmpty })
  }

  /// What an earlier life wrote and a disk lost is no other daemon's.
  @Test func anEntryOfAnEarlierLifeIsTakenBack() throws {
    var circle = try circle()
    let entry = try foreign(circle, wallSeconds: 0)
    circle.tell(1, .imported([entry]))
    circle.wait(3)
    #expect(circle.nodes[0].logbook.log(of: circle.lab(0)).contains(entry))
    #expect(circle.nodes[0].canSign)
  }

  @Test func aForkedLogSaysWhyNothingIsSigned() throws {
    var circle = try circle()
    circle.part(0, 1)
    circle.part(0, 2)
    let theirs = try foreign(circle, wallSeconds: 0)
    _ = try circle.ask(0) { node, moment throws(Refusal) in
      try node.invite(SigningKey.generate(), uses: 1, expiresInSeconds: 60, at: moment)
    }
    let version = circle.nodes[0].logbook.roster.version
    circle.tell(1, .imported([theirs]))
    circle.meet(0, 1)
    circle.wait(3)
    for node in circle.nodes {
      #expect(node.logbook.forks[circle.lab(0)]?.sequence == theirs.sequence)
      #expect(node.logbook.roster.version == version)
    }
    let refusal = #expect(throws: Refusal.self) { try circle.nodes[0].requireSigning() }
    #expect(
      refusal?.reason
        == "two entries of this lab's own log stand at sequence \(theirs.sequence)")
    #expect(refusal?.hint.contains("join again") == true)
  }
}
