import Foundation
import Testing

/// Each check of the house, seen to fail on a fault planted for it and to pass beside it.
@Suite struct CheckerTests {
  private func swift(_ text: String, in room: String = "Ledger") -> HouseFile {
    HouseFile(path: "Sources/\(room)/Planted.swift", text: text)
  }

  // MARK: floors

  private static let manifest = """
    let nio = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
    let life = Target.Dependency.product(
      name: "ServiceLifecycle", package: "swift-service-lifecycle")
    let package = Package(
      targets: [
        // floor 0
        .systemLibrary(name: "CZ", pkgConfig: "z"),
        // floor 1
        .target(
          name: "Low",
          dependencies: ["CZ"],
          swiftSettings: strict),
        .target(name: "Beside", dependencies: ["Low"]),
        .target(name: "Under", dependencies: ["High"]),
        // floor 2
        .target(
          name: "High",
          dependencies: [
            "Low", nio,
            life
          ]),

        // tests
        .testTarget(name: "LowTests", dependencies: ["Low"]),
      ]
    )
    """

  @Test func readsTheManifest() throws {
    let plan = Plan(manifest: Self.manifest)
    #expect(plan.rooms.map(\.name) == ["CZ", "Low", "Beside", "Under", "High", "LowTests"])
    #expect(plan.rooms.map(\.floor) == [0, 1, 1, 1, 2, nil])
    #expect(plan.room("High")?.dependencies == ["Low", "NIOCore", "ServiceLifecycle"])
  }

  @Test func findsArrowsUpAndSideways() {
    let found = FloorCheck(plan: Plan(manifest: Self.manifest)).findingsInManifest().map(\.message)
    #expect(found.count == 2)
    #expect(found.contains { $0.hasPrefix("Beside (floor 1) points sideways to Low") })
    #expect(found.contains { $0.hasPrefix("Under (floor 1) points up to High") })
  }

  @Test func findsUndeclaredImports() {
    let check = FloorCheck(plan: Plan(manifest: Self.manifest))
    let clean = "import CZ\nimport Glibc\nimport FoundationEssentials\n// import High\n"
    #expect(check.findings(in: swift(clean, in: "Low")).isEmpty)
    for line in [
      "import High", "  public import High", "@preconcurrency import High",
      "@_spi(Vectors) import High", "import struct High.Thing", "package import NIOCore",
    ] {
      let found = check.findings(in: swift("import CZ\n" + line, in: "Low"))
      #expect(found.map(\.line) == [2], "\(line)")
    }
    #expect(check.findings(in: swift("import NIOCore", in: "High")).isEmpty)
    #expect(!check.findings(in: swift("", in: "Cellar")).isEmpty)
  }

  // MARK: bans

  @Test(arguments: [
    "let now = Date()", "let now = Date.now", "let now = ContinuousClock.now",
    "clock_gettime(CLOCK_REALTIME, &t)", "let a = Int.random(in: 0..<5)", "Bool.random()",
    "list.shuffled()", "list.shuffle()", "list.randomElement()",
    "var g = SystemRandomNumberGenerator()", "import Foundation",
    "@_spi(Vectors) import Merging", "fatalError(\"no\")", "try! open()", "x as! Int",
    "print(\"hello\")",
  ])
  func findsABannedCall(_ line: String) {
    let found = BannedCalls.findings(in: swift("// first line\n" + line))
    #expect(found.map(\.line) == [2])
    #expect(found.first?.message.contains("instead, ") == true)
  }

  @Test func leavesAloneWhatIsAllowed() {
    let text = """
      import FoundationEssentials
      /// Never call Date() or fatalError( here.
      let hint = "not Date(), not try!"
      let die = Int.random(in: 0..<6, using: &generator)
      let page = \"\"\"
        print("inside a literal")
        \"\"\"
      let shape = try? open()
      """
    #expect(BannedCalls.findings(in: swift(text)) == [])
    #expect(BannedCalls.findings(in: swift("let now = Date()", in: "Transport")) == [])
    #expect(BannedCalls.findings(in: swift("print(line)", in: "hanse")) == [])
    #expect(BannedCalls.findings(in: swift("let now = Date()", in: "Gossip")) != [])
  }

  @Test func findsEmptyWords() {
    #expect(EmptyWords.findings(in: swift("struct PeerManager {}")).count == 1)
    #expect(EmptyWords.findings(in: swift("final class Utils {}")).count == 1)
    #expect(EmptyWords.findings(in: swift("struct Management {}\nstruct Implied {}")) == [])
    let file = HouseFile(path: "Sources/Ledger/LogHelper.swift", text: "")
    #expect(EmptyWords.findings(in: file).count == 1)
  }

  // MARK: measures

  @Test func findsLongLinesAndFiles() {
    let wide = String(repeating: "é", count: 101)
    #expect(Measures.findings(in: swift("// fine\n" + wide)).map(\.line) == [2])
    #expect(Measures.findings(in: swift(String(wide.dropLast()))) == [])
    #expect(Measures.findings(in: swift(String(repeating: "\n", count: 601))).count == 1)
    #expect(Measures.findings(in: swift(String(repeating: "\n", count: 600))) == [])
    let generated = HouseFile(path: "Sources/Records/Generated/a.pb.swift", text: wide)
    #expect(Measures.findings(in: generated) == [])
  }

  @Test func findsLongFunctions() {
    let body = String(repeating: "  if x { y() }\n", count: 69)
    let long = "struct S {\n  func f(\n    x: Int\n  ) {\n" + body + "  }\n}\n"
    let found = Measures.longFunctions(in: swift(long))
    #expect(found.map(\.line) == [2])
    #expect(found.first?.message.hasPrefix("f has 73 lines") == true)
    let short = "protocol P {\n  func a()\n  init(b: Int)\n}\nfunc g() {\n  h()\n}\n"
    #expect(
      Measures.functions(in: Code(short)) == [Measures.Function(name: "g", line: 5, lines: 3)])
  }

  // MARK: pages

  @Test func findsMissingAndSecondTitles() {
    func page(_ text: String) -> [Finding] {
      Pages.titles(in: HouseFile(path: "Protocol/Planted.md", text: text))
    }
    #expect(page("# One\n\n```\n# a comment in a console\n```\n") == [])
    #expect(page("text\n").count == 1)
    #expect(page("# One\n\n# Two\n").count == 1)
    #expect(page("\n# Late\n").count == 1)
  }

  @Test func findsDeadLinks() {
    func page(_ text: String) -> [Finding] {
      let file = HouseFile(path: "Protocol/Planted.md", text: text)
      return Pages.links(in: file) { ["Protocol/Limits.md", "README.md"].contains($0) }
    }
    #expect(page("[a](Limits.md) [b](../README.md#first) [c](https://example.org)") == [])
    #expect(page("[a](Limit.md)").count == 1)
    #expect(page("[a](../../README.md)").count == 1)
    #expect(page("```\n[a](Limit.md)\n```") == [])
  }

  @Test func findsLeftovers() {
    #expect(Pages.leftovers(in: swift("let a = 1 // TODO: more")).count == 1)
    #expect(Pages.leftovers(in: swift("// FIXME\n// XXX")).count == 2)
    #expect(Pages.leftovers(in: swift("// mastodon")) == [])
  }

  @Test func findsPathsOfOneMachine() {
    #expect(Pages.machinePaths(in: swift("let a = \"/home/anna/model\"")).count == 1)
    #expect(Pages.machinePaths(in: swift("cd /srv/main")).count == 1)
    #expect(Pages.machinePaths(in: swift("/var/lib/hanse and $HOME/srv/x and ../srv/y")) == [])
  }

  @Test func findsTestableImports() {
    let file = HouseFile(path: "Tests/LedgerTests/Planted.swift", text: "@testable import Ledger")
    #expect(Pages.testableImports(in: file).count == 1)
  }

  // MARK: limits

  @Test(arguments: [
    ("16_384", "16384"), ("1 << 20", "1048576"), ("4 * 1_024", "4096"), ("2^40", "1099511627776"),
    ("2⁴⁰", "1099511627776"), ("1,048,576", "1048576"), ("16 KiB", "16384"), ("2·3+1", "7"),
    ("(1 << 4) - 1", "15"), ("3 * 1 << 2", "12"), (".seconds(30)", "30"), ("Int64(5)", "5"),
    ("0.25", "0.25"), ("Limits.a * 2", "20"), ("−3", "-3"),
  ])
  func evaluatesExpressions(_ expression: String, _ value: String) {
    #expect(Arithmetic.value(of: expression, names: ["a": "10"]) == Decimal(string: value))
  }

  @Test(arguments: ["", "a", "1 +", "(2", "1 << 500", "b * 2", "1 / 0"])
  func refusesWhatItCannotRead(_ expression: String) {
    #expect(Arithmetic.value(of: expression, names: ["a": "a"]) == nil)
  }

  @Test func findsLimitsThatDiffer() {
    let swift = """
      public enum Limits {
        /// Bytes.
        public static let entryBytesMax = 16_384
        public static let tokensMax: UInt64 = 1 << 40
        public static let queueMax = 4 * Records.labsMax
        public var handshake = 15.0
        public static func rounds(labs: Int) -> Int { 4 * labs + 64 }
        private static let hidden = 7
      }
      """
    let page = """
      `Limits` (`Sources/Records/Limits.swift`):

      | name | value | reason |
      |---|--:|---|
      | `entryBytesMax` | 16,384 | 100 labs |
      | tokensMax | 2^40 | beyond any round |
      | `queueMax` | 1024 | four rosters |
      | `handshake` | 15 | seconds |
      | `rounds` | 4 * labs + 64 | for `labs` |
      """
    func found(_ swift: String, _ page: String) -> Int {
      let tables = LimitsTable.tables(in: page)
      #expect(Array(tables.keys) == ["Sources/Records/Limits.swift"])
      return tables.values.reduce(0) { count, rows in
        count
          + LimitsTable.findings(
            rows: rows, of: "Limits.swift", swift: swift, shared: [("labsMax", "256")]
          ).count
      }
    }
    #expect(found(swift, page) == 0)
    #expect(found(swift, page.replacing("16,384", with: "16,385")) == 1)
    #expect(found(swift, page.replacing("| 15 |", with: "| 15.5 |")) == 1)
    #expect(found(swift, page.replacing("labs + 64", with: "labs + 65")) == 1)
    #expect(found(swift, page + "\n| thirdMax | 3 | none |") == 1)
    #expect(found(swift.replacing("private", with: "public"), page) == 1)
    #expect(found(swift, page.replacing("| tokensMax | 2^40 |", with: "| other |")) == 1)
  }

  @Test func findsKeysThatTheExampleLacks() {
    let lines = """
      public struct Configuration: Codable {
        public var heldOut: [String]?
        public var log: Log?
        public struct Log {
          public var level: String
        }
      """
    let toml = "# held_out = []\n# As in \"a = 1\".\n[log]\nlevel = \"info\"\n"
    #expect(ExampleSettings.findings(swift: lines, toml: toml) == [])
    #expect(ExampleSettings.findings(swift: lines, toml: toml + "old = 1\n").count == 1)
    #expect(ExampleSettings.findings(swift: lines, toml: "[log]\nlevel = 1\n").count == 1)
  }

  // MARK: generated code

  @Test func findsMessagesThatWereNotRegenerated() {
    let proto = """
      message Charter {
        uint32 format = 1;  // a comment = 9
        repeated LabID lab_id = 2;
        string created_by = 3;
      }
      """
    let swift = """
      public nonisolated struct Hanse_V1_Charter: Sendable {
        public var format: UInt32 = 0
        public var labID: [Hanse_V1_LabID] = []
        public var createdBy: String = String()
      }
      extension Hanse_V1_Charter: SwiftProtobuf.Message {
            case 1: try { try decoder.decodeSingularUInt32Field(value: &self.format) }()
            case 2: try { try decoder.decodeRepeatedMessageField(value: &self.labID) }()
            case 3: try { try decoder.decodeSingularStringField(value: &self.createdBy) }()
      }
      """
    func found(_ proto: String) -> Int {
      GeneratedCode.findings(
        proto: HouseFile(path: "Protocol/a.proto", text: proto),
        swift: HouseFile(path: "Sources/Records/Generated/a.pb.swift", text: swift)
      ).count
    }
    #expect(found(proto) == 0)
    #expect(found(proto.replacing("= 3", with: "= 4")) == 1)
    #expect(found(proto.replacing("created_by", with: "written_by")) == 1)
    #expect(found(proto.replacing("message Charter", with: "message Card")) == 1)
  }
}
