import FoundationEssentials
import Identities
import Records

/// Where a lab's log ends, or a place in it: the entry's sequence and id.
public struct Head: Hashable, Sendable {
  /// Whose log.
  public var lab: LabID
  /// The entry's number, from 1.
  public var sequence: UInt64
  /// The entry's id.
  public var entry: ContentID

  /// A place in a log.
  public init(lab: LabID, sequence: UInt64, entry: ContentID) {
    self.lab = lab
    self.sequence = sequence
    self.entry = entry
  }

  /// Where an entry sits.
  public init(_ entry: Entry) {
    self.init(lab: entry.lab, sequence: entry.sequence, entry: entry.id)
  }

  /// A place as carried; nil when an id has another length than 32 bytes or the sequence is 0.
  public init?(_ wire: Hanse_V1_LogPosition) {
    guard let lab = LabID(bytes: wire.lab), let entry = ContentID(bytes: wire.entry),
      wire.sequence > 0
    else { return nil }
    self.init(lab: lab, sequence: wire.sequence, entry: entry)
  }

  /// The place as carried.
  public var wire: Hanse_V1_LogPosition {
    var position = Hanse_V1_LogPosition()
    position.lab = Data(lab.bytes)
    position.sequence = sequence
    position.entry = Data(entry.bytes)
    return position
  }
}

/// One connection of this process's life; numbers are never used again.
public struct ConnectionID: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Counts up from 1.
  public let number: UInt64

  /// The connection of a number.
  public init(number: UInt64) { self.number = number }

  public var description: String { "connection \(number)" }
  public static func < (left: Self, right: Self) -> Bool { left.number < right.number }
}

/// A lab of the current roster and where it says it may be dialled.
public struct Member: Hashable, Sendable {
  /// The lab.
  public var lab: LabID
  /// `host:port`, the likeliest first; empty for a lab that only dials.
  public var addresses: [String]

  /// A member and its addresses.
  public init(lab: LabID, addresses: [String]) {
    self.lab = lab
    self.addresses = addresses
  }
}
