import Determinism
import Foundation
import Identities
import Ledger
import Records
import Testing

/// What a logbook remembers from one question to the next must be what one that was asked nothing
/// before concludes from the same entries.
@Suite struct RememberingTests {
  /// Labs that hold some payloads, train from what they hold and judge as it comes; one of them
  /// signs two entries at one place, so that something admitted is none any more.
  @Test(arguments: UInt64(1)...12)
  func aRememberedAnswerIsTheOneFromTheStart(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var federation = try Federation(founders: 5)
    var asked = 0
    for round in 1...9 {
      for lab in federation.labs.shuffled(using: &generator) {
        if federation.book.forks[lab] != nil || generator.next() % 6 == 0 { continue }
        let hidden = generator.next()
        let base = federation.book.head { Self.isHeld($0, but: hidden) }
        let entry = try federation.contribute(lab, base: base)
        for judge in federation.labs where judge != lab && generator.next() % 8 != 0 {
          guard federation.book.forks[judge] == nil else { continue }
          _ = try federation.judge(judge, entry, accept: generator.next() % 9 != 0)
        }
        asked += try compare(&federation, &generator)
      }
      for lab in federation.labs where federation.book.forks[lab] == nil {
        guard generator.next() % 3 != 0 else { continue }
        _ = try federation.attest(lab, federation.head())
      }
      if round == 4 { try recall(in: &federation, &generator) }
      if round == 6 {
        try fork(federation.labs[Int(seed % 5)], in: &federation)
        asked += try compare(&federation, &generator)
      }
    }
    #expect(asked > 20)
  }

  private static func isHeld(_ state: ContributionState, but hidden: UInt64) -> Bool {
    UInt64(state.id.bytes[0]) % 8 != hidden % 16
  }

  /// A second entry in the place of a lab's last.
  private func fork(_ lab: LabID, in federation: inout Federation) throws {
    let log = federation.book.log(of: lab)
    let message = federation.contribution(base: federation.head(), attempt: 7, salt: 9)
    let other = try federation.draft(lab, .contribution(message), after: log.dropLast().last)
    guard case .equivocation = try federation.book.append(other) else {
      Issue.record("the entry is no equivocation")
      return
    }
    federation.book.settle()
    federation.written.append(other)
  }

  /// Takes one admitted contribution of an early round out of the fold.
  private func recall(
    in federation: inout Federation, _ generator: inout SeededGenerator
  ) throws {
    let admitted = federation.book.contributionsInOrder.filter { $0.status == .admitted }
    guard !admitted.isEmpty else { return }
    var recall = Hanse_V1_Recall()
    recall.contributions = [
      Data(admitted[Int(generator.next() % UInt64(admitted.count))].id.bytes)
    ]
    recall.reason = "its texts were not free"
    try federation.enact(.recall(recall))
    #expect(federation.book.roster.recalled.count == 1)
  }

  private func compare(
    _ federation: inout Federation, _ generator: inout SeededGenerator
  ) throws -> Int {
    let limit = generator.next() % 3 == 0 ? UInt32(generator.next() % 9) : .max
    let hidden = generator.next()
    var fresh = Logbook(charter: federation.charter)
    for entry in federation.written { _ = try fresh.append(entry) }
    fresh.settle()
    let found = federation.book.closure(upTo: limit) { Self.isHeld($0, but: hidden) }
    let meant = fresh.closure(upTo: limit) { Self.isHeld($0, but: hidden) }
    #expect(federation.book.members(of: found.set) == fresh.members(of: meant.set))
    #expect(found.set.round == meant.set.round && found.isComplete == meant.isComplete)
    let merge = federation.book.merge(of: found.set)
    let other = fresh.merge(of: meant.set)
    // One that has lived through earlier seals may write over one of them.
    #expect(merge.id == other.id)
    let groups = try federation.book.landingGroups(of: merge)
    let otherGroups = try fresh.landingGroups(of: other)
    #expect(groups == otherGroups)
    // The same set as the roster before a recall folds it.
    var earlier = merge
    earlier.rosterVersion = 1
    let before = try federation.book.landingGroups(of: earlier)
    let otherBefore = try fresh.landingGroups(of: earlier)
    #expect(before == otherBefore)
    for state in federation.book.contributionsInOrder {
      let isFinal = federation.book.isSealedContribution(state.id)
      let meantFinal = fresh.isSealedContribution(state.id)
      #expect(isFinal == meantFinal)
    }
    return 1
  }
}
