import Control
import Foundation
import Storage
import Testing

/// Three real daemons on the loopback interface, from the founding to the export.
@Suite(.serialized) struct FederationTests {
  /// What an auditor asks: what a merge added to the one before, and whose it was.
  private static func checkHistory(_ federation: LocalFederation, _ head: MergeHead) throws {
    let merge = try #require(try federation.page(EntryPage.self, "de", "show", head.id).merge)
    #expect(merge.parents.count <= federation.labs.count + 1, "the merges it grew from")
    #expect(merge.contributions.allSatisfy { $0.round >= merge.round - 2 }, "what it added")
    let span = ["--since", "2", "--until", "3"]
    let log = try federation.succeed(
      ["log", "--home", federation.home("de").path, "--json"] + span)
    let page = try PageCoding.decode(LogPage.self, from: Data(log.output.utf8))
    #expect(page.merges.allSatisfy { (2...3).contains($0.round) })
    let blame = try federation.page(BlamePage.self, "de", "blame", "--since", "2", "--until", "3")
    #expect(!blame.labs.isEmpty)
    #expect(abs(blame.labs.map(\.share).reduce(0, +) - 1) < 1e-9)
    // Late ones of two rounds before may have landed there too.
    #expect(blame.labs.allSatisfy { $0.firstRound >= 2 && $0.lastRound <= 3 && $0.merged <= 4 })
    let wrong = try federation.hanse(
      ["blame", "--home", federation.home("de").path, "--since", "3", "--until", "2"])
    #expect(wrong.code == 2)
  }

  @Test func aRecallSaysWhoseItWasAndIsNotMadeTwice() async throws {
    try await offPool {
      let federation = try LocalFederation()
      try federation.waitForOneHead(from: 2)
      let home = federation.home("de").path
      let log = try federation.page(LogPage.self, "de", "log")
      let recalled = try #require(log.merges.first?.contributions.first)
      let proposal = try federation.page(
        ApprovePage.self, "de", "recall", recalled.id, "--reason", "wrong corpus"
      ).proposal
      try federation.wait("fr has approved the recall") {
        try federation.hanse(
          ["approve", proposal.id, "--home", federation.home("fr").path]
        ).code == 0
      }
      try federation.wait("de knows of it") {
        try federation.page(RosterPage.self, "de", "roster").history.last?.id == proposal.id
      }
      let why = try federation.succeed(["why", recalled.id, "--home", home]).output
      #expect(why.contains("proposed by de, approved by") && why.contains("wrong corpus"))
      let roster = try federation.succeed(["roster", "--home", home]).output
      #expect(roster.contains("reason: wrong corpus"))
      let again = try federation.hanse(["recall", recalled.id, "--home", home])
      #expect(again.code == 4)
      #expect(again.errors.contains("recalled already"), "\(again.errors)")
      let nothing = try federation.hanse(
        ["recall", "--lab", "fr", "--since", "4000000000", "--home", home])
      #expect(nothing.code == 3, "\(nothing.errors)")
    }
  }

  /// What a lab says of its data stands in each of its contributions, for everybody.
  @Test func contributionsDeclareTheLicenceOfTheirData() async throws {
    try await offPool {
      let federation = try LocalFederation(labs: ["de", "fr"])
      let settings = federation.home("fr").configuration
      let text = try String(contentsOfFile: settings, encoding: .utf8)
      #expect(text.contains("# licence = "))
      try federation.stop("fr")
      let before = try federation.head("fr").round
      try ("licence = \"CC-BY-SA-4.0\"\n" + text)
        .write(toFile: settings, atomically: true, encoding: .utf8)
      try federation.start("fr")
      var merged: [ContributionRow] = []
      try federation.wait("both have contributed since", seconds: 120) {
        let log = try federation.page(LogPage.self, "de", "log", "--limit", "1000")
        // The round of the stop may have been trained before it.
        merged = log.merges.flatMap(\.contributions).filter { $0.round > before + 2 }
        return Set(merged.map(\.author.name)) == ["de", "fr"]
      }
      for (lab, licence) in [("fr", "CC-BY-SA-4.0"), ("de", "none declared")] {
        let id = try #require(merged.first { $0.author.name == lab }?.id)
        let shown = try federation.page(EntryPage.self, "de", "show", id)
        let field = shown.fields.first { $0.name == "licence of the data" }
        #expect(field?.value == licence, "\(lab)")
      }
    }
  }

  @Test func threeLabsArriveAtOneModelThatAnybodyCanReplay() async throws {
    try await offPool {
      let federation = try LocalFederation()
      let head = try federation.waitForOneHead(from: 3)
      #expect(head.round >= 3)

      // On a machine that is short of time a lab may come too late for a round or two.
      var contributions: [ContributionRow] = []
      try federation.wait("contributions of every lab in the log", seconds: 120) {
        let log = try federation.page(LogPage.self, "fr", "log")
        contributions = log.merges.flatMap(\.contributions)
        return Set(contributions.map(\.author.name)) == Set(federation.labs)
      }
      let contribution = try #require(contributions.last)
      let shown = try federation.page(EntryPage.self, "es", "show", contribution.id)
      #expect(shown.kind == "contribution")
      #expect(shown.contribution?.author == contribution.author)
      let graph = try federation.succeed(
        ["log", "--graph", "--home", federation.home("de").path])
      // On a quick machine the first rounds are far below by now.
      #expect(graph.output.contains("merge "))
      #expect(graph.output.contains("attested by"))
      #expect(!graph.output.contains("\u{1B}["))
      try Self.checkHistory(federation, head)
      let peers = try federation.page(PeersPage.self, "de", "peers")
      #expect(peers.peers.count == 2)

      // Each ends within seconds of being asked, with success, and says the same afterwards.
      for lab in federation.labs {
        let start = Date()
        #expect(try federation.stop(lab) == 0)
        #expect(Date().timeIntervalSince(start) < 30)
      }
      for lab in federation.labs {
        let verified = try federation.page(VerifyPage.self, lab, "verify")
        #expect(verified.ok, "\(verified.findings)")
        #expect(verified.contributions >= 6)
        // Everything, or nothing that is said to be: a seal is begun from a state that was kept.
        #expect(verified.replayed == [RoundSpan(since: 1, until: verified.head.round)])
        #expect(verified.taken == [])
        let quick = try federation.page(VerifyPage.self, lab, "verify", "--from-seal")
        #expect(quick.ok && quick.head == verified.head, "\(quick.findings)")
        #expect(quick.taken?.last?.until == quick.head.round)
        let status = try federation.page(StatusPage.self, lab, "status")
        #expect(status.activity == .stopped)
        #expect(status.head.stateRoot == verified.head.stateRoot)
      }
      let out = federation.folder + "/shared"
      try federation.succeed(
        ["export", "--format", "peft", "--out", out, "--home", federation.home("fr").path])
      let text = federation.folder + "/de.jsonl"
      func loss(_ more: String...) throws -> Double {
        let result = try federation.succeed(
          ["evaluate", "--model", federation.folder + "/model", "--data", text, "--length", "32"]
            + ["--json"] + more)
        let page = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
        return try #require((page as? [String: Any])?["nats_per_token"] as? Double)
      }
      #expect(try loss("--adapter", out) < loss())
    }
  }
}
