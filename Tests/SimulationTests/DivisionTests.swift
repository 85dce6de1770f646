import Simulation
import Testing

/// A network that falls into two: five labs, of which three go on.
@Suite struct DivisionTests {
  @Test(arguments: [1, 2, 3] as [UInt64])
  func theManyGoOnAndTheFewWaitAndCatchUp(seed: UInt64) throws {
    let division = try Simulator.divide(seed: seed, rounds: 11)
    #expect(division.violations == [])
    // Ten rounds alone, and none of them final: four of five labs seal.
    #expect(division.many == 11)
    #expect(!division.isSealedApart)
    // More than half of the judges are away.
    #expect(division.few == 1)
    for reason in division.reasons {
      #expect(reason.hasPrefix("wait: verdicts"), "\(reason)")
      #expect(reason.contains("round: 2"), "\(reason)")
    }
    let together = try #require(division.secondsToOneHead)
    #expect(together <= 60)
    let sealed = try #require(division.secondsToSeal)
    #expect(sealed <= 120)
  }
}
