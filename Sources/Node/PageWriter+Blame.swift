import Control
import FoundationEssentials
import Identities
import Ledger
import Records

extension PageWriter {
  /// Whose contributions moved the head's model in these rounds, and how far.
  ///
  /// - Throws: `LedgerError` while entries are still to come.
  mutating func blame(_ rounds: RoundSpan) throws -> BlamePage {
    let groups = try logbook.landingGroups(of: head)
    let rules = logbook.mergeRules(of: groups)
    var pushes = Pushes()
    var shares: [LabID: Labour] = [:]
    var whole = 0.0
    for group in groups {
      let pushed = pushes.land(
        group, under: rules[group.rosterVersion] ?? Hanse_V1_MergeRules()
      ) { [logbook] id in logbook.contribution(id)?.message.factorNorms ?? [] }
      guard rounds.contains(Int(group.round)) else { continue }
      for contribution in group.contributions {
        let length = pushed[contribution.id] ?? 0
        whole += length
        shares[contribution.author, default: Labour()].add(
          contribution, length: length, changes: changes(contribution))
      }
    }
    let rows = shares.map { $1.row(of: named($0), in: whole) }
    return BlamePage(
      head: mergeHead(), since: rounds.since, until: rounds.until,
      labs: rows.sorted { ($0.share, $1.lab.id) > ($1.share, $0.lab.id) })
  }

  /// What the other labs measured of a contribution.
  private func changes(_ contribution: AdmittedContribution) -> [Double] {
    guard let state = logbook.contribution(contribution.id) else { return [] }
    return state.judgements.filter { $0.judge != contribution.author }.compactMap(\.verdict).map {
      (Double($0.lossAfterMicronats) - Double($0.lossBeforeMicronats)) / 1e6
    }
  }

  /// What a lab's contributions come to.
  private struct Labour {
    private var length = 0.0
    private var merged = 0
    private var recalled = 0
    private var tokens: UInt64 = 0
    private var rounds: (first: UInt32, last: UInt32) = (.max, 0)
    private var changes: [Double] = []

    mutating func add(_ contribution: AdmittedContribution, length: Double, changes: [Double]) {
      rounds = (
        min(rounds.first, contribution.landingRound), max(rounds.last, contribution.landingRound)
      )
      guard !contribution.isRecalled else {
        recalled += 1
        return
      }
      merged += 1
      self.length += length
      tokens &+= contribution.tokens
      self.changes += changes
    }

    func row(of lab: Named, in whole: Double) -> BlamePage.Share {
      BlamePage.Share(
        lab: lab, share: whole > 0 ? length / whole : 0, merged: merged, recalled: recalled,
        tokens: tokens, firstRound: Int(rounds.first), lastRound: Int(rounds.last),
        meanChange: changes.isEmpty ? nil : changes.reduce(0, +) / Double(changes.count))
    }
  }
}
