/// What can be read from a node, running or not.
///
/// Throws ``ControlError``; any other error counts as failed, with its text.
public protocol NodePages: Sendable {
  /// The page of every morning.
  func status() async throws -> StatusPage
  /// Connections.
  func peers() async throws -> PeersPage
  /// What waits for approval.
  func pending() async throws -> PendingPage
  /// The labs.
  func roster() async throws -> RosterPage
  /// The newest merges of these rounds, at most `limit`, and as many log entries when asked for.
  func log(limit: Int, entries: Bool, rounds: RoundSpan) async throws -> LogPage
  /// Whose contributions moved the model of the node's head in these rounds.
  func blame(_ rounds: RoundSpan) async throws -> BlamePage
  /// A merge or entry by its id or a unique beginning of it, of four characters or more.
  func show(_ id: String) async throws -> EntryPage
  /// Writes a merge's adapter as files, if they are not there yet.
  func export(_ request: ExportRequest) async throws -> ExportPage
  /// Replays the logs.
  func verify(_ request: VerifyRequest) async throws -> VerifyPage
}

/// What a running node does when asked.
public protocol NodeControl: NodePages {
  /// Makes a ticket.
  func invite(_ request: InviteRequest) async throws -> InvitePage
  /// Approves a request or a proposal, proposing it first where nobody has.
  func approve(_ request: ApproveRequest) async throws -> ApprovePage
  /// Shows a request to join no more, on this node.
  func decline(_ request: DeclineRequest) async throws -> DeclinePage
  /// Proposes a removal, another lab's rotation or a recall, and approves it.
  func propose(_ request: ProposeRequest) async throws -> ApprovePage
  /// Writes a bundle, or takes one in.
  func bundle(_ request: BundleRequest) async throws -> BundlePage
  /// Makes a new key for the node's lab and proposes it.
  func rotateKey(_ request: RotateKeyRequest) async throws -> ApprovePage
}
