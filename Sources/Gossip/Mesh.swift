import Determinism
import FoundationEssentials
import Identities
import Records

/// Who is near, who holds what, what to fetch: the network side of a node as a state machine.
///
/// Up to 16 labs every pair of members keeps one connection. A lab's new entries are pushed by the
/// lab itself to everyone it is connected to; other peers announce them a moment later and are
/// asked by whoever still lacks them, so a full mesh carries each entry once and a sparse one loses
/// nothing. Among more labs each keeps a few neighbours, and entries go along the links of a tree.
/// Objects are pulled block by block. No socket, clock or chance of its own: ``handle(_:now:)`` is
/// told what happened and says what to do. See Protocol/Wire.md.
public struct Mesh: Sendable {
  /// This node's lab.
  public let lab: LabID
  let federation: ContentID
  let software: String
  var generator: SeededGenerator
  /// How signed bytes become entries.
  package var reading: any EntryReading = PlainEntryReading()

  /// The other labs of the current roster.
  var members = OrderedTable<LabID, Member>()
  var rosterCount: Int { members.count + 1 }
  var nextVisit: Instant
  var nextParts: Instant
  /// Every lab whose log is kept.
  var logs = OrderedTable<LabID, Shared<Log>>()
  var peers = OrderedTable<LabID, Shared<Peer>>()
  var links = OrderedTable<ConnectionID, Shared<Link>>()
  /// Labs that a connection stands to, greeted or not, in their order.
  var linked: [LabID] = []
  /// Logs that forked, in the order of their labs.
  var forkedLogs: [LabID] = []
  /// Whether entries of a branch may still have to be asked for.
  var hasBranchWish = false
  /// Logs that some peer has more of.
  var behind = OrderedTable<LabID, Bool>()
  /// For some of them, a peer that has more.
  var claimants: [LabID: LabID] = [:]

  var batches = OrderedTable<UInt64, [PendingEntry]>()
  var inVerification: Set<ContentID> = []
  var bytesInVerification = 0
  var nextBatch: UInt64 = 1

  var fetches = OrderedTable<ContentID, Shared<ObjectFetch>>()
  /// The wanted objects, the most urgent first.
  var fetchOrder: [ContentID] = []
  var blocksInFlight = 0
  var held = RecentObjects()
  var snapshotSearch: SnapshotSearch?
  var serving = 0
  var serveNext: ConnectionID?
  var pace = Pace()
  var upload = Bucket()
  var download = Bucket()
  /// Seconds that a block took of late from being asked for to being here.
  var usualSeconds = 0.0

  /// Entries of each log granted beyond the round's since it began, and when the last were.
  var trickled: UInt64 = 0
  var trickledAt: Instant

  var lastTick: Instant
  /// Counts what may change who is present: while it is the same, so are ``presentLabs``.
  public internal(set) var presenceRevision: UInt64 = 0
  var out: [Directive] = []
  /// Whether something has happened to objects, so that it is seen what to ask for.
  var objectsChanged = false
  /// What may have become possible since that was last seen: for these objects, or for all.
  var changedObjects: [ContentID] = []
  var allObjectsChanged = false
  /// When waiting alone next makes something possible, at the earliest.
  var waitEnds: Instant?
  var total = ReceivedCounts()
  var pushed = 0

  /// The mesh of a lab at its start. `software` is what its hello names; `generator` gives jitter.
  public init(
    lab: LabID, federation: ContentID, software: String, generator: SeededGenerator, now: Instant
  ) {
    self.lab = lab
    self.federation = federation
    self.software = software
    self.generator = generator
    lastTick = now
    trickledAt = now
    nextVisit = now
    nextParts = now
  }

  /// Takes in what happened and says what is to be done, in order.
  public mutating func handle(_ event: GossipEvent, now: Instant) -> [Directive] {
    switch event {
    case .tick: tick(now)
    case .members(let members, let logs): adopt(members, logs: logs, now)
    case .round: advanceRound(now)
    case .ended(let lab, let sequence): readOn(lab, from: sequence, now)
    case .pace(let pace): self.pace = pace
    case .connected(let id, let lab, let address, let dialledByUs):
      connected(id, lab, address, dialledByUs, now)
    case .disconnected(let id, let reason): disconnected(id, reason, now)
    case .dialFailed(let lab, let address, let reason): dialFailed(lab, address, reason, now)
    case .frame(let id, let frame): received(frame, on: id, now)
    case .head, .appended, .verified, .entryRefused, .entryDeferred, .forked, .fetchBranch,
      .entriesSent:
      handleEntries(event, now)
    case .want, .unwant, .held, .dropped, .blockListStored, .blockStored, .blockRefused,
      .blockNotStored,
      .blockServed:
      handleObjects(event, now)
    case .wantSnapshot, .unwantSnapshot, .snapshotWrong, .snapshotMade:
      handleSnapshots(event, now)
    }
    if objectsChanged {
      objectsChanged = false
      requestBlocks(now)
      changedObjects.removeAll(keepingCapacity: true)
      allObjectsChanged = false
    }
    defer { out.removeAll(keepingCapacity: true) }
    return out
  }

  /// Where this node's own log ends at each member that has said so, 0 where it is not known: what
  /// a restored node waits for before it signs again. A member that has claimed more again and
  /// again and never gave it has said nothing: it could keep a lab silent for ever.
  public var ownHeadReports: [(lab: LabID, sequence: UInt64)] {
    let own = logs[lab]?.sequence ?? 0
    return peers.values.compactMap { peer in
      guard let sequence = peer.reportedOwn,
        sequence <= own || peer.emptyClaims < GossipLimits.emptyClaims
      else { return nil }
      return (peer.lab, sequence)
    }
  }

  /// Labs that a connection stands to and that have said hello, sorted.
  public var connectedLabs: [LabID] { linked.filter { route(to: $0) != nil } }

  /// What all peers together have sent.
  public var received: ReceivedCounts { total }

  /// Entries pushed to peers, one for each peer: what redundancy is measured by.
  public var entriesPushed: Int { pushed }

  /// Blocks asked for and not yet stored.
  public var outstandingBlocks: Int { blocksInFlight }

  // MARK: - What every part uses

  mutating func send(_ kind: Hanse_V1_Frame.OneOf_Kind, on id: ConnectionID) {
    var frame = Hanse_V1_Frame()
    frame.kind = kind
    out.append(.send(id, frame))
  }

  /// The connection that a lab is spoken to over: the one that stays when there are two.
  func route(to lab: LabID) -> ConnectionID? { peers[lab]?.route }

  /// Finds anew which connection that is, after one has come, said hello or gone.
  mutating func findRoute(to lab: LabID) {
    let ids = peers[lab]?.links ?? []
    let greeted = ids.filter { links[$0]?.greeted == true }
    let route = greeted.last { isPreferred($0) } ?? greeted.last
    peers[lab]?.route = route
    let place = linked.firstIndex { $0 >= lab } ?? linked.count
    let isNoted = place < linked.count && linked[place] == lab
    if isNoted, ids.isEmpty { linked.remove(at: place) }
    if !isNoted, !ids.isEmpty { linked.insert(lab, at: place) }
    allObjectsChanged = true
    presenceRevision += 1
  }

  /// Counts a fault; a connection with too many that are no mere slowness is closed.
  mutating func fault(_ fault: PeerFault, on id: ConnectionID, _ detail: String, _ now: Instant) {
    guard let lab = links[id]?.lab else { return }
    peers[lab]?.faults[fault, default: 0] += 1
    peers[lab]?.lastError = "\(fault.rawValue): \(detail)"
    guard fault != .brokenPromise, fault != .silent else { return }
    links[id]?.faults += 1
    if let count = links[id]?.faults, count == GossipLimits.faultsPerConnection {
      close(id, "too many faults, the last one \(fault.rawValue): \(detail)", now)
    }
  }

  /// A span stretched or shrunk by up to a half, so that nodes do not move in step.
  mutating func jittered(_ seconds: Double) -> Double {
    seconds * (0.5 + generator.nextUnit())
  }
}

/// A log as held here.
struct Log: Sendable {
  var head: Head?
  /// The entry up to which the log is fetched in this round.
  var roundStart: UInt64 = 0
  /// The last entries, to know duplicates by; ascending.
  var recent: [Head] = []
  /// Entries at the shell for verification, and the sequence they reach to.
  var verifying = 0
  var verifyingThrough: UInt64 = 0
  /// Who was asked for the next entries.
  var askedOf: ConnectionID?
  /// Where two branches part, as far as known: nothing more is fetched.
  var fork: UInt64?
  /// Entries of another branch that are still to be asked for.
  var branchWanted: BranchWish?
  /// Until then the author's own push is awaited rather than asking whoever announced it; among
  /// more than 16 labs, the push of any neighbour.
  var patientUntil: Instant?
  /// Its next entry came, and waits for others.
  var deferral: Deferral?
  /// The own end for which a push is awaited, and who announced first what follows it.
  var patientAt: UInt64?
  var announcedBy: LabID?
  /// Which peer sent the newest entry, and its sequence.
  var deliverer: (lab: LabID, sequence: UInt64)?

  mutating func append(_ head: Head) {
    self.head = head
    recent.append(head)
    if recent.count > 2 * GossipLimits.recentEntries {
      recent.removeFirst(GossipLimits.recentEntries)
    }
  }

}

extension Shared<Log> {
  var sequence: UInt64 { self.head?.sequence ?? 0 }

  /// Our entry at a sequence, if it is among the last ones.
  func entry(at sequence: UInt64) -> ContentID? {
    self.recent.last { $0.sequence == sequence }?.entry
  }
}

/// Entries of another branch of a log: after which sequence, and of whom.
struct BranchWish: Sendable {
  var after: UInt64
  var limit: UInt32
  var from: ConnectionID
}

/// An entry at the shell for verification.
struct PendingEntry: Sendable {
  var lab: LabID
  var sequence: UInt64
  var id: ContentID
  var bytes: Int
  var from: ConnectionID
}
