import Determinism
import Identities

/// What a peer can do wrong. Each is counted, none removes a member.
public enum PeerFault: String, CaseIterable, Sendable, Comparable {
  /// An entry that is wrong in itself: signature, chain or form.
  case badEntry = "bad entry"
  /// A block or block list that does not hash to what was asked for.
  case badBlock = "bad block"
  /// Named a snapshot that is none.
  case badSnapshot = "bad snapshot"
  /// Announced an object or entries and did not deliver in time.
  case brokenPromise = "broken promise"
  /// Sent blocks that nobody asked for.
  case unsolicited = "unsolicited"
  /// Asked for more at once than any honest peer does.
  case tooManyRequests = "too many requests"
  /// A frame that has no place where it came.
  case outOfTurn = "out of turn"
  /// Belongs to another federation or speaks another version.
  case stranger = "stranger"
  /// Said nothing for ``GossipLimits/silenceSeconds``.
  case silent = "silent"

  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// How it stands with one member, for `hanse peers`.
public struct PeerStatus: Sendable {
  /// What is going on with the member.
  public enum State: String, Sendable {
    /// A connection stands and both sides have said hello.
    case connected
    /// A connection stands; the other side's hello is awaited.
    case greeting
    /// A dial is under way.
    case dialling
    /// The next dial is due at `nextDial`.
    case waiting
    /// Among more than 16 labs: not a neighbour, but somebody has lately heard the member.
    case throughOthers = "through others"
    /// Nowhere to dial: the member has to dial.
    case noAddress = "no address"
  }

  /// The member.
  public var lab: LabID
  /// What is going on.
  public var state: State
  /// Where the connection leads, or where it was last tried.
  public var address: String?
  /// All addresses the member gave.
  public var addresses: [String]
  /// The connection in use.
  public var connection: ConnectionID?
  /// Which side dialled it.
  public var dialledByUs: Bool
  /// Since when it stands.
  public var connectedSince: Instant?
  /// When anything was last heard, among more than 16 labs also by others.
  public var lastHeard: Instant?
  /// When the member is dialled next.
  public var nextDial: Instant?
  /// Seconds between the last ping and its answer.
  public var roundTrip: Double?
  /// Why there is no connection, or what last went wrong.
  public var lastError: String?
  /// How often what went wrong, in the order of the faults' names; those that never happened are
  /// left out.
  public var faults: [(fault: PeerFault, count: Int)]
  /// Where logs end at the member, as far as known, in the order of the labs.
  public var heads: [(lab: LabID, sequence: UInt64)]
  /// Where this node's own log ends at the member, as it last reported itself; nil before it did.
  public var reportedOwnHead: UInt64?
  /// What came from the member.
  public var received: ReceivedCounts
}

/// What was received, and how much of it in vain.
public struct ReceivedCounts: Hashable, Sendable {
  /// Entries, those in vain included.
  public var entries = 0
  /// Entries that were already here or on their way to be verified.
  public var duplicateEntries = 0
  /// Bytes of blocks, those in vain included.
  public var blockBytes = 0
  /// Bytes of blocks that were refused, already here or not asked for.
  public var wastedBlockBytes = 0

  /// Nothing yet.
  public init() {}
}
