import Control
import Foundation
import Storage
import Testing

/// The members change the rules, and go on from there with one model.
@Suite(
  .serialized,
  .enabled(if: ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full", "HANSE_TESTS=full"))
struct RuleTests {
  @Test func aChangedRuleHoldsForEverybodyFromItsVersionOn() async throws {
    try await offPool {
      let labs = try LocalFederation()
      try labs.waitForOneHead(from: 2)
      let de = labs.home("de").path
      let propose = ["propose", "rule", "--home", de]
      #expect(try labs.hanse(propose + ["outer-rate=17"]).code == 2)
      #expect(try labs.hanse(propose + ["length=64"]).code == 2)
      #expect(try labs.hanse(propose + ["committee=99"]).code == 4)
      #expect(try labs.hanse(propose + ["momentum=0.9"]).code == 4)
      try labs.succeed(propose + ["outer-rate=0.5", "grace=3", "rule=median"])
      try labs.wait("fr sees the proposal") {
        try !labs.page(PendingPage.self, "fr", "pending").proposals.isEmpty
      }
      let proposal = try #require(try labs.page(PendingPage.self, "fr", "pending").proposals.first)
      #expect(proposal.details.contains("outer-rate: 0.7 becomes 0.5"), "\(proposal.details)")
      try labs.succeed(["approve", proposal.id, "--home", labs.home("fr").path])
      for lab in labs.labs {
        try labs.wait("\(lab) has the rule") {
          let rules = try labs.page(RosterPage.self, lab, "roster").rules ?? []
          return rules.contains { $0.name == "outer-rate" && $0.value == "0.5" }
            && rules.contains { $0.name == "rule" && $0.value == "median" }
            && rules.contains { $0.name == "momentum" && $0.value == "0.9" }
        }
      }
      let round = try labs.labs.map { try labs.head($0).round }.max() ?? 0
      try labs.waitForOneHead(from: round + 3)
      // A replay from the charter folds each round under its own rules, to the attested roots.
      for lab in labs.labs {
        #expect(try labs.stop(lab) == 0)
        let verified = try labs.page(VerifyPage.self, lab, "verify")
        #expect(verified.ok, "\(verified.findings)")
      }
    }
  }
}
