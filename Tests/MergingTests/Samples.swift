import Adapters
import Deltas
import Determinism
import Identities
@_spi(Vectors) import Ledger
import Merging

/// A contribution for tests: its facts, which stand in for a ledger's, and its delta.
struct Sample {
  var name: String
  var author: String
  var round: UInt32
  var landing: UInt32
  var tokens: UInt64
  var isRecalled = false
  var delta: Delta

  var id: ContentID { ContentID(of: Array(name.utf8), kind: .entry) }

  var admitted: AdmittedContribution {
    AdmittedContribution(
      vector: id, author: LabID(bytes: ContentID(of: Array(author.utf8), kind: .lab).bytes)!,
      round: round, landingRound: landing, tokens: tokens, isRecalled: isRecalled)
  }
}

extension [Sample] {
  /// These as what lands in a round, in the order given.
  func group(_ round: UInt32) -> LandingGroup {
    LandingGroup(round: round, contributions: map(\.admitted))
  }

  /// These folded onto a state.
  func folded(
    onto state: FoldState, round: UInt32, rules: FoldRules
  ) throws -> FoldState {
    try fold(
      state, group: group(round), deltas: { id in first { $0.id == id }!.delta }, rules: rules)
  }
}

enum Samples {
  static func layout() throws -> AdapterLayout {
    try AdapterLayout(
      rank: 3, alpha: 6,
      modules: [
        AdapterModule(path: "q", inputs: 50, outputs: 7),
        AdapterModule(path: "v", inputs: 43, outputs: 44),
      ])
  }

  /// Any delta: symbols and exponents drawn, so that magnitudes differ wildly.
  static func delta(
    _ layout: AdapterLayout, _ generator: inout SeededGenerator, exponents: ClosedRange<Int8>
  ) throws -> Delta {
    var chosen: [Int8] = []
    var symbols: [Int8] = []
    for factor in layout.factors {
      for start in stride(from: 0, to: factor.count, by: 128) {
        let block = (start..<min(start + 128, factor.count)).map { _ in
          Int8.random(in: -7...7, using: &generator)
        }
        let isZero = block.allSatisfy { $0 == 0 }
        chosen.append(isZero ? 0 : Int8.random(in: exponents, using: &generator))
        symbols += block
      }
    }
    return try Delta(layout: layout, exponents: chosen, symbols: symbols)
  }

  /// A round of `count` contributions by as many labs, some late, some recalled.
  static func round(
    _ round: UInt32, count: Int, layout: AdapterLayout, _ generator: inout SeededGenerator,
    exponents: ClosedRange<Int8> = 20...36
  ) throws -> [Sample] {
    try (0..<count).map { lab in
      let late = UInt32.random(in: 0...3, using: &generator)
      return Sample(
        name: "\(round)/\(lab)", author: "lab \(lab)",
        round: round - Swift.min(late > 1 ? late - 1 : 0, round - 1),
        landing: round, tokens: UInt64.random(in: 1...1 << 20, using: &generator),
        isRecalled: lab > 0 && Int.random(in: 0..<6, using: &generator) == 0,
        delta: try delta(layout, &generator, exponents: exponents))
    }
  }
}
