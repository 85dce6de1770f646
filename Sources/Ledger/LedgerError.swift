import Identities
import Records

/// Why an entry has no place in the logs, or a frontier no meaning.
public enum LedgerError: Error, Equatable, CustomStringConvertible {
  /// It belongs to another federation.
  case otherFederation(ContentID)
  /// Its lab was not on the roster that it names.
  case notAMember(lab: LabID, version: UInt32)
  /// Its `previous` is not the entry before it here.
  case brokenChain(lab: LabID, sequence: UInt64)
  /// Its lab signed two entries at one sequence; nothing later counts until the roster decides.
  case equivocated(lab: LabID, sequence: UInt64)
  /// The bytes or the signature.
  case record(RecordError)
  /// A frontier names something that is not here yet.
  case missing(lab: LabID, sequence: UInt64)
  /// A frontier names an entry of a branch that was not sealed: another stands there for ever.
  case otherBranch(lab: LabID, sequence: UInt64)
  /// A frontier's list of contributions is not what its digest says.
  case wrongMembers
  /// A frontier's seal is not attested by a quorum, as far as these logs show.
  case unsealed
  /// A frontier stands too many rounds above its seal.
  case tooFarAboveSeal(rounds: UInt32)

  public var description: String {
    switch self {
    case .otherFederation(let id): "belongs to another federation (\(id.short))"
    case .notAMember(let lab, let version):
      "lab \(lab.short) is not on roster version \(version)"
    case .brokenChain(let lab, let sequence):
      "entry \(sequence) of lab \(lab.short) does not follow the entry before it"
    case .equivocated(let lab, let sequence):
      "lab \(lab.short) signed two different entries at sequence \(sequence)"
    case .record(let error): error.description
    case .missing(let lab, let sequence):
      "entry \(sequence) of lab \(lab.short) is not here yet"
    case .otherBranch(let lab, let sequence):
      "entry \(sequence) of lab \(lab.short) that it names is not the one that was sealed"
    case .wrongMembers: "the frontier's contributions are not those that its digest names"
    case .unsealed: "the frontier's seal has no quorum in these logs"
    case .tooFarAboveSeal(let rounds):
      "the frontier stands \(rounds) rounds above its seal, at most \(Limits.roundsAboveSealMax)"
    }
  }
}
