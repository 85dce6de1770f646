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
      // That somebody asks is no fault of this node.
      try labs.wait("the two are connected, and doctor finds nothing wrong") {
        let doctor = try labs.hanse(["doctor", "--home", labs.home("de").path])
        return doctor.code == 0 && !doctor.output.contains("WRONG")
          && doctor.output.contains("note  pending: es asks to join (\(asked.fingerprint))")
      }
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
      try approveAgain(asked, labs)

      try labs.stop("de")
      let peers = try labs.page(PeersPage.self, "de", "peers").peers
      #expect(peers.map(\.lab.name) == ["es", "fr"])
      #expect(peers.allSatisfy { $0.link == .none && $0.trouble.contains("not running") })
    }
  }

  /// Who approves what is decided already is told so, and by whom; it is no failure.
  private func approveAgain(_ asked: PendingPage.Request, _ labs: LocalFederation) throws {
    let home = labs.home("de").path
    let history = try labs.page(RosterPage.self, "de", "roster").history
    let admission = try #require(history.last)
    for subject in [asked.fingerprint, "es", asked.lab.id] {
      let again = try labs.succeed(["approve", subject, "--yes", "--home", home]).output
      #expect(again.contains("nothing to do: es is a member already, since roster"), "\(again)")
      #expect(again.contains(admission.id) && again.contains(" by fr)"), "\(again)")
    }
    let again = try labs.succeed(["approve", admission.id, "--home", home]).output
    #expect(again.contains("nothing to do: enacted already, as roster version"), "\(again)")
    #expect(Set(admission.approvals) == ["de", "fr"])
    let page = try labs.page(ApprovePage.self, "de", "approve", String(admission.id.prefix(8)))
    #expect(page.proposal == admission)
    #expect(try labs.page(RosterPage.self, "de", "roster").history == history)
    let founder = try labs.hanse(["approve", "de", "--home", home])
    #expect(founder.code == 4 && founder.errors.contains("de is a founder"), "\(founder.errors)")
    let nobody = try labs.hanse(["approve", "nobody", "--home", home])
    #expect(nobody.code == 3, "\(nobody.errors)")
  }
}
