import Control
import Foundation
import Glibc
import Identities
import Storage
import Testing

/// A lab's key is replaced while its daemon runs, and after it was lost; a removed lab is cut off.
@Suite(
  .serialized,
  .enabled(if: ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full", "HANSE_TESTS=full"))
struct RotationTests {
  private func fingerprint(of lab: String, at other: String, _ labs: LocalFederation) throws
    -> String?
  {
    try labs.page(RosterPage.self, other, "roster").labs.first { $0.lab.name == lab }?.fingerprint
  }

  /// Has a lab approve whatever waits there.
  private func approve(_ member: String, _ labs: LocalFederation) throws {
    try labs.wait("\(member) sees the proposal") {
      try !labs.page(PendingPage.self, member, "pending").proposals.isEmpty
    }
    let proposal = try #require(
      try labs.page(PendingPage.self, member, "pending").proposals.first)
    try labs.succeed(["approve", proposal.id, "--home", labs.home(member).path])
  }

  /// Waits until every lab is connected to all others.
  private func waitForAll(_ labs: LocalFederation) throws {
    try labs.wait("everybody is connected") {
      try labs.labs.allSatisfy { lab in
        let peers = try labs.page(PeersPage.self, lab, "peers").peers
        return peers.count == labs.labs.count - 1 && peers.allSatisfy { $0.link != .none }
      }
    }
  }

  private func checkLogs(_ labs: LocalFederation) throws {
    for lab in labs.labs {
      #expect(try labs.stop(lab) == 0)
      let verified = try labs.page(VerifyPage.self, lab, "verify")
      #expect(verified.ok, "\(verified.findings)")
      let store = try Store(home: labs.home(lab), readOnly: true)
      #expect(try store.forks().isEmpty)
      try store.close()
    }
  }

  @Test func aKeyIsReplacedWhileTheDaemonRuns() async throws {
    try await offPool {
      let labs = try LocalFederation()
      try labs.waitForOneHead(from: 1)
      let id = try labs.lab("fr")
      let before = try KeyFile.read(in: labs.home("fr"))
      let proposed = try labs.page(ApprovePage.self, "fr", "rotate-key")
      #expect(proposed.proposal.change == "new key for fr")
      #expect(FileManager.default.fileExists(atPath: labs.home("fr").nextKey))
      // Asked again, it is under way; and until then the old key is the one in use.
      #expect(try labs.hanse(["rotate-key", "--home", labs.home("fr").path]).code == 4)
      #expect(try KeyFile.read(in: labs.home("fr")).publicKey == before.publicKey)
      try approve("de", labs)
      for lab in labs.labs {
        try labs.wait("\(lab) has the new roster") {
          try fingerprint(of: "fr", at: lab, labs) != before.publicKey.fingerprint
        }
      }
      try labs.wait("the key file is the new key's") {
        try KeyFile.read(in: labs.home("fr")).publicKey != before.publicKey
      }
      let after = try KeyFile.read(in: labs.home("fr"))
      #expect(
        try fingerprint(of: "fr", at: "es", labs) == after.publicKey.fingerprint)
      #expect(!FileManager.default.fileExists(atPath: labs.home("fr").nextKey))
      #expect(try labs.lab("fr") == id)
      // Connections are made anew, and the work goes on without a restart.
      try waitForAll(labs)
      let round = try labs.labs.map { try labs.head($0).round }.max() ?? 0
      try labs.waitForOneHead(from: round + 2)
      // The old key is forgotten once everybody has written under the new roster.
      try labs.wait("the old key is forgotten") {
        try KeyFile.readAll(in: labs.home("fr")).count == 1
      }
      try labs.stop("fr")
      try labs.start("fr")
      try labs.waitForOneHead(from: labs.head("de").round + 1)
      #expect(try labs.lab("fr") == id)
      try checkLogs(labs)
    }
  }

  @Test func aKillDuringARotationLeavesAHomeThatWorks() async throws {
    try await offPool {
      let labs = try LocalFederation()
      try labs.waitForOneHead(from: 1)
      let before = try KeyFile.read(in: labs.home("fr")).publicKey
      try labs.succeed(["rotate-key", "--home", labs.home("fr").path])
      try labs.wait("de has heard") {
        try !labs.page(PendingPage.self, "de", "pending").proposals.isEmpty
      }
      try labs.stop("fr", with: SIGKILL)
      // Enacted while the lab is away: nobody takes its old key any more.
      try approve("de", labs)
      try labs.wait("es knows") { try fingerprint(of: "fr", at: "es", labs) != before.fingerprint }
      #expect(try KeyFile.read(in: labs.home("fr")).publicKey == before)
      try labs.start("fr")
      try labs.wait("the lab finds out and goes over to its new key", seconds: 90) {
        try KeyFile.read(in: labs.home("fr")).publicKey != before
      }
      // Killed right then, it comes back with the new one.
      try labs.stop("fr", with: SIGKILL)
      try labs.start("fr")
      try waitForAll(labs)
      try labs.waitForOneHead(from: labs.head("de").round + 2)
      try checkLogs(labs)
    }
  }

  @Test func aLostKeyIsReplacedByTheMembers() async throws {
    try await offPool {
      let labs = try LocalFederation()
      try labs.waitForOneHead(from: 1)
      let id = try labs.lab("fr")
      let home = labs.home("fr")
      #expect(try labs.hanse(["rotate-key", "--request", "--home", home.path]).code == 4)
      try labs.stop("fr")
      #expect(try labs.hanse(["rotate-key", "--request", "--home", home.path]).code == 4)
      try FileManager.default.removeItem(atPath: home.key)
      #expect(try Command.run("hansed", ["--home", home.path]).code != 0)
      let line = try labs.succeed(["rotate-key", "--request", "--home", home.path]).output
        .trimmingCharacters(in: .whitespacesAndNewlines)
      let again = try labs.succeed(["rotate-key", "--request", "--home", home.path]).output
      #expect(again.trimmingCharacters(in: .whitespacesAndNewlines) == line)
      try labs.start("fr")
      try labs.wait("the lab says what it waits for") {
        try labs.page(StatusPage.self, "fr", "status").detail.contains("approve this lab's key")
      }
      let de = labs.home("de").path
      #expect(try labs.hanse(["propose", "rotate", "es", line, "--home", de]).code == 4)
      #expect(
        try labs.hanse(["propose", "rotate", "fr", line + "aa", "--home", de]).code == 2)
      try labs.succeed(["propose", "rotate", "fr", line, "--home", de])
      #expect(try labs.hanse(["propose", "rotate", "fr", line, "--home", de]).code == 4)
      try approve("es", labs)
      try waitForAll(labs)
      #expect(try labs.lab("fr") == id)
      try labs.waitForOneHead(from: labs.head("de").round + 2)
      try checkLogs(labs)
    }
  }

  @Test func aRemovedLabsConnectionsAreCutEverywhere() async throws {
    try await offPool {
      let labs = try LocalFederation(labs: ["de", "fr", "es", "pt"])
      try waitForAll(labs)
      try labs.succeed(["revoke", "pt", "--reason", "test", "--home", labs.home("de").path])
      try approve("fr", labs)
      try approve("es", labs)
      for lab in ["de", "fr", "es"] {
        try labs.wait("\(lab) has no connection to the removed lab", seconds: 30) {
          let peers = try labs.page(PeersPage.self, lab, "peers").peers
          return !peers.contains { $0.lab.name == "pt" && $0.link != .none }
            && peers.filter { $0.link != .none }.count == 2
        }
      }
      try labs.wait("the removed lab is alone and says why", seconds: 30) {
        try labs.page(PeersPage.self, "pt", "peers").peers.allSatisfy { $0.link == .none }
      }
      let port = try #require(labs.daemons["pt"])
      #expect(port.isRunning)
    }
  }
}
