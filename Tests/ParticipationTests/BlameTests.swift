import Deltas
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Participation
import Records
import Testing

/// Who is asked no more for a payload, and who is not to blame.
@Suite struct BlameTests {
  private static let bytes = [UInt8](repeating: 3, count: 300)

  private static func contribution(
    _ circle: Circle, _ index: Int, size: UInt64
  ) throws -> Entry {
    let list = try BlockList(of: bytes)
    var message = Hanse_V1_Contribution()
    message.base = circle.nodes[0].logbook.emptyMerge()
    message.round = 1
    message.attempt = 1
    message.payload.codec = "int4-128"
    message.payload.size = size
    message.payload.blockList = Data(list.id.bytes)
    message.payload.symbols = Data(ContentID(of: [3], kind: .symbols).bytes)
    message.factorNorms = [1, 2]
    message.tokens = 100
    return try circle.forge(index, .contribution(message))
  }

  /// Times that an object's list of blocks was asked for on a connection.
  private static func asked(_ circle: Circle, _ wire: ConnectionID) -> Int {
    circle.heard[wire.number, default: []].count { frame in
      guard case .wantObject(let want)? = frame.kind else { return false }
      return want.index == GossipLimits.blockListIndex
    }
  }

  /// A lab that has a payload sends its list, while all that is known of it is an announcement of
  /// another size. Once it is announced as it is, that lab is asked for it again; one that sends
  /// what is not the list is not.
  @Test(arguments: [true, false])
  func whoSendsTheRightListIsAskedAgain(isRight: Bool) throws {
    var circle = try Circle(3)
    let wire = circle.intrude(0, as: 1)
    let list = try BlockList(of: Self.bytes)
    func frame(_ entry: Entry) -> Hanse_V1_Frame {
      var frame = Hanse_V1_Frame()
      frame.entries.entries = [entry.signed]
      return frame
    }
    var have = Hanse_V1_Frame()
    have.have.objects = [Data(list.id.bytes)]
    var block = Hanse_V1_Frame()
    block.block.object = Data(list.id.bytes)
    block.block.index = GossipLimits.blockListIndex
    let other = try BlockList(of: [UInt8](repeating: 4, count: 300))
    block.block.bytes = Data((isRight ? list : other).encoded())

    circle.tell(0, .frame(wire, frame(try Self.contribution(circle, 1, size: 10))))
    circle.tell(0, .objectFound(list.id, plan: nil))
    circle.tell(0, .frame(wire, have))
    circle.wait(1)
    #expect(Self.asked(circle, wire) == 1)
    circle.tell(0, .frame(wire, block))

    circle.tell(0, .imported([try Self.contribution(circle, 2, size: 300)]))
    circle.tell(0, .objectFound(list.id, plan: nil))
    circle.tell(0, .frame(wire, have))
    circle.wait(10)
    #expect(circle.closed[wire.number] == nil)
    #expect((Self.asked(circle, wire) > 1) == isRight)
  }
}
