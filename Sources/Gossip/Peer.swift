import Determinism
import Identities
import Records

/// What is known of one member, whether connected or not.
struct Peer: Sendable {
  let lab: LabID
  var addresses: [String] = []
  /// On the current roster; others are forgotten.
  var links: [ConnectionID] = []
  /// The one of them that the lab is spoken to over.
  var route: ConnectionID?

  // Dialling.
  var nextDial: Instant
  var dialDelay = GossipLimits.dialFirstSeconds
  var dialling: Instant?
  var addressIndex = 0
  var lastAddress: String?
  var lastError: String?

  // Among more labs than a full mesh holds.
  var bond = Bond()
  /// When the lab was last heard, here or by others.
  var lastSeen: Instant?
  /// Labs that have come and that the peer is still to be told of.
  var arriving = OrderedTable<LabID, Bool>()

  // Entries.
  /// Where logs end there, as reported, received from it or sent to it.
  var known = OrderedTable<LabID, Known>()
  /// Where this node's own log ends there, as the peer itself last said.
  var reportedOwn: UInt64?
  /// How often it claimed to have more of this node's own log, and gave nothing of it.
  var emptyClaims = 0
  /// Logs that the peer had to ask for and gets pushed until then.
  var grafted = OrderedTable<LabID, Instant>()
  /// Logs whose new end is to be announced when `announceAt` has come.
  var announcing = OrderedTable<LabID, Bool>()
  var announceAt: Instant?
  /// Logs that the peer claimed to have more of and could not give.
  var unhelpful = OrderedTable<LabID, Instant>()
  /// Logs of which the peer has entries that rest on others'.
  var deferred = OrderedTable<LabID, Deferral>()
  /// Places of the peer's logs that were already compared with ours.
  var compared = OrderedTable<LabID, Head>()
  var evidenceSent = OrderedTable<LabID, UInt64>()
  var nextHeads: Instant

  // Objects.
  var holds = RecentObjects()
  /// Which blocks the peer said it has of objects that are fetched here.
  var parts = OrderedTable<ContentID, BlockSet>()
  var upload = Bucket()
  var download = Bucket()
  var window = GossipLimits.windowFirst
  /// Blocks asked of the peer, until they are stored.
  var blocksOut = 0

  // Accounts.
  var faults = OrderedTable<PeerFault, Int>()
  var received = ReceivedCounts()
  var roundTrip: Double?
  var lastHeard: Instant?

  init(lab: LabID, now: Instant) {
    self.lab = lab
    nextDial = now
    nextHeads = now
  }
}

/// A log's end as known of a peer; without the id when only the number follows from what was sent.
struct Known: Sendable {
  var sequence: UInt64
  var entry: ContentID?
}

/// How long nobody, or one peer, is asked for a log whose next entry rests on others that are not
/// here: for a while, or until the log goes on. What was sent is kept, and tried again when others
/// come; it is asked for again only because there is a limit to what is kept.
struct Deferral: Sendable {
  let until: Instant
  let seconds: Double
  /// How far the log reached here.
  let sequence: UInt64

  init(seconds: Double, sequence: UInt64, _ now: Instant) {
    until = now.adding(seconds: seconds)
    self.seconds = seconds
    self.sequence = sequence
  }

  func holds(at reached: UInt64, _ now: Instant) -> Bool { now < until && reached == sequence }
}

/// One connection to a member.
struct Link: Sendable {
  let id: ConnectionID
  let lab: LabID
  let address: String
  let dialledByUs: Bool
  let since: Instant
  /// The other side's hello has come.
  var greeted = false
  var lastHeard: Instant
  var lastPing: Instant?
  var pingNonce: UInt64?
  var faults = 0
  /// Set on both when the other side opened a second connection.
  var rivalSince: Instant?
  /// The log asked for, and not yet answered.
  var asking: EntryRequest?
  /// Blocks asked for on this connection and not yet answered, given up or not.
  var asked: Set<BlockKey> = []
  /// Requests for blocks waiting here.
  var serveQueue: [BlockKey] = []
  var serving = 0
  var sending = 0
  /// A snapshot that this connection asked for is being made.
  var isMakingSnapshot = false
  /// When entries or blocks last crossed it.
  var lastUse: Instant

}

extension Shared<Link> {
  /// Something is asked for, or answered, over it.
  var isBusy: Bool {
    self.asking != nil || !self.asked.isEmpty || !self.serveQueue.isEmpty || self.serving > 0
      || self.sending > 0 || self.isMakingSnapshot
  }
}

/// A block of an object.
struct BlockKey: Hashable, Sendable {
  var object: ContentID
  var index: UInt32
}

/// Entries asked of a peer.
struct EntryRequest: Sendable {
  var lab: LabID
  var after: UInt64
  var deadline: Instant
  /// To find where two branches part, not to catch up.
  var isBranch: Bool
}

/// The objects last heard of, the oldest forgotten first.
struct RecentObjects: Sendable {
  private(set) var order: [ContentID] = []
  private var set: Set<ContentID> = []

  func contains(_ object: ContentID) -> Bool { set.contains(object) }

  /// Remembers an object; false when it was remembered already.
  @discardableResult
  mutating func insert(_ object: ContentID) -> Bool {
    guard set.insert(object).inserted else { return false }
    order.append(object)
    // Dropping a quarter at once keeps the cost of forgetting small.
    if order.count > GossipLimits.objectsPerPeer {
      for old in order.prefix(GossipLimits.objectsPerPeer / 4) { set.remove(old) }
      order.removeFirst(GossipLimits.objectsPerPeer / 4)
    }
    return true
  }

  mutating func remove(_ object: ContentID) {
    guard set.remove(object) != nil else { return }
    order.removeAll { $0 == object }
  }
}
