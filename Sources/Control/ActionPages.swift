/// Asks for a ticket.
public struct InviteRequest: Codable, Sendable, Equatable {
  /// How long the ticket is good, in seconds from now.
  public var expiresInSeconds: UInt64
  /// How many labs may ask with it.
  public var uses: Int

  /// A wish for a ticket.
  public init(expiresInSeconds: UInt64, uses: Int) {
    self.expiresInSeconds = expiresInSeconds
    self.uses = uses
  }
}

/// A ticket.
public struct InvitePage: Page {
  /// One line to paste.
  public var ticket: String
  /// Unix time.
  public var expiresSeconds: UInt64
  /// How many labs may ask with it.
  public var uses: Int

  /// A ticket.
  public init(ticket: String, expiresSeconds: UInt64, uses: Int) {
    self.ticket = ticket
    self.expiresSeconds = expiresSeconds
    self.uses = uses
  }
}

/// Approves what waits.
public struct ApproveRequest: Codable, Sendable, Equatable {
  /// A fingerprint, a lab's name or id, or a proposal's id; ids by any unique beginning.
  public var subject: String

  /// An approval of a subject.
  public init(subject: String) { self.subject = subject }
}

/// Declines a request to join.
public struct DeclineRequest: Codable, Sendable, Equatable {
  /// A fingerprint, or a lab's name or the beginning of its id.
  public var subject: String

  /// A refusal of a subject.
  public init(subject: String) { self.subject = subject }
}

/// A request that is shown no more on this node.
public struct DeclinePage: Page {
  /// Who had asked.
  public var lab: Named
  /// Of its key.
  public var fingerprint: String

  /// What was declined.
  public init(lab: Named, fingerprint: String) {
    self.lab = lab
    self.fingerprint = fingerprint
  }
}

/// Proposes a change that other labs then approve.
public struct ProposeRequest: Codable, Sendable, Equatable {
  /// What to change.
  public var change: Change
  /// Lab name or id for a removal; contribution ids for a recall; lab and line for a rotation;
  /// `name=value` for rules.
  public var subjects: [String]
  /// For a recall: since which round of the named lab; nil recalls exactly the contributions named.
  public var sinceRound: Int?
  /// Why, for the record.
  public var reason: String

  /// The kinds of change.
  public enum Change: String, Codable, Sendable, CaseIterable {
    case remove
    case recall
    case recallLab = "recall-lab"
    case rotate
    case rule
  }

  /// A proposal.
  public init(change: Change, subjects: [String], sinceRound: Int? = nil, reason: String = "") {
    self.change = change
    self.subjects = subjects
    self.sinceRound = sinceRound
    self.reason = reason
  }
}

/// Writes logs and payloads into a file, or takes in what another lab wrote.
public struct BundleRequest: Codable, Sendable, Equatable {
  /// Which of the two.
  public enum Action: String, Codable, Sendable, CaseIterable {
    case export, `import`
  }

  /// Which of the two.
  public var action: Action
  /// The file, from the root: the node itself opens it.
  public var file: String
  /// For an export: whether payloads are written too; absent: they are.
  public var payloads: Bool?

  /// A wish for a bundle.
  public init(action: Action, file: String, payloads: Bool? = nil) {
    self.action = action
    self.file = file
    self.payloads = payloads
  }
}

/// What was written or taken in.
public struct BundlePage: Page {
  /// The most refusals that are named.
  public static let refusalsMax = 20

  /// The file.
  public var file: String
  /// The federation's id.
  public var federation: String
  /// Entries that were written, or that are new here.
  public var entries: Int
  /// Payloads that were written, or that are new here.
  public var payloads: Int
  /// Whether a member has signed the whole.
  public var signed: Bool
  /// Of a file that was written.
  public var bytes: UInt64?
  /// How many entries and payloads of an import were refused.
  public var refusedCount: Int
  /// Why, the first of them.
  public var refused: [String]

  /// An exchange.
  public init(
    file: String, federation: String, entries: Int, payloads: Int, signed: Bool,
    bytes: UInt64? = nil, refusedCount: Int = 0, refused: [String] = []
  ) {
    self.file = file
    self.federation = federation
    self.entries = entries
    self.payloads = payloads
    self.signed = signed
    self.bytes = bytes
    self.refusedCount = refusedCount
    self.refused = refused
  }

  /// Counts something that was refused.
  public mutating func refuse(_ reason: String) {
    refusedCount += 1
    if refused.count < Self.refusalsMax { refused.append(reason) }
  }
}

/// Asks for a new key of the node's own lab.
public struct RotateKeyRequest: Codable, Sendable, Equatable {
  /// A wish for a new key.
  public init() {}
}

/// What an approval or proposal led to.
public struct ApprovePage: Page {
  /// The proposal as it stands now, enacted or not.
  public var proposal: ProposalRow
  /// What the operator should know, in one line.
  public var message: String

  /// An outcome.
  public init(proposal: ProposalRow, message: String) {
    self.proposal = proposal
    self.message = message
  }
}

/// Asks for the shared model as files.
public struct ExportRequest: Codable, Sendable, Equatable {
  /// A merge by id or unique beginning; nil is the head.
  public var merge: String?

  /// A wish for a merge's adapter.
  public init(merge: String? = nil) { self.merge = merge }
}

/// Where the adapter of a merge lies.
public struct ExportPage: Page {
  /// A PEFT folder in the node's home, which is not changed any more.
  public var folder: String
  /// The base model's path, as this node has it.
  public var model: String
  /// The merge.
  public var head: MergeHead

  /// An exported adapter.
  public init(folder: String, model: String, head: MergeHead) {
    self.folder = folder
    self.model = model
    self.head = head
  }
}

/// Asks for a replay.
public struct VerifyRequest: Codable, Sendable, Equatable {
  /// From the last seal instead of from the charter.
  public var fromSeal: Bool

  /// A wish for a replay.
  public init(fromSeal: Bool) { self.fromSeal = fromSeal }
}

/// What a replay found.
public struct VerifyPage: Page {
  /// Whether everything is as the logs say.
  public var ok: Bool
  /// From the last seal instead of from the charter.
  public var fromSeal: Bool
  /// Entries read, each signature checked.
  public var entries: Int
  /// Contributions in the merge at the end.
  public var contributions: Int
  /// The round of the merge at the end.
  public var rounds: Int
  /// The rounds up to there whose states were computed anew from the payloads; nil in pages of
  /// earlier releases.
  public var replayed: [RoundSpan]?
  /// The rounds up to there for which a kept state was taken instead; nil in pages of earlier
  /// releases.
  public var taken: [RoundSpan]?
  /// The merge at the end and the root that the replay computed.
  public var head: MergeHead
  /// How long it took.
  public var seconds: Double
  /// What is not as it should be, and evidence against labs; empty when all is well.
  public var findings: [String]
  /// What was not replayed, and why that is as it should be; none when everything was.
  public var notes: [String]?

  /// An outcome.
  public init(
    ok: Bool, fromSeal: Bool, entries: Int, contributions: Int, rounds: Int, head: MergeHead,
    seconds: Double, findings: [String], notes: [String]? = nil, replayed: [RoundSpan]? = nil,
    taken: [RoundSpan]? = nil
  ) {
    self.replayed = replayed
    self.taken = taken
    self.notes = notes
    self.ok = ok
    self.fromSeal = fromSeal
    self.entries = entries
    self.contributions = contributions
    self.rounds = rounds
    self.head = head
    self.seconds = seconds
    self.findings = findings
  }
}
