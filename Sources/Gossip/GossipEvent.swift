import FoundationEssentials
import Identities
import Records

/// What the shell tells a ``Mesh``: what came over connections, what storage did, what time it is.
///
/// At the start: `members`, then `head` for each log held, `forked` for each fork held (from
/// nobody, first), `round`, `held` for the objects worth announcing, `want` for those that are
/// missing, and from then on `tick`.
public enum GossipEvent: Sendable {
  /// Time has passed. To be told at least once a second.
  case tick

  // MARK: the federation
  /// The labs of the current roster (this one may be among them), and every lab that ever was on
  /// it: whose logs are kept.
  case members([Member], logs: [LabID])
  /// The round that the node is in: what flooders are measured by.
  case round(UInt64)
  /// An entry of a lab shows that its log goes on from there in a round that is over: what comes
  /// after it in the log is measured anew.
  case ended(lab: LabID, sequence: UInt64)
  /// How fast objects may move from now on.
  case pace(Pace)

  // MARK: connections
  /// A connection to a member stands: both certificates are checked.
  case connected(ConnectionID, lab: LabID, address: String, dialledByUs: Bool)
  /// A connection has ended.
  case disconnected(ConnectionID, reason: String)
  /// A ``Directive/dial(_:address:)`` led to no connection.
  case dialFailed(LabID, address: String, reason: String)
  /// A frame came.
  case frame(ConnectionID, Hanse_V1_Frame)

  // MARK: entries
  /// Where a log ends here, told at the start or after the shell has chosen another branch of it.
  case head(Head)
  /// An entry, own or foreign, was verified and stored durably, and its log now ends with it.
  case appended(Entry)
  /// A batch of ``Directive/verify(batch:from:entries:)`` has been dealt with entirely.
  case verified(batch: UInt64)
  /// An entry that came over this connection is wrong in itself.
  case entryRefused(from: ConnectionID, reason: String)
  /// An entry of this lab, which came over this connection, could not be judged yet, since it rests
  /// on others that are not here; the shell keeps it. `isSigned` when it is signed with a key that
  /// the lab has: otherwise anybody may have written it.
  case entryDeferred(LabID, from: ConnectionID, isSigned: Bool)
  /// Two entries by one lab at one sequence are held here. `isFirst` when the entry before is the
  /// same on both branches; `from` who showed the other branch.
  case forked(LabID, sequence: UInt64, isFirst: Bool, from: ConnectionID?)
  /// The shell wants a log's entries after a sequence, although the log forked, of a lab that
  /// should have them: the branch that others follow.
  case fetchBranch(LabID, after: UInt64, of: LabID)
  /// A ``Directive/sendEntries(_:lab:after:limit:)`` was carried out up to this sequence.
  case entriesSent(ConnectionID, lab: LabID, through: UInt64)

  // MARK: objects
  /// An object is wanted. `plan` when its block list is already held, with what is missing.
  /// Hints: labs that should have it. The higher `urgency` (the round) is fetched first.
  case want(ContentID, plan: BlockPlan?, hints: [LabID], urgency: UInt64)
  /// An object is wanted no longer.
  case unwant(ContentID)
  /// An object is complete here; others may ask for it.
  case held(ContentID)
  /// An object is held no longer.
  case dropped(ContentID)
  /// The block list hashed to the object's id and was stored.
  case blockListStored(ContentID, plan: BlockPlan)
  /// A block was right and stored.
  case blockStored(ContentID, index: UInt32)
  /// A block (or the block list) from this connection was wrong.
  case blockRefused(ContentID, index: UInt32, from: ConnectionID, reason: String)
  /// A block could not be stored for a reason of our own (a full disk); it is fetched again later.
  case blockNotStored(ContentID, index: UInt32)
  /// A ``Directive/serveBlock(_:object:index:)`` was carried out, with how many bytes, or given up.
  case blockServed(ConnectionID, bytes: Int)

  // MARK: snapshots
  /// The state behind one of these roots is wanted, the first most; every snapshot has `size`
  /// bytes. Takes the place of what was wanted before.
  case wantSnapshot(roots: [ContentID], size: UInt64)
  /// No snapshot is wanted any more.
  case unwantSnapshot
  /// The object is complete, and no state of the root that it was named for: it is dropped.
  case snapshotWrong(ContentID)
  /// A ``Directive/makeSnapshot(_:roots:)`` was carried out: the state of `root` is this object of
  /// `size` bytes, and whole here; nil when none can be given.
  case snapshotMade(ConnectionID, root: ContentID?, object: ContentID?, size: UInt64)
}

/// How an object is cut, and which blocks of it are still missing here.
public struct BlockPlan: Hashable, Sendable {
  /// Bytes of the whole object.
  public var size: UInt64
  /// The blocks not held here, ascending.
  public var missing: [UInt32]

  /// A plan. Blocks at or past the end are ignored.
  public init(size: UInt64, missing: [UInt32]) {
    self.size = size
    self.missing = missing
  }

  /// A plan of which nothing is held.
  public init(size: UInt64) {
    self.init(size: size, missing: Array(0..<UInt32(clamping: Self.blocks(in: size))))
  }

  /// Blocks that an object of so many bytes has.
  public static func blocks(in size: UInt64) -> UInt64 {
    let block = UInt64(GossipLimits.blockBytes)
    return size / block + (size % block == 0 ? 0 : 1)
  }

  /// Bytes of one block; 0 past the end.
  public func bytes(of index: UInt32) -> Int {
    let start = UInt64(index) * UInt64(GossipLimits.blockBytes)
    guard start < size else { return 0 }
    return Int(min(size - start, UInt64(GossipLimits.blockBytes)))
  }
}
