import Control
import Storage
import Testing

@Suite struct DeclineTests {
  @Test func whatWasDeclinedCanBeSeenOnceProposedAndStillBeApproved() async throws {
    try await offPool {
      let labs = try LocalFederation(labs: ["de", "fr"])
      let ticket = try labs.succeed(["invite", "--home", labs.home("de").path]).output
        .split(separator: "\n")[0]
      try labs.succeed(["join", String(ticket)] + labs.own("es", 2))
      let asked = try labs.page(PendingPage.self, "de", "pending").requests[0]
      try labs.succeed(["decline", "es", "--home", labs.home("de").path])
      let declined = try labs.page(PendingPage.self, "de", "pending")
      #expect(declined.requests.isEmpty && declined.proposals.isEmpty)
      #expect(try labs.hanse(["approve", "es", "--yes", "--home", labs.home("de").path]).code == 3)

      try labs.wait("fr has the request and approves it") {
        try labs.hanse(["approve", asked.fingerprint, "--home", labs.home("fr").path]).code == 0
      }
      try labs.wait("de sees what fr proposes") {
        try labs.page(PendingPage.self, "de", "pending").proposals.contains {
          $0.change.contains(asked.fingerprint) && $0.approvals == ["fr"]
        }
      }
      try labs.succeed(["approve", asked.fingerprint, "--home", labs.home("de").path])
      #expect(
        try labs.page(RosterPage.self, "de", "roster").labs.map(\.lab.name) == ["de", "es", "fr"])

      try labs.stop("de")
      let peers = try labs.page(PeersPage.self, "de", "peers").peers
      #expect(peers.map(\.lab.name) == ["es", "fr"])
      #expect(peers.allSatisfy { $0.link == .none && $0.trouble.contains("not running") })
    }
  }
}
