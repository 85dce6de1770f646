import Adapters
import Identities

/// Why a fold was refused, or why bytes are no state.
public enum FoldError: Error, Equatable {
  /// The charter names a rule this version does not have.
  case unknownRule(String)
  /// The outer rate in units of 2⁻¹⁶ is not between 1 and 2²⁰.
  case outerRate(UInt32)
  /// The momentum in units of 2⁻¹⁶ is not below 2¹⁶.
  case momentum(UInt32)
  /// The lateness limit is above 2.
  case latenessLimit(UInt32)
  /// The group's round is not after the state's.
  case round(state: UInt32, group: UInt32)
  /// A contribution belongs to another landing round, or is of a round after it.
  case landing(ContentID)
  /// One id came with two sets of facts.
  case conflict(ContentID)
  /// Two contributions of one author and round.
  case twice(author: LabID, round: UInt32)
  /// The delta of a contribution has another layout than the state.
  case layout(ContentID)
  /// A snapshot of another length than its layout calls for.
  case stateLength(expected: Int, found: Int)
  /// The bytes do not begin like a state.
  case stateMagic
  /// The snapshot's version is unknown here.
  case stateVersion(UInt8)
  /// Reserved bytes of a snapshot are not zero.
  case stateReserved
  /// The snapshot is of another adapter.
  case stateLayout(expected: ContentID, found: ContentID)
  /// A number of the snapshot is beyond ±2⁵⁸.
  case stateRange(coordinate: Int)
  /// The snapshot is intact but not the attested one.
  case stateRoot(expected: ContentID, found: ContentID)
}

extension FoldError {
  /// The failed check's name, as in Protocol/Merge.md and in the `expect:` line of a vector.
  public var check: String {
    switch self {
    case .unknownRule: "rule"
    case .outerRate: "outer-rate"
    case .momentum: "momentum"
    case .latenessLimit: "lateness-limit"
    case .round: "round"
    case .landing: "landing"
    case .conflict: "conflict"
    case .twice: "twice"
    case .layout: "layout"
    case .stateLength: "state-length"
    case .stateMagic: "state-magic"
    case .stateVersion: "state-version"
    case .stateReserved: "state-reserved"
    case .stateLayout: "state-layout"
    case .stateRange: "state-range"
    case .stateRoot: "state-root"
    }
  }
}

extension FoldError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unknownRule(let name):
      "merge rule \(name.debugDescription) is unknown here; this version has "
        + FoldRules.Rule.allCases.map { $0.rawValue }.joined(separator: ", ")
    case .outerRate(let rate): "outer rate \(rate) is not between 1 and 2^20 units of 2^-16"
    case .momentum(let momentum): "momentum \(momentum) is not below 2^16 units of 2^-16"
    case .latenessLimit(let limit): "lateness limit \(limit) is above 2 rounds"
    case .round(let state, let group):
      "round \(group) cannot be folded onto a state of round \(state)"
    case .landing(let id): "contribution \(id.short) does not land in the round being folded"
    case .conflict(let id): "contribution \(id.short) was given twice with different facts"
    case .twice(let author, let round):
      "lab \(author.short) has two contributions of round \(round)"
    case .layout(let id): "the delta of contribution \(id.short) is for another adapter"
    case .stateLength(let expected, let found):
      "the snapshot has \(found) bytes where its adapter calls for \(expected)"
    case .stateMagic: "the snapshot does not begin like a hanse state"
    case .stateVersion(let version):
      "the snapshot is of version \(version); a newer hanse may read it"
    case .stateReserved: "reserved bytes of the snapshot are not zero"
    case .stateLayout(let expected, let found):
      "the snapshot is of adapter \(found.short), not \(expected.short)"
    case .stateRange(let coordinate): "number \(coordinate) of the snapshot is beyond 2^58"
    case .stateRoot(let expected, let found):
      "the snapshot's root is \(found.short), but \(expected.short) is the attested one"
    }
  }
}
