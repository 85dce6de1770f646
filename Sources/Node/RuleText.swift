import Control
import Ledger
import Records

/// The rules that may be changed, by the names that people use: as in `hanse init`.
enum RuleText: String, CaseIterable {
  case localSteps = "local-steps"
  case batch
  case learningRate = "learning-rate"
  case labsToBegin = "labs-to-begin"
  case grace
  case rule
  case outerRate = "outer-rate"
  case momentum
  case lateness
  case tolerance
  case committee

  /// The change that `name=value` texts ask for.
  ///
  /// - Throws: `ControlError` for a name or value that makes no sense.
  static func change(_ texts: [String], reason: String) throws -> Hanse_V1_RuleChange {
    var change = Hanse_V1_RuleChange()
    change.reason = String(reason.prefix(200))
    var seen: Set<RuleText> = []
    for text in texts {
      let halves = text.split(separator: "=", maxSplits: 1).map(String.init)
      guard halves.count == 2, let name = RuleText(rawValue: halves[0]) else {
        throw ControlError(
          .wrongUse, "\(PlainText.escape(text, limit: 60)) is no rule that can be changed",
          hint: "NAME=VALUE, where NAME is one of "
            + allCases.map(\.rawValue).joined(separator: ", "))
      }
      guard seen.insert(name).inserted else {
        throw ControlError(.wrongUse, "\(name.rawValue) is given twice", hint: "give it once")
      }
      guard name.set(halves[1], in: &change) else {
        throw ControlError(
          .wrongUse, "\(name.rawValue) cannot be \(PlainText.escape(halves[1], limit: 60))",
          hint: name.form)
      }
    }
    guard !texts.isEmpty else {
      throw ControlError(.wrongUse, "no rule is named", hint: "for example: grace=120")
    }
    return change
  }

  private var form: String {
    switch self {
    case .grace: "a number of seconds, such as 120"
    case .rule: "one of " + Rules.mergeRules.joined(separator: ", ")
    case .learningRate: "a number above 0 and at most 1, such as 2e-4"
    case .outerRate: "a number above 0 and at most 16, such as 0.7"
    case .momentum: "a number from 0 to below 1, such as 0.9"
    case .tolerance: "nats per token, from 0 to 10, such as 0.02"
    case .localSteps, .batch, .labsToBegin, .lateness, .committee: "a whole number"
    }
  }

  private func set(_ text: String, in change: inout Hanse_V1_RuleChange) -> Bool {
    func whole(_ path: WritableKeyPath<Hanse_V1_RuleChange, UInt32>) -> Bool {
      guard let number = UInt32(text) else { return false }
      change[keyPath: path] = number
      return true
    }
    func scaled(_ path: WritableKeyPath<Hanse_V1_RuleChange, UInt32>) -> Bool {
      guard let number = Double(text), number.isFinite, (0...16).contains(number) else {
        return false
      }
      change[keyPath: path] = UInt32((number * 65_536).rounded(.toNearestOrEven))
      return true
    }
    switch self {
    case .localSteps: return whole(\.localSteps)
    case .batch: return whole(\.batch)
    case .labsToBegin: return whole(\.labsToBegin)
    case .grace: return whole(\.graceSeconds)
    case .lateness: return whole(\.latenessLimit)
    case .committee: return whole(\.committee)
    case .outerRate: return scaled(\.outerRateQ16)
    case .momentum: return scaled(\.momentumQ16)
    case .learningRate:
      guard let number = Double(text) else { return false }
      change.learningRate = number
    case .rule: change.rule = text
    case .tolerance:
      guard let number = Double(text), number.isFinite, (0...1000).contains(number) else {
        return false
      }
      change.toleranceMicronats = UInt64((number * 1e6).rounded())
    }
    return true
  }

  /// A rule's value as people write it.
  func value(in rules: Rules) -> String {
    switch self {
    case .localSteps: "\(rules.round.localSteps)"
    case .batch: "\(rules.round.batch)"
    case .learningRate: "\(rules.round.learningRate)"
    case .labsToBegin: "\(rules.round.labsToBegin)"
    case .grace: "\(rules.round.graceSeconds)"
    case .rule: rules.merge.rule
    case .outerRate: Self.text(q16: rules.merge.outerRateQ16)
    case .momentum: Self.text(q16: rules.merge.momentumQ16)
    case .lateness: "\(rules.merge.latenessLimit)"
    case .tolerance: "\(Double(rules.judging.toleranceMicronats) / 1e6)"
    case .committee: "\(rules.judging.committee)"
    }
  }

  /// The shortest decimal that means these units of 2⁻¹⁶.
  private static func text(q16 units: UInt32) -> String {
    let exact = Double(units) / 65_536
    for digits in 0...5 {
      let text = Figures.fixed(exact, digits)
      if let number = Double(text), UInt32((number * 65_536).rounded(.toNearestOrEven)) == units {
        return text
      }
    }
    return "\(exact)"
  }
}

extension PageWriter {
  /// The rules as they are now, and since which roster version each has been so.
  var rules: [RosterPage.Rule] {
    let rosters = logbook.rosters
    return RuleText.allCases.map { name in
      let now = name.value(in: logbook.roster.rules)
      let other = rosters.last { name.value(in: $0.rules) != now }
      return RosterPage.Rule(
        name: name.rawValue, value: now, sinceVersion: Int((other?.version ?? 0) + 1),
        founded: name.value(in: rosters[0].rules))
    }
  }

  /// What a change of the rules makes of each, a line each.
  func details(of change: Hanse_V1_RuleChange, makes version: UInt32) -> [String] {
    let reason = change.reason.isEmpty ? "no reason given" : "reason: \(change.reason)"
    guard let before = logbook.roster(version: version - 1)?.rules else { return [reason] }
    let after: Rules
    do { after = try before.applying(change) } catch { return ["void: \(error)", reason] }
    return RuleText.allCases.compactMap { name in
      let (old, new) = (name.value(in: before), name.value(in: after))
      return old == new ? nil : "\(name.rawValue): \(old) becomes \(new)"
    } + [reason]
  }
}
