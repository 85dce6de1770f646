import Control
import Determinism
import Foundation
import Glibc
import Identities
import Records
import Storage
import SwiftProtobuf
import Testing

/// Labs that come when much has happened: from an attested state, or from the charter.
@Suite(
  .serialized,
  .enabled(if: ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full", "HANSE_TESTS=full"))
struct CatchUpTests {
  /// Complete objects in a lab's store.
  private func objects(_ federation: LocalFederation, _ lab: String) throws -> Set<ContentID> {
    let store = try Store(home: federation.home(lab), readOnly: true)
    defer { try? store.close() }
    return Set(try store.objects().filter { try store.object($0)?.missing == [] })
  }

  /// Payloads of the contributions up to a round that a lab's logs announce.
  private func payloads(
    _ federation: LocalFederation, _ lab: String, upTo round: UInt32
  ) throws -> Set<ContentID> {
    let store = try Store(home: federation.home(lab), readOnly: true)
    defer { try? store.close() }
    var found: Set<ContentID> = []
    for stored in try store.allEntries() {
      guard case .contribution(let message)? = try stored.entry().message.payload,
        message.round <= round, let id = ContentID(bytes: message.payload.blockList)
      else { continue }
      found.insert(id)
    }
    return found
  }

  /// The round of the lowest state that a lab rests on; 0 when it rests on none.
  private func foundation(_ federation: LocalFederation, _ lab: String) throws -> UInt32 {
    let store = try Store(home: federation.home(lab), readOnly: true)
    defer { try? store.close() }
    guard let bytes = try store.value("foundations") else { return 0 }
    let message = try Hanse_V1_Foundations(serializedBytes: bytes)
    return message.foundations.first?.merge.frontier.round ?? 0
  }

  private func received(_ federation: LocalFederation, _ lab: String) throws -> UInt64 {
    try federation.page(PeersPage.self, lab, "peers").peers.reduce(0) { $0 + $1.bytesReceived }
  }

  @Test func aLateLabStandsOnTheRootOfTheOthersWithoutTheirPayloads() async throws {
    try await offPool {
      let federation = try LocalFederation(labs: ["de", "fr"])
      try federation.waitForOneHead(from: 30, seconds: 600)
      var figures: [String] = []
      for (lab, options) in [("es", []), ("pt", ["--from-genesis"])] {
        let began = Date()
        try federation.add(lab, options)
        let head = try federation.waitForOneHead(from: federation.head("de").round, seconds: 240)
        let seconds = Date().timeIntervalSince(began)
        let bytes = try received(federation, lab)
        figures.append("\(lab): round \(head.round), \(bytes) bytes, \(Int(seconds * 10)) tenths")
      }
      // The figures of the report: nothing is asserted on time.
      print("late joins: \(figures)")
      try federation.stop("es")
      try federation.stop("pt")
      let rests = try foundation(federation, "es")
      #expect(rests >= 25)
      let old = try payloads(federation, "es", upTo: 20)
      #expect(old.count >= 40)
      #expect(try objects(federation, "es").isDisjoint(with: old))
      #expect(try objects(federation, "pt").isSuperset(of: old))

      let verified = try federation.page(VerifyPage.self, "es", "verify")
      #expect(verified.ok, "\(verified.findings)")
      #expect(verified.notes?.contains { $0.contains("pruned by policy") } == true)
      #expect(verified.taken == [RoundSpan(since: 1, until: Int(rests))])
      #expect(
        verified.replayed == [RoundSpan(since: Int(rests) + 1, until: verified.head.round)])
      let everything = try federation.page(VerifyPage.self, "pt", "verify")
      #expect(everything.ok, "\(everything.findings)")
      #expect(everything.notes == nil)
      #expect(everything.replayed == [RoundSpan(since: 1, until: everything.head.round)])
      #expect(everything.taken == [])
      let check = try federation.succeed(["fsck", "--home", federation.home("es").path])
      #expect(check.output.contains("pruned by policy"))
    }
  }

  @Test func aJoinerKilledAgainAndAgainArrives() async throws {
    try await offPool {
      let federation = try LocalFederation(labs: ["de", "fr"])
      try federation.waitForOneHead(from: 30, seconds: 600)
      var chance = SeededGenerator(seed: 7)
      try federation.add("es")
      for _ in 0..<8 {
        usleep(UInt32.random(in: 0..<1_200_000, using: &chance))
        try federation.stop("es", with: SIGKILL)
        // Whatever it rests on is there.
        let store = try Store(home: federation.home("es"), readOnly: true)
        let bytes = try store.value("foundations") ?? []
        for foundation in try Hanse_V1_Foundations(serializedBytes: bytes).foundations {
          let chain = try #require(ContentID(bytes: foundation.chain))
          #expect(try store.readSnapshot(chain) != nil)
        }
        try store.close()
        try federation.start("es")
      }
      try federation.waitForOneHead(from: federation.head("de").round + 1, seconds: 240)
      try federation.stop("es")
      #expect(try foundation(federation, "es") >= 25)
      let verified = try federation.page(VerifyPage.self, "es", "verify")
      #expect(verified.ok, "\(verified.findings)")
      #expect(try federation.hanse(["fsck", "--home", federation.home("es").path]).code == 0)
    }
  }

  @Test func whatIsBeyondTheRetentionIsLetGoAndARestartKnowsIt() async throws {
    try await offPool {
      let federation = try LocalFederation(labs: ["de", "fr"], rules: ["--retention", "4"])
      try federation.waitForOneHead(from: 16, seconds: 600)
      for signal in [SIGKILL, SIGTERM] {
        try federation.stop("fr", with: signal)
        try federation.start("fr")
        try federation.waitForOneHead(from: federation.head("de").round + 2, seconds: 240)
      }
      // A recall reaches no further back than payloads do.
      let log = try federation.page(LogPage.self, "de", "log", "--limit", "1000")
      let oldest = try #require(
        log.merges.flatMap(\.contributions).first { $0.round == 2 })
      let recall = try federation.hanse(
        ["recall", oldest.id, "--home", federation.home("de").path])
      #expect(recall.code != 0)
      #expect(recall.errors.contains("further back"), "\(recall.errors)")
      let shown = try federation.page(EntryPage.self, "de", "show", oldest.id)
      #expect(shown.fields.contains { $0.value.contains("pruned by policy") })

      for lab in ["de", "fr"] {
        try federation.stop(lab)
        let rests = try foundation(federation, lab)
        #expect(rests >= 6)
        let old = try payloads(federation, lab, upTo: rests - 1)
        #expect(try objects(federation, lab).isDisjoint(with: old))
        let verified = try federation.page(VerifyPage.self, lab, "verify")
        #expect(verified.ok, "\(verified.findings)")
        #expect(verified.notes?.contains { $0.contains("not replayed") } == true)
        #expect(try federation.hanse(["fsck", "--home", federation.home(lab).path]).code == 0)
      }
      // Whoever comes now cannot have the payloads: it takes the state, even of its own accord.
      try federation.start("de")
      try federation.start("fr")
      try federation.waitForOneHead(from: federation.head("de").round + 1, seconds: 240)
      try federation.add("es", ["--from-genesis"])
      try federation.stop("es")
      let text = try String(contentsOfFile: federation.home("es").configuration, encoding: .utf8)
      #expect(text.contains("from_genesis = true"))
      try text.replacing("from_genesis = true", with: "from_genesis = false")
        .write(toFile: federation.home("es").configuration, atomically: true, encoding: .utf8)
      try federation.start("es")
      try federation.waitForOneHead(from: federation.head("de").round + 1, seconds: 240)
    }
  }
}
