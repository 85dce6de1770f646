import Control
import Synchronization

/// A node that answers the sample pages and remembers what it was asked.
final class FakeNode: NodeControl {
  let asked = Mutex<[String]>([])
  /// How long every answer takes.
  let delay: Duration

  init(delay: Duration = .zero) { self.delay = delay }

  private func note(_ text: String) async throws {
    asked.withLock { $0.append(text) }
    if delay > .zero { try await Task.sleep(for: delay) }
  }

  func status() async throws -> StatusPage {
    try await note("status")
    return Samples.status
  }
  func peers() async throws -> PeersPage { Samples.peers }
  func pending() async throws -> PendingPage { Samples.pending }
  func roster() async throws -> RosterPage { Samples.roster }
  func log(limit: Int, entries: Bool, rounds: RoundSpan) async throws -> LogPage {
    try await note("log \(limit) \(entries) \(Self.text(rounds))")
    return Samples.log
  }
  func blame(_ rounds: RoundSpan) async throws -> BlamePage {
    try await note("blame \(Self.text(rounds))")
    return Samples.blame
  }
  private static func text(_ rounds: RoundSpan) -> String {
    [rounds.since, rounds.until].map { $0.map(String.init) ?? "-" }.joined(separator: " ")
  }
  func show(_ id: String) async throws -> EntryPage {
    try await note("show \(id)")
    guard id == "abcd" else {
      throw ControlError(.notFound, "no entry begins with \(id)", hint: "`hanse log` lists them")
    }
    return Samples.shown
  }
  func export(_ request: ExportRequest) async throws -> ExportPage { Samples.export }
  func verify(_ request: VerifyRequest) async throws -> VerifyPage { Samples.verify }
  func invite(_ request: InviteRequest) async throws -> InvitePage {
    try await note("invite \(request.expiresInSeconds) \(request.uses)")
    return InvitePage(ticket: "ticket", expiresSeconds: 1_800_000_000, uses: request.uses)
  }
  func approve(_ request: ApproveRequest) async throws -> ApprovePage {
    throw ControlError(.refused, "\(request.subject) is nobody")
  }
  func decline(_ request: DeclineRequest) async throws -> DeclinePage {
    try await note("decline \(request.subject)")
    return Samples.decline
  }
  func propose(_ request: ProposeRequest) async throws -> ApprovePage {
    try await note("propose \(request.change.rawValue) \(request.subjects)")
    return ApprovePage(proposal: Samples.pending.proposals[0], message: "proposed")
  }
  func bundle(_ request: BundleRequest) async throws -> BundlePage {
    try await note("bundle \(request.action.rawValue) \(request.file)")
    return Samples.bundle
  }
  func rotateKey(_ request: RotateKeyRequest) async throws -> ApprovePage {
    try await note("rotate-key")
    return ApprovePage(proposal: Samples.pending.proposals[0], message: "proposed")
  }
}

/// One page of each kind, the same that are committed as JSON under Protocol/Vectors/Control.
enum Samples {
  static let luebeck = Named(name: "luebeck", id: id("l"))
  static let bremen = Named(name: "bremen", id: id("b"))
  /// A name that tries to clear the screen and to turn the line around.
  static let hostile = Named(name: "\u{1B}[2Jevil\u{202E}\nname", id: id("h"))

  static func id(_ letter: String) -> String { String(repeating: letter, count: 51) + "a" }

  static let head = MergeHead(id: id("m"), round: 3, stateRoot: id("r"), sealed: true)

  static let status = StatusPage(
    federation: Named(name: "baltic", id: id("f")), lab: luebeck, software: "hanse 0.1.0",
    activity: .training, detail: "round 4", progress: 0.25, head: head,
    labs: [
      .init(
        lab: luebeck, trains: true, connected: true, lagSeconds: nil, lastRound: 3,
        headMerge: head.id, stateRoot: head.stateRoot),
      .init(
        lab: hostile, trains: nil, connected: false, lagSeconds: 7265, lastRound: nil,
        headMerge: head.id, stateRoot: id("x")),
    ], heldOut: .init(start: 2.5, now: 2.25), diskBytes: 123_456_789, freeBytes: 9_876_543_210,
    attention: ["bremen has not been heard of for 2 h"],
    time: .init(training: 3600, judging: 420, merging: 30, waiting: 950))

  static let peers = PeersPage(peers: [
    .init(
      lab: bremen, address: "192.0.2.7:7400", link: .dialled, connectedSeconds: 3601.5,
      roundTripMilliseconds: 0.75, bytesReceived: 1 << 20, bytesSent: 2048, trouble: "",
      received: PeersPage.Peer.Received(
        entries: 12, duplicateEntries: 1, blockBytes: 786_432, wastedBlockBytes: 4_096)),
    .init(
      lab: hostile, address: nil, link: .none, connectedSeconds: nil, roundTripMilliseconds: nil,
      bytesReceived: 0, bytesSent: 0, trouble: "no address is known"),
  ])

  static let pending = PendingPage(
    requests: [
      .init(
        lab: bremen, fingerprint: "abcde-fghij-klmno-pqrst", addresses: ["192.0.2.7:7400"],
        askedSeconds: 1_772_366_400, proposal: nil, approvals: [], needed: 2)
    ],
    proposals: [
      ProposalRow(
        id: id("p"), makesVersion: 2, change: "remove bremen",
        details: ["its log counts up to entry 40", "reason: key lost"], proposer: luebeck,
        approvals: ["luebeck"], needed: 2, enacted: false, attempt: 1, canPass: true)
    ])

  static let roster = RosterPage(
    rosterVersion: 2, id: id("o"),
    labs: [
      .init(lab: luebeck, fingerprint: "abcde-fghij-klmno-pqrst", sinceVersion: 1, isOwn: true)
    ],
    rules: [
      .init(name: "grace", value: "120", sinceVersion: 2, founded: "60"),
      .init(name: "rule", value: "clipped-mean", sinceVersion: 1, founded: "clipped-mean"),
    ], history: pending.proposals)

  static func contribution(_ author: Named, _ id: String, base: String) -> ContributionRow {
    ContributionRow(
      id: id, author: author, round: 3, attempt: 1, base: base, tokens: 204_800, bytes: 2_400_000,
      before: 2.375, after: 2.25, norm: 0.125,
      verdicts: [
        VerdictRow(
          judge: luebeck, accept: true, reason: "accepted", before: 2.5, after: 2.4375, tokens: 4096
        ),
        VerdictRow(
          judge: bremen, accept: false, reason: "loss rose", before: 2.5, after: 2.625,
          tokens: 4096),
      ], status: .sealed, reason: "")
  }

  static let log = LogPage(
    federation: status.federation,
    merges: [
      MergeRow(
        id: id("m"), round: 3, parents: [id("k")],
        contributions: [
          contribution(luebeck, id("c"), base: id("k")),
          contribution(hostile, id("d"), base: id("k")),
        ], stateRoot: id("r"), attestedBy: ["luebeck", "bremen"], sealed: true),
      MergeRow(
        id: id("k"), round: 0, parents: [], contributions: [], stateRoot: id("s"),
        attestedBy: ["luebeck"], sealed: true),
    ], open: [],
    entries: [
      EntryRow(
        id: id("e"), lab: luebeck, sequence: 7, kind: "verdict", timeSeconds: 1_772_366_400,
        summary: "accepts")
    ])

  static let blame = BlamePage(
    head: head, since: 3, until: 9,
    labs: [
      .init(
        lab: luebeck, share: 0.75, merged: 6, recalled: 1, tokens: 1_228_800, firstRound: 3,
        lastRound: 9, meanChange: -0.0625),
      .init(
        lab: hostile, share: 0.25, merged: 2, recalled: 0, tokens: 409_600, firstRound: 4,
        lastRound: 5, meanChange: nil),
    ])

  static let shown = EntryPage(
    kind: "contribution", id: id("c"), entry: log.entries[0],
    contribution: contribution(luebeck, id("c"), base: id("k")),
    fields: [.init("engine", "hanse 0.1.0")])

  static let export = ExportPage(folder: "/h/work/export", model: "/m.gguf", head: head)

  static let verify = VerifyPage(
    ok: false, fromSeal: false, entries: 40, contributions: 6, rounds: 3, head: head,
    seconds: 1.5, findings: ["bremen signed two entries at sequence 4"],
    replayed: [RoundSpan(since: 3, until: 3)], taken: [RoundSpan(since: 1, until: 2)])

  static let bundle = BundlePage(
    file: "/media/stick/baltic.bundle", federation: id("f"), entries: 40, payloads: 6,
    signed: true, refusedCount: 1, refused: ["the signature of entry 4 of lab hhhh does not fit"])

  static let invite = InvitePage(ticket: "hanse1abc", expiresSeconds: 1_772_366_400, uses: 1)

  static let approve = ApprovePage(proposal: pending.proposals[0], message: "approved")

  static let decline = DeclinePage(
    lab: Named(name: "kiel", id: pending.requests[0].lab.id), fingerprint: "k3h2a-7qwxy-bcdef-ghijk"
  )
}
