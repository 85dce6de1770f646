import FoundationEssentials
import Identities
import Ledger
import Participation
import Records
import Testing

/// A lab that shows one approval to some and another to others, so that their rosters differ for a
/// while: Protocol/Ledger.md, "Roster".
@Suite struct ForkedRosterTests {
  /// Four labs, of which the fourth is hostile and only its entries are seen. The first two have
  /// met each other, the third is apart.
  private struct Scene {
    var circle: Circle
    /// The hostile lab's proposals, and its approvals of them, both at its third place.
    let first: Entry
    let second: Entry
    let forFirst: Entry
    let forSecond: Entry

    init() throws {
      circle = try Circle(4)
      for (left, right) in [(0, 1), (0, 2), (1, 2)] {
        let isMet = circle.meet(left, right)
        #expect(isMet)
      }
      circle.wait(3)
      first = try circle.forge(3, Self.rule(tolerance: 1000))
      second = try circle.forge(3, Self.rule(tolerance: 2000), after: first)
      forFirst = try circle.forge(3, Self.approval(of: first), after: second)
      forSecond = try circle.forge(3, Self.approval(of: second), after: second)
      circle.part(0, 2)
      circle.part(1, 2)
      circle.tell(0, .imported([first, second, forFirst]))
      circle.tell(2, .imported([first, second, forSecond]))
      circle.wait(2)
    }

    static func rule(tolerance: UInt64) -> Hanse_V1_Entry.OneOf_Payload {
      var proposal = Hanse_V1_Proposal()
      proposal.makesVersion = 2
      proposal.attempt = 1
      proposal.changeRule.toleranceMicronats = tolerance
      return .proposal(proposal)
    }

    static func approval(of proposal: Entry) -> Hanse_V1_Entry.OneOf_Payload {
      var approval = Hanse_V1_Approval()
      approval.proposal = Data(proposal.id.bytes)
      return .approval(approval)
    }

    mutating func approve(_ index: Int, _ proposal: Entry) throws {
      _ = try circle.ask(index) { node, moment throws(Refusal) in
        try node.approve(proposal.id, at: moment)
      }
      circle.wait(2)
    }

    mutating func meetAgain() {
      for other in [0, 1] {
        let isMet = circle.meet(other, 2)
        #expect(isMet)
      }
      circle.wait(10)
    }

    var versions: [UInt32] { circle.nodes.prefix(3).map(\.logbook.roster.version) }
    var rosters: Set<ContentID> { Set(circle.nodes.prefix(3).map(\.logbook.roster.id)) }
  }

  @Test func whatOnlyTheLiarsApprovalMadeIsTakenBackEverywhere() throws {
    var scene = try Scene()
    try scene.approve(0, scene.first)
    #expect(scene.versions == [1, 1, 1])
    try scene.approve(1, scene.first)
    // Three of four, the liar one of them.
    #expect(scene.versions == [2, 2, 1])
    scene.meetAgain()
    #expect(scene.versions == [1, 1, 1])
    #expect(scene.rosters.count == 1)
    for index in 0..<3 {
      #expect(scene.circle.nodes[index].logbook.forks[scene.circle.lab(3)]?.sequence == 3)
      #expect(scene.circle.evidence[index].count == 1)
    }
    // Honest approvals still count, and with one more it is enacted for good.
    try scene.approve(2, scene.first)
    #expect(scene.versions == [2, 2, 2])
    #expect(scene.rosters.count == 1)
    #expect(
      scene.circle.nodes.prefix(3).allSatisfy {
        $0.logbook.roster.rules.judging.toleranceMicronats == 1000
      })
  }

  /// Both that saw the roster have written under it by then: nothing that they could write would
  /// count, so they write nothing, and go on once it is back.
  @Test func whoeverHasWrittenUnderItWaitsForIt() throws {
    var scene = try Scene()
    try scene.approve(0, scene.first)
    try scene.approve(1, scene.first)
    for index in [0, 1] {
      scene.circle.tell(index, .addresses(["127.0.0.1:\(index + 1)"]))
    }
    scene.circle.wait(2)
    func log(_ index: Int) -> [Entry] {
      scene.circle.nodes[index].logbook.log(of: scene.circle.lab(index))
    }
    #expect(log(0).last?.rosterVersion == 2 && log(1).last?.rosterVersion == 2)
    scene.meetAgain()
    #expect(scene.versions == [1, 1, 1])
    let written = log(0)
    scene.circle.tell(0, .addresses(["127.0.0.1:11"]))
    scene.circle.tell(0, .workerIsFree(last: nil))
    scene.circle.wait(10)
    #expect(log(0) == written)
    let refusal = #expect(throws: Refusal.self) {
      try scene.circle.ask(0) { node, moment throws(Refusal) in
        try node.invite(SigningKey.generate(), uses: 1, expiresInSeconds: 60, at: moment)
      }
    }
    #expect(refusal?.reason.contains("roster version 2") == true, "\(refusal as Any)")
    #expect(refusal?.reason.contains("was taken back") == true)
    try scene.approve(2, scene.first)
    scene.circle.wait(10)
    #expect(scene.versions == [2, 2, 2])
    #expect(scene.rosters.count == 1)
    #expect(log(0).count == written.count + 1)
    #expect(
      scene.circle.nodes[2].logbook.presence(of: scene.circle.lab(0))?.addresses
        == ["127.0.0.1:11"])
  }
}
