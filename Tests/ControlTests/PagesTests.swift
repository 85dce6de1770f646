import Control
import FoundationEssentials
import Testing

@Suite struct PagesTests {
  @Test func everyPageComesBackAsItWas() throws {
    try roundTrip(Samples.status)
    try roundTrip(Samples.peers)
    try roundTrip(Samples.pending)
    try roundTrip(Samples.roster)
    try roundTrip(Samples.log)
    try roundTrip(Samples.blame)
    try roundTrip(Samples.shown)
    try roundTrip(Samples.export)
    try roundTrip(Samples.verify)
    try roundTrip(Samples.invite)
    try roundTrip(Samples.bundle)
    try roundTrip(Samples.approve)
    try roundTrip(Samples.decline)
  }

  /// Scripts read these: a change here is a change of Protocol/Control.md.
  @Test func theCommittedSamplesAreWhatIsWritten() throws {
    try compare(Samples.status, "status")
    try compare(Samples.peers, "peers")
    try compare(Samples.pending, "pending")
    try compare(Samples.roster, "roster")
    try compare(Samples.log, "log")
    try compare(Samples.blame, "blame")
    try compare(Samples.shown, "show-contribution")
    try compare(Samples.export, "export")
    try compare(Samples.verify, "verify")
    try compare(Samples.invite, "invite")
    try compare(Samples.bundle, "bundle")
    try compare(Samples.approve, "approve")
    try compare(Samples.decline, "decline")
  }

  @Test func printedPagesHideNothingAndMeanTheSame() throws {
    let text = try PageCoding.text(Samples.peers)
    #expect(text.unicodeScalars.allSatisfy { $0.isASCII || $0.value > 0x2FFF })
    #expect(text.contains("\\u202e"))
    #expect(try PageCoding.decode(PeersPage.self, from: Data(text.utf8)) == Samples.peers)
  }

  @Test func unknownFieldsAreSkippedAndUnknownVersionsRefused() throws {
    let newer = Data(#"{"version":1,"ticket":"t","expires_seconds":1,"uses":1,"colour":2}"#.utf8)
    #expect(try PageCoding.decode(InvitePage.self, from: newer).ticket == "t")
    let later = Data(#"{"version":2,"ticket":"t","expires_seconds":1,"uses":1}"#.utf8)
    let error = #expect(throws: ControlError.self) {
      try PageCoding.decode(InvitePage.self, from: later)
    }
    #expect(error?.message.contains("version 2") == true)
    #expect(throws: ControlError.self) {
      try PageCoding.decode(InvitePage.self, from: Data("[]".utf8))
    }
  }

  @Test func losesThatAreNoNumbersTravel() throws {
    var page = Samples.status
    page.heldOut.now = .infinity
    try roundTrip(page)
  }

  @Test func whatWaitsForAWordIsNoFault() throws {
    var page = Samples.status
    #expect(page.faults == page.attention)
    page.attention.append("kiel asks to join")
    page.toDecide = ["kiel asks to join"]
    #expect(page.faults == Samples.status.attention)
    try roundTrip(page)
    #expect(try PageCoding.text(page).contains("\"to_decide\""))
  }

  @Test func hintsAreTakenOutOfErrorTexts() {
    struct Deep: Error, CustomStringConvertible {
      var description: String { "it broke\nhint: mend it" }
    }
    let error = ControlError(Deep())
    #expect(error == ControlError(.failed, "it broke", hint: "mend it"))
    #expect(ControlError.Kind.allCases.map(\.exitCode) == [1, 2, 3, 4, 5])
  }

  private func roundTrip<Content: Page>(_ page: Content) throws {
    let data = try PageCoding.encode(page)
    #expect(try PageCoding.decode(Content.self, from: data) == page)
    #expect(String(decoding: data, as: UTF8.self).contains("\"version\":1"))
  }

  private func compare<Content: Page>(_ page: Content, _ name: String) throws {
    let folder = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let path = "/\(folder)/Protocol/Vectors/Control/\(name).json"
    let written = try PageCoding.text(page) + "\n"
    if let flag = ProcessInfo.processInfo.environment["HANSE_WRITE_SAMPLES"], flag == "1" {
      try FileManager.default.createDirectory(
        atPath: "/\(folder)/Protocol/Vectors/Control", withIntermediateDirectories: true)
      try Data(written.utf8).write(to: URL(filePath: path))
    }
    let committed = try #require(FileManager.default.contents(atPath: path), "\(path) is missing")
    #expect(String(decoding: committed, as: UTF8.self) == written, "\(name)")
    #expect(try PageCoding.decode(Content.self, from: committed) == page)
  }
}
