import Adapters
import Deltas
import Foundation
import Identities
import Records
import Testing

/// Protocol/Vectors/Delta, read as any other implementation would.
@Suite(.serialized) struct DeltaVectorTests {
  private static let folder = VectorFolder("Delta")

  @Test func theForgeMakesExactlyTheseFiles() throws {
    let vectors = try DeltaForge.all()
    if VectorFolder.isForging { try Self.folder.write(vectors) }
    #expect(try Self.folder.names() == vectors.map(\.name))
    for vector in vectors {
      #expect(try Self.folder.text(vector.name) == vector.text, "\(vector.name)")
    }
  }

  @Test(arguments: try VectorFolder("Delta").names())
  func holds(name: String) throws {
    let vector = try #require(try Self.folder.read(name))
    #expect(check(vector) == vector["expect"])
  }

  /// `success`, or the name of the check that failed.
  private func check(_ vector: VectorFile) -> String {
    do {
      switch vector["kind"] {
      case "layout": try checkLayout(vector)
      case "delta": try checkDelta(vector)
      case "announcement": try checkAnnouncement(vector)
      case "block-list": try checkBlockList(vector)
      default: return "unknown kind"
      }
      return "success"
    } catch let error as AdapterError {
      return error.check
    } catch let error as DeltaError {
      return error.check
    } catch {
      return "\(error)"
    }
  }

  private func layout(_ vector: VectorFile) throws -> AdapterLayout {
    try AdapterLayout(
      rank: try number(vector, "rank"), alpha: try number(vector, "alpha"),
      modules: vector.all("module").map { line in
        let parts = line.split(separator: " ")
        return AdapterModule(
          path: String(parts[0]), inputs: Int(parts[1])!, outputs: Int(parts[2])!)
      })
  }

  private func value(_ vector: VectorFile, _ key: String) throws -> String {
    try #require(vector[key])
  }

  private func number(_ vector: VectorFile, _ key: String) throws -> Int {
    let text = try value(vector, key)
    return try #require(Int(text))
  }

  private func tier(_ vector: VectorFile) throws -> DeltaTier {
    let name = try value(vector, "tier")
    return try #require(DeltaTier(name: name))
  }

  private func checkLayout(_ vector: VectorFile) throws {
    let layout = try layout(vector)
    #expect(layout.encoded() == vector.body)
    #expect(layout.id.description == vector["id"])
  }

  private func checkDelta(_ vector: VectorFile) throws {
    let delta = try Delta.unpack(
      vector.body, layout: try layout(vector), tier: try tier(vector))
    #expect(delta.symbolsHash().description == vector["symbols-hash"])
    #expect(DeltaForge.list(delta.factorNorms()) == vector["factor-norms"])
    #expect(DeltaForge.list(delta.exponents) == vector["exponents"])
    #expect(DeltaForge.list(delta.symbols) == vector["symbols"])
    // What was read is written so that it reads the same again.
    #expect(
      try Delta.unpack(delta.pack(), layout: delta.layout, tier: delta.tier) == delta)
  }

  private func checkAnnouncement(_ vector: VectorFile) throws {
    var contribution = Hanse_V1_Contribution()
    contribution.payload.codec = try value(vector, "announced-codec")
    contribution.payload.size = UInt64(try number(vector, "announced-size"))
    contribution.payload.decodedSize = UInt64(try number(vector, "announced-decoded-size"))
    let symbols = try value(vector, "announced-symbols")
    contribution.payload.symbols = Data(try #require(ContentID(text: symbols)).bytes)
    contribution.factorNorms = try value(vector, "announced-norms").split(separator: " ")
      .map { UInt64($0)! }
    _ = try Delta.unpack(
      vector.body, announcedBy: contribution, layout: try layout(vector),
      tier: try tier(vector))
  }

  private func checkBlockList(_ vector: VectorFile) throws {
    let list = try BlockList(decoding: vector.body)
    let length = try number(vector, "payload-length")
    #expect(list == (try BlockList(of: (0..<length).map { UInt8($0 % 251) })))
    #expect(list.id.description == vector["id"])
    #expect(list.encoded() == vector.body)
  }

  @Test func anAnnouncementIsWhatItsReaderExpects() throws {
    for tier in DeltaTier.allCases {
      let layout = try Samples.layout()
      let delta = try Samples.delta(layout, seed: 3, tier: tier)
      let packed = delta.pack()
      var contribution = Hanse_V1_Contribution()
      contribution.payload = try delta.payload(packed: packed)
      contribution.factorNorms = delta.factorNorms()
      #expect(
        try Delta.unpack(packed, announcedBy: contribution, layout: layout, tier: tier) == delta)
      #expect(try BlockList(of: packed).id.bytes == Array(contribution.payload.blockList))
    }
  }
}
