/// What a judge said about a contribution.
public struct VerdictRow: Codable, Sendable, Equatable {
  /// Who judged.
  public var judge: Named
  /// Whether it accepted.
  public var accept: Bool
  /// `accepted`, `loss rose`, `undecodable`, `not finite`.
  public var reason: String
  /// The judge's loss before, in nats per token.
  public var before: Double
  /// The judge's loss with it.
  public var after: Double
  /// Tokens it was measured on.
  public var tokens: UInt64

  /// A verdict's line.
  public init(
    judge: Named, accept: Bool, reason: String, before: Double, after: Double, tokens: UInt64
  ) {
    self.judge = judge
    self.accept = accept
    self.reason = reason
    self.before = before
    self.after = after
    self.tokens = tokens
  }
}

/// What a lab contributed and what became of it.
public struct ContributionRow: Codable, Sendable, Equatable {
  /// The contribution entry's id.
  public var id: String
  /// Who made it.
  public var author: Named
  /// Which round.
  public var round: Int
  /// 1, 2 or 3.
  public var attempt: Int
  /// The merge it was trained from.
  public var base: String
  /// Tokens it was trained on.
  public var tokens: UInt64
  /// Bytes of its payload.
  public var bytes: UInt64
  /// The author's own held-out loss before, in nats per token.
  public var before: Double
  /// The author's own held-out loss after.
  public var after: Double
  /// Euclidean norm of the delta.
  public var norm: Double
  /// What the judges said, in the order of the roster.
  public var verdicts: [VerdictRow]
  /// What became of it.
  public var status: Status
  /// Why, in one line, when it was not simply admitted.
  public var reason: String

  /// What becomes of contributions.
  public enum Status: String, Codable, Sendable, CaseIterable {
    /// Verdicts are outstanding.
    case pending
    /// Enough judges accepted.
    case admitted
    /// Enough judges rejected.
    case rejected
    /// Admitted, and final.
    case sealed
    /// Taken out of the fold by an approved recall.
    case recalled
    /// It counts no more: its lab equivocated or was removed.
    case excluded
  }

  /// A contribution's line.
  public init(
    id: String, author: Named, round: Int, attempt: Int, base: String, tokens: UInt64,
    bytes: UInt64, before: Double, after: Double, norm: Double, verdicts: [VerdictRow],
    status: Status, reason: String
  ) {
    self.id = id
    self.author = author
    self.round = round
    self.attempt = attempt
    self.base = base
    self.tokens = tokens
    self.bytes = bytes
    self.before = before
    self.after = after
    self.norm = norm
    self.verdicts = verdicts
    self.status = status
    self.reason = reason
  }
}

/// One merge that this node adopted.
public struct MergeRow: Codable, Sendable, Equatable {
  /// The merge's id.
  public var id: String
  /// Its frontier's round; 0 is the start.
  public var round: Int
  /// The merges it grew from: the bases of its new contributions, this node's last head first.
  public var parents: [String]
  /// The contributions that it has and its parents have not.
  public var contributions: [ContributionRow]
  /// Hash of the folded state.
  public var stateRoot: String
  /// Labs that attested this merge and this root, by name.
  public var attestedBy: [String]
  /// Whether it is final.
  public var sealed: Bool

  /// A merge's line.
  public init(
    id: String, round: Int, parents: [String], contributions: [ContributionRow],
    stateRoot: String, attestedBy: [String], sealed: Bool
  ) {
    self.id = id
    self.round = round
    self.parents = parents
    self.contributions = contributions
    self.stateRoot = stateRoot
    self.attestedBy = attestedBy
    self.sealed = sealed
  }
}

/// One item of a lab's log, as a line.
public struct EntryRow: Codable, Sendable, Equatable {
  /// The entry's id.
  public var id: String
  /// Whose log.
  public var lab: Named
  /// Its place in it.
  public var sequence: UInt64
  /// contribution, verdict, attestation, proposal, approval or presence.
  public var kind: String
  /// Unix time, as its lab wrote it.
  public var timeSeconds: UInt64
  /// What it says, in one line.
  public var summary: String

  /// An entry's line.
  public init(
    id: String, lab: Named, sequence: UInt64, kind: String, timeSeconds: UInt64, summary: String
  ) {
    self.id = id
    self.lab = lab
    self.sequence = sequence
    self.kind = kind
    self.timeSeconds = timeSeconds
    self.summary = summary
  }
}

/// The history of merges, newest first.
public struct LogPage: Page {
  /// The federation.
  public var federation: Named
  /// Merges, newest first.
  public var merges: [MergeRow]
  /// Contributions that are in no merge yet.
  public var open: [ContributionRow]
  /// Log entries as they arrived, newest first; empty unless asked for.
  public var entries: [EntryRow]

  /// A page of history.
  public init(
    federation: Named, merges: [MergeRow], open: [ContributionRow], entries: [EntryRow]
  ) {
    self.federation = federation
    self.merges = merges
    self.open = open
    self.entries = entries
  }
}

/// Everything known about one thing with an id.
public struct EntryPage: Page {
  /// merge, contribution, verdict, attestation, proposal, approval, presence, lab or charter.
  public var kind: String
  /// Its whole id.
  public var id: String
  /// The line of its log; nil for merges and the charter.
  public var entry: EntryRow?
  /// Set when it is a merge.
  public var merge: MergeRow?
  /// Set when it is a contribution, or a verdict on one.
  public var contribution: ContributionRow?
  /// Set when it is a proposal, or an approval of one.
  public var proposal: ProposalRow?
  /// Set when it is a lab that signed two entries at one place, or an entry of that place.
  public var evidence: EvidenceRow?
  /// What else it says, in order.
  public var fields: [Field]

  /// A name and a value for people.
  public struct Field: Codable, Sendable, Equatable {
    /// Like `previous` or `engine`.
    public var name: String
    /// As text: show it escaped.
    public var value: String

    /// A name and a value.
    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  /// A thing's page.
  public init(
    kind: String, id: String, entry: EntryRow? = nil, merge: MergeRow? = nil,
    contribution: ContributionRow? = nil, proposal: ProposalRow? = nil, fields: [Field] = []
  ) {
    self.kind = kind
    self.id = id
    self.entry = entry
    self.merge = merge
    self.contribution = contribution
    self.proposal = proposal
    self.fields = fields
  }
}
