import Control
import Determinism
import Foundation
import Glibc
import Identities
import Storage
import Testing

/// What is left when a daemon is killed in the middle of whatever it does.
@Suite(
  .serialized,
  .enabled(if: ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full", "HANSE_TESTS=full"))
struct KillTests {
  @Test(arguments: [1, 2] as [UInt64])
  func aDaemonKilledTwentyTimesLosesNothing(seed: UInt64) async throws {
    try await offPool {
      let federation = try LocalFederation()
      var chance = SeededGenerator(seed: seed)
      // What each lab was ever seen to have: none of it may be gone, none may change.
      var shown: [String: [LocalFederation.EntryPlace: ContentID]] = [:]
      for _ in 0..<20 {
        usleep(UInt32.random(in: 0..<2_500_000, using: &chance))
        let victim = try #require(federation.labs.randomElement(using: &chance))
        let workers = federation.workers(of: victim)
        try federation.stop(victim, with: SIGKILL)
        for lab in federation.labs {
          let entries = try federation.entries(lab)
          for (place, id) in shown[lab] ?? [:] {
            #expect(entries[place] == id, "\(lab) no longer has \(place)")
          }
          shown[lab, default: [:]].merge(entries) { $1 }
        }
        // Whatever the others had of the victim's own log, it had kept before it sent it.
        let own = try federation.lab(victim)
        let kept = try #require(shown[victim])
        for (place, id) in shown.values.joined() where place.lab == own {
          #expect(kept[place] == id, "\(victim) had sent \(place) before it was durable")
        }
        try federation.wait("the workers \(workers) of \(victim) end", seconds: 20) {
          workers.allSatisfy { !FileManager.default.fileExists(atPath: "/proc/\($0)/exe") }
        }
        try federation.start(victim)
      }
      let round = try federation.labs.map { try federation.head($0).round }.max() ?? 0
      let head = try federation.waitForOneHead(from: round + 2)
      #expect(head.round > round)
      for lab in federation.labs {
        #expect(federation.workers(of: lab).count <= 1)
        let attention = try federation.page(StatusPage.self, lab, "status").attention
        #expect(!attention.contains { $0.contains("two entries") }, "\(attention)")
        #expect(try federation.stop(lab) == 0)
      }
      // Nobody ever signed two entries for one place: all stores agree wherever they meet.
      var everything: [LocalFederation.EntryPlace: ContentID] = [:]
      for lab in federation.labs {
        let store = try Store(home: federation.home(lab), readOnly: true)
        #expect(try store.forks().isEmpty)
        for (place, id) in try federation.entries(lab) {
          #expect(everything.updateValue(id, forKey: place) ?? id == id, "\(place) stands twice")
        }
        #expect(try federation.page(VerifyPage.self, lab, "verify").ok)
        #expect(try federation.hanse(["fsck", "--home", federation.home(lab).path]).code == 0)
      }
    }
  }
}
