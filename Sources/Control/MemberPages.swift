/// Who is reachable, and how well.
public struct PeersPage: Page {
  /// Every lab that this node has a route to or looks for.
  public var peers: [Peer]

  /// A page of peers.
  public init(peers: [Peer]) { self.peers = peers }

  /// One lab's connection.
  public struct Peer: Codable, Sendable, Equatable {
    /// Name and lab id.
    public var lab: Named
    /// Where it was reached or is dialled; nil when no address is known.
    public var address: String?
    /// `dialled`, `accepted` or `none`.
    public var link: Link
    /// Seconds that the connection has lasted.
    public var connectedSeconds: Double?
    /// Of the last ping.
    public var roundTripMilliseconds: Double?
    /// Bytes received in this connection.
    public var bytesReceived: UInt64
    /// Bytes sent in this connection.
    public var bytesSent: UInt64
    /// What it did wrong or why it cannot be reached; empty when all is well.
    public var trouble: String
    /// What came from it since the daemon began, over all connections; nil when it is not running.
    public var received: Received?

    /// What came from a lab, and how much of that in vain.
    public struct Received: Codable, Sendable, Equatable {
      /// Entries, those in vain included.
      public var entries: Int
      /// Entries that were already here or on their way to be verified.
      public var duplicateEntries: Int
      /// Bytes of payloads, those in vain included.
      public var blockBytes: Int
      /// Bytes of payloads that were refused, already here or not asked for.
      public var wastedBlockBytes: Int

      /// Counts.
      public init(
        entries: Int, duplicateEntries: Int, blockBytes: Int, wastedBlockBytes: Int
      ) {
        self.entries = entries
        self.duplicateEntries = duplicateEntries
        self.blockBytes = blockBytes
        self.wastedBlockBytes = wastedBlockBytes
      }
    }

    /// Which side opened the connection.
    public enum Link: String, Codable, Sendable, CaseIterable {
      case dialled, accepted, none
    }

    /// One lab's connection.
    public init(
      lab: Named, address: String?, link: Link, connectedSeconds: Double?,
      roundTripMilliseconds: Double?, bytesReceived: UInt64, bytesSent: UInt64, trouble: String,
      received: Received? = nil
    ) {
      self.lab = lab
      self.address = address
      self.link = link
      self.connectedSeconds = connectedSeconds
      self.roundTripMilliseconds = roundTripMilliseconds
      self.bytesReceived = bytesReceived
      self.bytesSent = bytesSent
      self.trouble = trouble
      self.received = received
    }
  }
}

/// What waits for the labs' approval.
public struct PendingPage: Page {
  /// Who asks to be let in.
  public var requests: [Request]
  /// Other changes that were proposed.
  public var proposals: [ProposalRow]
  /// Of this lab's own key, while it waits itself to be let in; nil for a member.
  public var ownFingerprint: String?

  /// A page of what waits.
  public init(requests: [Request], proposals: [ProposalRow], ownFingerprint: String? = nil) {
    self.requests = requests
    self.proposals = proposals
    self.ownFingerprint = ownFingerprint
  }

  /// A stranger's request.
  public struct Request: Codable, Sendable, Equatable {
    /// The name it asks for and the lab id it would have.
    public var lab: Named
    /// Of its key; compare it with what the joiner sees, over another channel.
    public var fingerprint: String
    /// Where it says it can be reached.
    public var addresses: [String]
    /// Unix time of the request, as the joiner wrote it.
    public var askedSeconds: UInt64
    /// The proposal to admit it; nil when no lab has proposed that yet.
    public var proposal: String?
    /// Labs that have approved, by name.
    public var approvals: [String]
    /// Approvals needed.
    public var needed: Int

    /// A request.
    public init(
      lab: Named, fingerprint: String, addresses: [String], askedSeconds: UInt64,
      proposal: String?, approvals: [String], needed: Int
    ) {
      self.lab = lab
      self.fingerprint = fingerprint
      self.addresses = addresses
      self.askedSeconds = askedSeconds
      self.proposal = proposal
      self.approvals = approvals
      self.needed = needed
    }
  }
}

/// A proposed change of the roster or the record.
public struct ProposalRow: Codable, Sendable, Equatable {
  /// The proposal entry's id.
  public var id: String
  /// The roster version it would make.
  public var makesVersion: Int
  /// What it changes, in one line.
  public var change: String
  /// What an approver should know of it, a line each: what is recalled, and why.
  public var details: [String]
  /// Who proposed it.
  public var proposer: Named
  /// Labs that have approved, by name.
  public var approvals: [String]
  /// Approvals needed.
  public var needed: Int
  /// Whether it has been enacted.
  public var enacted: Bool

  /// A proposal's line.
  public init(
    id: String, makesVersion: Int, change: String, details: [String] = [], proposer: Named,
    approvals: [String], needed: Int, enacted: Bool
  ) {
    self.id = id
    self.makesVersion = makesVersion
    self.change = change
    self.details = details
    self.proposer = proposer
    self.approvals = approvals
    self.needed = needed
    self.enacted = enacted
  }
}

/// The labs of the federation.
public struct RosterPage: Page {
  /// The roster's version, from 1.
  public var rosterVersion: Int
  /// Its content id.
  public var id: String
  /// The labs, by name.
  public var labs: [Member]
  /// The proposals that made it, oldest first.
  public var history: [ProposalRow]

  /// A page of members.
  public init(rosterVersion: Int, id: String, labs: [Member], history: [ProposalRow]) {
    self.rosterVersion = rosterVersion
    self.id = id
    self.labs = labs
    self.history = history
  }

  /// A lab on the roster.
  public struct Member: Codable, Sendable, Equatable {
    /// Name and lab id.
    public var lab: Named
    /// Of its current key.
    public var fingerprint: String
    /// The version that admitted it; 1 for founders.
    public var sinceVersion: Int
    /// Whether it is this node's own.
    public var isOwn: Bool

    /// A lab on the roster.
    public init(lab: Named, fingerprint: String, sinceVersion: Int, isOwn: Bool) {
      self.lab = lab
      self.fingerprint = fingerprint
      self.sinceVersion = sinceVersion
      self.isOwn = isOwn
    }
  }
}
