import Identities

/// Why bytes are not a valid record. Expected of peers; never a reason to stop.
public enum RecordError: Error, Equatable, CustomStringConvertible {
  /// More bytes than the limit of the thing.
  case tooLarge(what: String, bytes: Int, limit: Int)
  /// Not protobuf, or not of this message.
  case unreadable(what: String)
  /// A field that is missing, too long or out of range.
  case field(String, String)
  /// The signature is not the lab's under these bytes.
  case signature(lab: LabID, sequence: UInt64)

  public var description: String {
    switch self {
    case .tooLarge(let what, let bytes, let limit):
      return "\(what) has \(bytes) bytes, the limit is \(limit)"
    case .unreadable(let what):
      return "\(what) cannot be read: not the message it should be"
    case .field(let name, let why):
      return "field \(name): \(why)"
    case .signature(let lab, let sequence):
      return "entry \(sequence) of lab \(lab.short): the signature does not fit the bytes"
    }
  }
}
