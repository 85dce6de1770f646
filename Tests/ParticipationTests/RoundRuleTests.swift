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

  /// A round that begins at `start`: the rest decided 100 s later, the last lab `lag` after them.
  private static func play(
    _ rule: inout RoundRule, round: UInt32, start: Double, lag: Double?
  ) -> Double {
    var facts = facts(decided: 0)
    facts.round = round
    _ = rule.leave(facts, now: at(start))
    facts.decided = Array(labs.prefix(3))
    facts.admitted = facts.decided
    facts.known = 3
    var now = start + 100
    while rule.leave(facts, now: at(now)) == nil {
      now += 1
      if let lag, now >= start + 100 + lag {
        facts.decided = labs
        facts.admitted = labs
      }
    }
    if let lag, now < start + 100 + lag {
      rule.observe(round: round, decided: labs, now: at(start + 100 + lag))
    }
    return now - start
  }

  @Test func aSlowLabIsWaitedForByItsRecord() {
    var rule = RoundRule(leastGrace: 5)
    #expect(Self.play(&rule, round: 3, start: 0, lag: 40) == 140)
    #expect(Self.play(&rule, round: 4, start: 1000, lag: 70) == 170)
    // It falls silent: twice its longest lag, but no longer than the quorum took, then ever less.
    #expect(Self.play(&rule, round: 5, start: 2000, lag: nil) == 200)
    #expect(Self.play(&rule, round: 6, start: 3000, lag: nil) == 170)
    #expect(Self.play(&rule, round: 7, start: 4000, lag: nil) == 135)
    for round in 8..<14 {
      _ = Self.play(&rule, round: UInt32(round), start: Double(round) * 1000, lag: nil)
    }
    #expect(Self.play(&rule, round: 14, start: 20_000, lag: nil) == 105)
    // It comes back: by its record again.
    #expect(Self.play(&rule, round: 15, start: 30_000, lag: 50) == 105)
    #expect(Self.play(&rule, round: 16, start: 40_000, lag: 50) == 150)
  }

  @Test func aLabThatNeverFitsMakesNoRoundMoreThanTwiceAsLong() {
    var rule = RoundRule(leastGrace: 5)
    for round in 3..<8 {
      let took = Self.play(&rule, round: UInt32(round), start: Double(round) * 10_000, lag: 900)
      #expect(took == 200)
    }
  }

  @Test func aLabThatIsFastDelaysNobodyWhenItIsGone() {
    var rule = RoundRule(leastGrace: 5)
    for round in 3..<6 {
      _ = Self.play(&rule, round: UInt32(round), start: Double(round) * 1000, lag: 1)
    }
    #expect(Self.play(&rule, round: 6, start: 10_000, lag: nil) == 105)
  }
}
