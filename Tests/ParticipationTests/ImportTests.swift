import Identities
import Ledger
import Participation
import Records
import Testing

/// Entries that come in a file, and what lets a node sign that nobody can reach.
@Suite struct ImportTests {
  @Test func aFileIsAsGoodAsAConnection() throws {
    var met = try Circle(2)
    let met1 = met.meet(0, 1)
    #expect(met1)
    met.wait(5)
    #expect(met.nodes.allSatisfy { $0.canSign })
    var apart = try Circle(2)
    // What the two that met have written, brought to one that has met nobody.
    apart.tell(1, .imported(met.kept[0]))
    #expect(apart.nodes[1].logbook.heads == met.nodes[0].logbook.heads)
    #expect(apart.nodes[1].logbook.roster.id == met.nodes[0].logbook.roster.id)
    // Twice is once, and order within one file does not matter to what is known.
    let kept = apart.kept[1].count
    apart.tell(1, .imported(met.kept[1].reversed()))
    #expect(apart.kept[1].count == kept)
  }

  @Test func aNodeSignsOnceEnoughLabsHaveVouchedForItsLog() throws {
    var circle = try Circle(3)
    circle.wait(2)
    #expect(!circle.nodes[0].canSign)
    circle.tell(0, .vouched(by: circle.lab(1), sequence: 0))
    #expect(circle.nodes[0].canSign)
    // A lab that has more of this node's log than the node itself holds it back.
    var behind = try Circle(3)
    behind.tell(0, .vouched(by: behind.lab(1), sequence: 4))
    #expect(!behind.nodes[0].canSign)
    // Nobody vouches for itself, and who has no seat does not count.
    var alone = try Circle(3)
    alone.tell(0, .vouched(by: alone.lab(0), sequence: 0))
    alone.tell(0, .vouched(by: LabID(firstKey: SigningKey.generate().publicKey), sequence: 0))
    #expect(!alone.nodes[0].canSign)
  }

  @Test func oneProofOfEquivocationIsKeptAndTheLowest() throws {
    var circle = try Circle(2)
    let met2 = circle.meet(0, 1)
    #expect(met2)
    circle.wait(3)
    circle.part(0, 1)
    let log = circle.nodes[0].logbook.log(of: circle.lab(0))
    let key = circle.firstKeys[0]
    func twin(of entry: Entry, _ name: String) throws -> Entry {
      var message = entry.message
      message.presence = Hanse_V1_Presence()
      message.presence.name = name
      return try Entry(signing: message, with: key)
    }
    let last = try #require(log.last)
    let before = circle.kept[1].count
    let twins = try (0..<5).map { try twin(of: last, "twin \($0)") }
    circle.tell(1, .imported(twins))
    #expect(circle.evidence[1].map(\.id) == [twins[0].id])
    #expect(circle.kept[1].count == before)
    let first = try twin(of: log[0], "first")
    circle.tell(1, .imported([first]))
    #expect(
      circle.evidence[1].map(\.id) == (log.count > 1 ? [twins[0].id, first.id] : [twins[0].id]))
    #expect(circle.nodes[1].logbook.forks[circle.lab(0)]?.sequence == 1)
  }
}
