import Identities
import Ledger
import Participation
import Records
import Testing

/// Labs that have approved different changes find to one, without those that are silent.
@Suite struct SplitVoteTests {
  private struct Scene {
    var circle: Circle
    let talking: Int

    /// Labs of which the first so many are connected.
    init(_ count: Int, talking: Int) throws {
      circle = try Circle(count)
      self.talking = talking
      for left in 0..<count {
        for right in (left + 1)..<count {
          let isMet = circle.meet(left, right)
          #expect(isMet)
        }
      }
      circle.wait(3)
      for silent in talking..<count {
        for other in 0..<silent { circle.part(other, silent) }
      }
    }

    static func change(_ grace: UInt32) -> Hanse_V1_Proposal.OneOf_Change {
      var change = Hanse_V1_RuleChange()
      change.graceSeconds = grace
      return .changeRule(change)
    }

    @discardableResult
    mutating func propose(_ index: Int, _ grace: UInt32) throws(Refusal) -> ContentID {
      try circle.ask(index) { node, moment throws(Refusal) in
        try node.propose(Self.change(grace), at: moment)
      }
    }

    mutating func approve(_ index: Int, _ id: ContentID) throws(Refusal) -> OpenProposal {
      try circle.ask(index) { node, moment throws(Refusal) in try node.approve(id, at: moment) }
    }

    /// Has labs propose before they have heard of each other's proposals.
    mutating func proposeAtOnce(_ graces: [UInt32]) throws -> [ContentID] {
      for left in 0..<talking { for right in 0..<left { circle.part(right, left) } }
      var ids: [ContentID] = []
      for (index, grace) in graces.enumerated() { ids.append(try propose(index, grace)) }
      for left in 0..<talking {
        for right in 0..<left {
          let isMet = circle.meet(right, left)
          #expect(isMet)
        }
      }
      circle.wait(3)
      return ids
    }

    var versions: [UInt32] { circle.nodes.prefix(talking).map(\.logbook.roster.version) }
    var graces: Set<UInt32> {
      Set(circle.nodes.prefix(talking).map(\.logbook.roster.rules.round.graceSeconds))
    }
  }

  @Test func theSameProposedAtOnceNeedsNobodyElse() throws {
    var scene = try Scene(3, talking: 2)
    _ = try scene.proposeAtOnce([100, 100])
    #expect(scene.versions == [2, 2])
    #expect(scene.graces == [100])
  }

  /// Five labs, one silent: two have approved one change, two have approved others. One of these
  /// thinks better of it, and those that had approved the change need not be asked again.
  @Test func oneThatYieldsIsEnough() throws {
    var scene = try Scene(5, talking: 4)
    let ids = try scene.proposeAtOnce([100, 100, 300, 400])
    #expect(scene.versions == [1, 1, 1, 1])
    let open = scene.circle.nodes[3].logbook.openProposals
    #expect(open.count == 3)
    #expect(open.filter(\.canPass).map(\.approvers.count) == [2])
    // What can still be enacted is in the way of anything else.
    #expect(throws: Refusal.self) { try scene.propose(3, 500) }
    #expect(throws: Refusal.self) { _ = try scene.approve(3, ids[2]) }
    let again = try scene.approve(3, ids[0])
    #expect(again.message.attempt == 2)
    scene.circle.wait(2)
    #expect(scene.versions == [2, 2, 2, 2])
    #expect(scene.graces == [100])
    // The lab that had approved another change says nothing of itself.
    let last = try #require(scene.circle.nodes[2].logbook.proposal(again.id))
    #expect(!last.approvers.contains(scene.circle.lab(2)))
  }

  /// Three labs that all want something else: whoever tries again finds the way free, and so does
  /// who then wants something else still.
  @Test func wherePassingIsOverAnythingMayBeProposed() throws {
    var scene = try Scene(3, talking: 3)
    let ids = try scene.proposeAtOnce([100, 200, 300])
    #expect(scene.circle.nodes[0].logbook.openProposals.allSatisfy { !$0.canPass })
    let again = try scene.approve(0, ids[0])
    #expect(again.message.attempt == 2)
    #expect(again.approvers.count == 1)
    let other = try scene.propose(1, 500)
    #expect(other != again.id)
    #expect(scene.circle.nodes[2].logbook.openProposals.count == 2)
    _ = try scene.approve(2, other)
    #expect(scene.versions == [2, 2, 2])
    #expect(scene.graces == [500])
  }

  @Test func whatDoesNotFitIsRefusedBeforeItIsSigned() throws {
    var scene = try Scene(2, talking: 2)
    let before = scene.circle.kept[0].count
    let now = scene.circle.nodes[0].logbook.roster.rules.round.graceSeconds
    #expect(throws: Refusal.self) { try scene.propose(0, now) }
    #expect(scene.circle.kept[0].count == before)
  }
}
