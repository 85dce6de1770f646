import Node
import Participation
import Testing

/// What counts as news when a node waits.
@Suite struct WaitingTests {
  @Test func secondsThatCountDownAreNoNews() {
    let reason = Waiting.grace(round: 3, seconds: 40)
    #expect(reason.isSame(but: .grace(round: 3, seconds: 39)))
    #expect(!reason.isSame(but: .grace(round: 4, seconds: 39)))
    #expect(!reason.isSame(but: .attestations))
    #expect(!Waiting.labs(needed: 3, present: 1).isSame(but: .labs(needed: 3, present: 2)))
  }
}
