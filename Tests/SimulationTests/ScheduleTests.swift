import Foundation
import Simulation
import Testing

@Suite struct ScheduleTests {
  static let isFull = ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full"

  private func expectGood(_ schedule: Schedule) throws {
    let outcome = try Simulator.run(schedule)
    #expect(outcome.passed, "\(outcome.violations) \(outcome.weather)")
  }

  @Test(arguments: UInt64(1)...20)
  func everySchedulePasses(seed: UInt64) throws {
    try expectGood(Schedule(nodes: 5, rounds: 2, seed: seed))
  }

  /// Seeds that once failed: Protocol/Simulation.md, "Found".
  @Test(arguments: [21, 24, 38, 42, 51, 107, 126] as [UInt64])
  func whatOnceFailedPasses(seed: UInt64) throws {
    let schedule = Schedule(nodes: 5, rounds: 3, seed: seed)
    if Self.open.contains(seed) {
      try withKnownIssue("Protocol/Simulation.md, Open", isIntermittent: true) {
        try expectGood(schedule)
      }
    } else {
      try expectGood(schedule)
    }
  }

  /// Schedules that still fail: Protocol/Simulation.md, "Open".
  static let open: Set<UInt64> = [42, 1003]

  /// Equivocators are left out here: Protocol/Simulation.md, "Open".
  @Test(.enabled(if: isFull, "HANSE_TESTS=full"), arguments: UInt64(1000)..<1200)
  func twoHundredMorePass(seed: UInt64) throws {
    let faults = Fault.allCases.filter { $0 != .equivocators }
    let schedule = Schedule(nodes: 7, rounds: 3, seed: seed, faults: faults)
    if Self.open.contains(seed) {
      try withKnownIssue("Protocol/Simulation.md, Open", isIntermittent: true) {
        try expectGood(schedule)
      }
    } else {
      try expectGood(schedule)
    }
  }

  @Test func withoutFaultsNothingIsMissedOrFetchedTwice() throws {
    let outcome = try Simulator.run(Schedule(nodes: 6, rounds: 2, seed: 3, faults: []))
    #expect(outcome.passed, "\(outcome.violations)")
    #expect(outcome.roots == 1)
    #expect(outcome.missed == 0)
    #expect(outcome.round == 2)
    #expect(outcome.payloadRatio <= 1.05)
    #expect(outcome.redundancy < 1)
  }

  @Test func theSameSeedGivesTheSameTrace() throws {
    let schedule = Schedule(nodes: 6, rounds: 2, seed: 7)
    let first = try Simulator.run(schedule)
    let second = try Simulator.run(schedule)
    #expect(first.trace == second.trace)
    #expect(first.happenings == second.happenings)
    let other = try Simulator.run(Schedule(nodes: 6, rounds: 2, seed: 8))
    #expect(first.trace != other.trace)
  }
}
