import Control
import Foundation
import Storage
import Testing

/// Two labs that exchange nothing but files come to one model, round after round.
@Suite(
  .serialized,
  .enabled(if: ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full", "HANSE_TESTS=full"))
struct BundleTests {
  /// Carries everything that one lab has to the other.
  private func carry(_ from: String, _ to: String, _ labs: LocalFederation) throws {
    let file = labs.folder + "/\(from).bundle"
    try? FileManager.default.removeItem(atPath: file)
    try labs.succeed(["bundle", "export", file, "--home", labs.home(from).path])
    try labs.succeed(["bundle", "import", file, "--home", labs.home(to).path])
  }

  @Test func labsThatNeverConnectComeToOneModelByFiles() async throws {
    try await offPool {
      let labs = try LocalFederation(apart: ["de", "fr"])
      // Files lag behind: while rounds go on, two heads looked at one after the other need never be
      // the same. Both have stood on a merge that both attest, and the root is what they attest.
      var common: MergeRow?
      try labs.wait("a merge of round 2 or later that both attest, by files alone", seconds: 180) {
        try carry("de", "fr", labs)
        try carry("fr", "de", labs)
        for lab in labs.labs {
          let peers = try labs.page(PeersPage.self, lab, "peers").peers
          #expect(peers.allSatisfy { $0.link == .none })
        }
        let attested = try labs.labs.map { lab in
          try labs.page(LogPage.self, lab, "log").merges
            .filter { $0.round >= 2 && $0.attestedBy.count == 2 }
        }
        common = attested[0].first { merge in attested[1].contains { $0.id == merge.id } }
        return common != nil
      }
      let merge = try #require(common)
      let shown = try labs.labs.map {
        try labs.page(EntryPage.self, $0, "show", merge.id).merge
      }
      #expect(shown.allSatisfy { $0?.stateRoot == merge.stateRoot })
      for lab in labs.labs { #expect(try labs.stop(lab) == 0) }
      // With the daemons down files are exchanged just so; both then hold the very same entries.
      try carry("de", "fr", labs)
      try carry("fr", "de", labs)
      try carry("de", "fr", labs)
      #expect(try labs.entries("de") == labs.entries("fr"))
      for lab in labs.labs {
        let verified = try labs.page(VerifyPage.self, lab, "verify")
        #expect(verified.ok, "\(verified.findings)")
        let store = try Store(home: labs.home(lab), readOnly: true)
        #expect(try store.forks().isEmpty)
        try store.close()
      }
    }
  }

  @Test func aBundleThatIsNoGoodIsRefusedByTheDaemon() async throws {
    try await offPool {
      let labs = try LocalFederation(labs: ["de"])
      let home = labs.home("de").path
      let file = labs.folder + "/de.bundle"
      try labs.succeed(["bundle", "export", file, "--home", home])
      #expect(try labs.hanse(["bundle", "export", file, "--home", home]).code == 4)
      let bytes = try Data(contentsOf: URL(filePath: file))
      let cut = labs.folder + "/cut"
      try bytes.dropLast(7).write(to: URL(filePath: cut))
      let refused = try labs.hanse(["bundle", "import", cut, "--home", home])
      #expect(refused.code == 4)
      #expect(refused.errors.contains("ends in the middle") && refused.errors.contains("hint:"))
      #expect(try labs.hanse(["bundle", "import", cut + "-none", "--home", home]).code == 3)
      #expect(try labs.hanse(["bundle", "import", file, "--home", home]).code == 0)
    }
  }
}
