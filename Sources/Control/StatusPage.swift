/// A thing with a name that people gave it and an id that nobody else can have.
public struct Named: Codable, Sendable, Hashable {
  /// As its founder or lab wrote it: show it escaped.
  public var name: String
  /// In base32.
  public var id: String

  /// A name and an id.
  public init(name: String, id: String) {
    self.name = name
    self.id = id
  }
}

/// What a node is doing.
public enum NodeActivity: String, Codable, Sendable, CaseIterable {
  /// For other labs; `detail` says for what.
  case waiting
  /// On the lab's own text.
  case training
  /// Other labs' contributions.
  case judging
  /// Folding a frontier into the next adapter.
  case merging
  /// Nothing to do.
  case idle
  /// The daemon is not running.
  case stopped
}

/// A merge as a node's head.
public struct MergeHead: Codable, Sendable, Equatable {
  /// The merge's id.
  public var id: String
  /// Its frontier's round.
  public var round: Int
  /// Hash of the folded state.
  public var stateRoot: String
  /// Final, by a quorum's attestation; otherwise provisional.
  public var sealed: Bool

  /// A head.
  public init(id: String, round: Int, stateRoot: String, sealed: Bool) {
    self.id = id
    self.round = round
    self.stateRoot = stateRoot
    self.sealed = sealed
  }
}

/// The page an operator looks at every morning.
public struct StatusPage: Page {
  /// Name and federation id.
  public var federation: Named
  /// This node's lab.
  public var lab: Named
  /// Program and version.
  public var software: String
  /// Now.
  public var activity: NodeActivity
  /// One line more: which round, for whom it waits.
  public var detail: String
  /// Part of the activity that is done, 0…1, when that is known.
  public var progress: Double?
  /// The merge it trains from.
  public var head: MergeHead
  /// Every lab on the roster, this one first.
  public var labs: [LabStatus]
  /// Loss on this lab's held-out text.
  public var heldOut: HeldOutLoss
  /// Bytes the home takes.
  public var diskBytes: UInt64
  /// Bytes free beside it.
  public var freeBytes: UInt64
  /// What somebody should look at, worst first; empty when all is well.
  public var attention: [String]
  /// Those lines of `attention` that only wait for this lab's word, such as a request to join; nil
  /// when none does.
  public var toDecide: [String]?
  /// How the node has spent its time since it started; nil while it is not running.
  public var time: TimeSpent?

  /// Seconds by what was being done.
  public struct TimeSpent: Codable, Sendable, Equatable {
    /// On the lab's own text, running ahead included.
    public var training: Double
    /// Other labs' contributions, and the head.
    public var judging: Double
    /// Folding.
    public var merging: Double
    /// For other labs.
    public var waiting: Double

    /// So many seconds each.
    public init(training: Double, judging: Double, merging: Double, waiting: Double) {
      self.training = training
      self.judging = judging
      self.merging = merging
      self.waiting = waiting
    }
  }

  /// A lab as this node sees it.
  public struct LabStatus: Codable, Sendable, Equatable {
    /// Its name and lab id.
    public var lab: Named
    /// Whether it trains or only judges; nil when it has not said.
    public var trains: Bool?
    /// Whether there is a connection now; true for the node's own lab.
    public var connected: Bool
    /// Seconds since it was last heard of; nil when never.
    public var lagSeconds: Double?
    /// Round of its last contribution; nil when it has made none.
    public var lastRound: Int?
    /// The merge of its last attestation.
    public var headMerge: String?
    /// The state root of its last attestation.
    public var stateRoot: String?

    /// A lab's line.
    public init(
      lab: Named, trains: Bool?, connected: Bool, lagSeconds: Double?, lastRound: Int?,
      headMerge: String?, stateRoot: String?
    ) {
      self.lab = lab
      self.trains = trains
      self.connected = connected
      self.lagSeconds = lagSeconds
      self.lastRound = lastRound
      self.headMerge = headMerge
      self.stateRoot = stateRoot
    }
  }

  /// Nats per token on text that is never trained on.
  public struct HeldOutLoss: Codable, Sendable, Equatable {
    /// With the base alone.
    public var start: Double?
    /// With the head's adapter.
    public var now: Double?

    /// What was measured; nil for what was not yet.
    public init(start: Double?, now: Double?) {
      self.start = start
      self.now = now
    }
  }

  /// A whole page.
  public init(
    federation: Named, lab: Named, software: String, activity: NodeActivity, detail: String,
    progress: Double?, head: MergeHead, labs: [LabStatus], heldOut: HeldOutLoss,
    diskBytes: UInt64, freeBytes: UInt64, attention: [String], toDecide: [String]? = nil,
    time: TimeSpent? = nil
  ) {
    self.toDecide = toDecide
    self.federation = federation
    self.lab = lab
    self.software = software
    self.activity = activity
    self.detail = detail
    self.progress = progress
    self.head = head
    self.labs = labs
    self.heldOut = heldOut
    self.diskBytes = diskBytes
    self.freeBytes = freeBytes
    self.attention = attention
    self.time = time
  }

  /// What of `attention` is wrong, and not merely somebody else's question.
  public var faults: [String] { attention.filter { toDecide?.contains($0) != true } }
}
