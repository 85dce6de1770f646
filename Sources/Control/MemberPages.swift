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
    /// Every address that it says it may be dialled at; empty for a lab that only dials.
    public var addresses: [String]?
    /// The last attempt at each address that led to no connection, and the last connection's end;
    /// empty while one stands.
    public var attempts: [Attempt]?
    /// Seconds that the newest time which the lab wrote down lies ahead of this machine's clock.
    public var secondsAhead: Int?
    /// What the lab runs, as it says itself.
    public var software: String?

    /// A connection that did not come about, or ended.
    public struct Attempt: Codable, Sendable, Equatable {
      /// Where; empty for a connection that the other side had made.
      public var address: String
      /// What failed.
      public var failure: Failure
      /// Why, in words.
      public var reason: String
      /// How long ago.
      public var secondsAgo: Double

      /// A failed attempt.
      public init(address: String, failure: Failure, reason: String, secondsAgo: Double) {
        self.address = address
        self.failure = failure
        self.reason = reason
        self.secondsAgo = secondsAgo
      }
    }

    /// The kinds of failure, from near to far.
    public enum Failure: String, Codable, Sendable, CaseIterable {
      /// The address is not one, or its name does not resolve.
      case name
      /// Nothing takes the connection there.
      case port
      /// Something answers that does not speak TLS as hanse does.
      case tls
      /// It speaks another version or federation.
      case version
      /// A certificate from another time.
      case clock
      /// It shows another key than the roster has.
      case key
      /// It does not have this lab's key on its roster.
      case roster
      /// It says nothing, or the connection broke.
      case silence
    }

    /// Which side opened the connection.
    public enum Link: String, Codable, Sendable, CaseIterable {
      case dialled, accepted, none
    }

    /// One lab's connection.
    public init(
      lab: Named, address: String?, link: Link, connectedSeconds: Double?,
      roundTripMilliseconds: Double?, bytesReceived: UInt64, bytesSent: UInt64, trouble: String,
      received: Received? = nil, addresses: [String]? = nil, attempts: [Attempt]? = nil,
      secondsAhead: Int? = nil,
      software: String? = nil
    ) {
      self.addresses = addresses
      self.attempts = attempts
      self.secondsAhead = secondsAhead
      self.software = software
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
  /// Which attempt at the version it is.
  public var attempt: Int
  /// Whether labs enough have approved it or have not voted in this attempt.
  public var canPass: Bool

  /// A proposal's line.
  public init(
    id: String, makesVersion: Int, change: String, details: [String] = [], proposer: Named,
    approvals: [String], needed: Int, enacted: Bool, attempt: Int, canPass: Bool
  ) {
    self.attempt = attempt
    self.canPass = canPass
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

/// A proof that a lab signed two entries at one place: whoever holds both may show it to anybody.
public struct EvidenceRow: Codable, Sendable, Equatable {
  /// Who signed.
  public var lab: Named
  /// The lowest place of its log at which two entries are known.
  public var sequence: UInt64
  /// The two entries' ids, in the order of the ids: the same on every node.
  public var entries: [String]

  /// A proof.
  public init(lab: Named, sequence: UInt64, entries: [String]) {
    self.lab = lab
    self.sequence = sequence
    self.entries = entries
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
  /// What the federation goes by and may change; absent in pages of earlier releases.
  public var rules: [Rule]?
  /// Proofs against labs, on the roster or not; absent in pages of earlier releases.
  public var evidence: [EvidenceRow]?
  /// The proposals that made it, oldest first.
  public var history: [ProposalRow]

  /// A page of members.
  public init(
    rosterVersion: Int, id: String, labs: [Member], rules: [Rule]? = nil,
    evidence: [EvidenceRow]? = nil, history: [ProposalRow]
  ) {
    self.evidence = evidence
    self.rules = rules
    self.rosterVersion = rosterVersion
    self.id = id
    self.labs = labs
    self.history = history
  }

  /// One rule.
  public struct Rule: Codable, Sendable, Equatable {
    /// As in `hanse propose rule`.
    public var name: String
    /// As people write it.
    public var value: String
    /// The roster version since which it has been so; 1 for the charter's.
    public var sinceVersion: Int
    /// The charter's value.
    public var founded: String

    /// One rule.
    public init(name: String, value: String, sinceVersion: Int, founded: String) {
      self.name = name
      self.value = value
      self.sinceVersion = sinceVersion
      self.founded = founded
    }
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
