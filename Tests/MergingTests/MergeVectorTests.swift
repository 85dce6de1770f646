import Adapters
import Deltas
import Identities
import Merging
import Testing

/// Protocol/Vectors/Merge, read as any other implementation would.
@Suite(.serialized) struct MergeVectorTests {
  private static let folder = VectorFolder("Merge")

  @Test func theForgeMakesExactlyTheseFiles() throws {
    let vectors = try MergeForge.all()
    if VectorFolder.isForging { try Self.folder.write(vectors) }
    #expect(try Self.folder.names() == vectors.map(\.name))
    for vector in vectors {
      #expect(try Self.folder.text(vector.name) == vector.text, "\(vector.name)")
    }
  }

  @Test(arguments: try VectorFolder("Merge").names())
  func holds(name: String) throws {
    let vector = try #require(try Self.folder.read(name))
    #expect(check(vector) == vector["expect"])
  }

  /// `success`, or the name of the check that failed.
  private func check(_ vector: VectorFile) -> String {
    do {
      switch vector["kind"] {
      case "fold": try MergeScript(vector).check()
      case "start": try checkStart(vector)
      case "square-root": try checkRoot(vector)
      case "shares": try checkShares(vector)
      case "snapshot": try checkSnapshot(vector)
      default: return "unknown kind"
      }
      return "success"
    } catch let error as FoldError {
      return error.check
    } catch {
      return "\(error)"
    }
  }

  private func value(_ vector: VectorFile, _ key: String) throws -> String {
    try #require(vector[key])
  }

  private func checkStart(_ vector: VectorFile) throws {
    let seed = try value(vector, "seed")
    let state = FoldState.start(
      layout: try MergeScript.layout(vector), seed: try #require(VectorFile.bytes(hex: seed)))
    #expect(MergeScript.list(state.theta) == vector["theta"])
    #expect(state.root.description == vector["root"])
  }

  private func checkRoot(_ vector: VectorFile) throws {
    let text = try value(vector, "value")
    let number = try #require(UInt128(text))
    #expect("\(integerSquareRoot(number))" == vector["square-root"])
  }

  private func checkShares(_ vector: VectorFile) throws {
    let tokens: [UInt64] = try MergeScript.numbers(value(vector, "tokens"))
    #expect(MergeScript.list(Weights.shares(tokens: tokens)) == vector["shares"])
  }

  private func checkSnapshot(_ vector: VectorFile) throws {
    let text = try value(vector, "root")
    let root: ContentID = try #require(ContentID(text: text))
    let state = try FoldState(
      decoding: vector.body, layout: try MergeScript.layout(vector), round: 1, root: root)
    #expect(state.encoded() == vector.body)
  }
}
