import Determinism
import Identities
import Participation
import Testing

@Suite struct RoundRuleTests {
  static let labs = (0..<4).map { index in
    LabID(firstKey: SigningKey(seed: [UInt8](repeating: UInt8(index), count: 32))!.publicKey)
  }

  static func facts(decided: Int, admitted: Int? = nil, furthest: UInt32 = 0) -> RoundRule.Facts {
    RoundRule.Facts(
      round: 3, trainers: labs, admitted: Array(labs.prefix(admitted ?? decided)),
      decided: Array(labs.prefix(decided)), furthest: furthest)
  }

  static func at(_ seconds: Double) -> Instant { Instant(nanoseconds: 0).adding(seconds: seconds) }

  @Test func leavesWhenEverybodyPresentIsJudged() {
    var rule = RoundRule(leastGrace: 60)
    #expect(rule.leave(Self.facts(decided: 3), now: Self.at(1)) == nil)
    #expect(rule.leave(Self.facts(decided: 4), now: Self.at(2)) == 3)
  }

  @Test func aQuorumWaitsForItsGrace() {
    var rule = RoundRule(leastGrace: 60)
    #expect(rule.leave(Self.facts(decided: 3), now: Self.at(10)) == nil)
    #expect(rule.leave(Self.facts(decided: 3), now: Self.at(69)) == nil)
    #expect(rule.leave(Self.facts(decided: 3), now: Self.at(70)) == 3)
  }

  @Test func halfIsNoQuorum() {
    var rule = RoundRule(leastGrace: 60)
    #expect(rule.leave(Self.facts(decided: 2), now: Self.at(0)) == nil)
    #expect(rule.leave(Self.facts(decided: 2), now: Self.at(239)) == nil)
  }

  @Test func aSilentJudgeHoldsNobodyUp() {
    var rule = RoundRule(leastGrace: 60)
    #expect(rule.leave(Self.facts(decided: 2), now: Self.at(0)) == nil)
    var more = Self.facts(decided: 2)
    more.known = 5
    #expect(rule.leave(more, now: Self.at(200)) == nil)
    #expect(rule.leave(more, now: Self.at(439)) == nil)
    #expect(rule.leave(more, now: Self.at(440)) == 3)
  }

  @Test func aRoundWithoutAnyAdmissionIsNotLeft() {
    var rule = RoundRule(leastGrace: 1)
    #expect(rule.leave(Self.facts(decided: 4, admitted: 0), now: Self.at(100)) == nil)
  }

  @Test func followsOthersThatHaveMovedOn() {
    var rule = RoundRule(leastGrace: 60)
    #expect(rule.leave(Self.facts(decided: 1, furthest: 4), now: Self.at(0)) == 3)
  }

  @Test func graceGrowsWithTheSpreadThatWasSeen() {
    var rule = RoundRule(leastGrace: 1)
    _ = rule.leave(Self.facts(decided: 1), now: Self.at(0))
    _ = rule.leave(Self.facts(decided: 4), now: Self.at(100))
    #expect(rule.grace == 200)
  }
}
