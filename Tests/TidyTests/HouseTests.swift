import Foundation
import Testing

/// The house inspects itself. Every rule says what to do instead; every rule is seen to fail on a
/// planted fault in `CheckerTests`.
@Suite struct HouseTests {
  private static let all = House.here.everything()
  private static let sources = all.filter { $0.room != nil }

  private func expectNone(_ findings: [Finding], sourceLocation: SourceLocation = #_sourceLocation)
  {
    for finding in findings { Issue.record("\(finding)", sourceLocation: sourceLocation) }
  }

  @Test func theTreeIsFound() {
    #expect(Self.sources.count > 50)
    #expect(Self.all.contains { $0.path == "README.md" })
  }

  @Test func everyArrowPointsDown() throws {
    let plan = Plan(manifest: try House.here.file("Package.swift").text)
    #expect(plan.rooms.filter { $0.floor != nil }.count > 20)
    let check = FloorCheck(plan: plan)
    expectNone(check.findingsInManifest())
    expectNone(Self.sources.filter { $0.ending == "swift" }.flatMap(check.findings))
  }

  @Test func nothingBannedIsCalled() {
    expectNone(Self.sources.flatMap { BannedCalls.findings(in: $0) })
  }

  @Test func namesSayWhatThingsAre() {
    expectNone(Self.sources.flatMap(EmptyWords.findings))
  }

  @Test func filesAndLinesEndInTime() {
    expectNone(Self.all.flatMap { Measures.findings(in: $0) })
  }

  @Test func functionsEndInTime() {
    expectNone(Self.sources.flatMap { Measures.longFunctions(in: $0) })
  }

  @Test func exceptionsAreStillNeeded() throws {
    for path in Measures.longFiles.keys {
      #expect(try House.here.file(path).lines.count > Measures.fileLinesMax, "\(path) is short now")
    }
    let functions = Self.sources.flatMap { file in
      Measures.functions(in: file.code).map { ("\(file.path) \($0.name)", $0.lines) }
    }
    for key in Measures.longFunctions.keys {
      let lines = functions.filter { $0.0 == key }.map(\.1).max() ?? 0
      #expect(lines > Measures.functionLinesMax, "\(key) is short now, or gone")
    }
  }

  @Test func pagesHaveOneTitle() {
    expectNone(Self.all.flatMap(Pages.titles))
  }

  @Test func linksLeadSomewhere() {
    expectNone(Self.all.flatMap { Pages.links(in: $0, exists: House.here.exists) })
  }

  @Test func nothingIsLeftUnfinished() {
    expectNone(Self.all.flatMap(Pages.leftovers))
  }

  @Test func noMachineIsNamed() {
    expectNone(Self.all.flatMap(Pages.machinePaths))
  }

  @Test func testsGoThroughTheFrontDoor() {
    expectNone(Self.all.flatMap(Pages.testableImports))
  }

  @Test func limitsAreTheSameInCodeAndSpecification() throws {
    let tables = LimitsTable.tables(in: try House.here.file("Protocol/Limits.md").text)
    let records = try House.here.file("Sources/Records/Limits.swift").text
    let shared = LimitsTable.constants(in: records)
    #expect(shared.count > 10)
    let files = Self.sources.map(\.path).filter { $0.hasSuffix("Limits.swift") }
    #expect(Set(files).isSubset(of: tables.keys), "a file of limits has no table")
    for (path, rows) in tables.sorted(by: { $0.key < $1.key }) {
      let swift = try House.here.file(path).text
      expectNone(LimitsTable.findings(rows: rows, of: path, swift: swift, shared: shared))
    }
  }

  @Test func exampleSettingsHaveEveryKey() throws {
    let swift = try House.here.file("Sources/Node/Configuration.swift").text
    #expect(ExampleSettings.keys(in: swift).count > 10)
    expectNone(
      ExampleSettings.findings(
        swift: swift, toml: try House.here.file("Deploy/hanse.toml").text))
  }

  @Test func generatedCodeIsOfTheseMessages() throws {
    let protos = House.here.files(under: "Protocol") { $0.hasSuffix(".proto") }
    #expect(protos.count >= 3)
    for proto in protos {
      let name = proto.name.replacing(".proto", with: ".pb.swift")
      let swift = try House.here.file("Sources/Records/Generated/\(name)")
      #expect(!GeneratedCode.messages(in: proto.text).isEmpty)
      expectNone(GeneratedCode.findings(proto: proto, swift: swift))
    }
  }

  @Test func everyRoomIsOnTheMap() throws {
    let plan = Plan(manifest: try House.here.file("Package.swift").text)
    let map = try House.here.file("Sources/README.md").text
    for room in plan.rooms where room.floor != nil {
      #expect(map.contains("`\(room.name)`"), "Sources/README.md does not name \(room.name)")
    }
  }

  @Test func scriptsCanBeRun() {
    let scripts = Self.all.filter { $0.text.hasPrefix("#!") }
    #expect(scripts.count >= 6)
    for script in scripts {
      let path = House.here.root.appendingPathComponent(script.path).path
      #expect(FileManager.default.isExecutableFile(atPath: path), "\(script.path): chmod +x")
    }
  }
}
