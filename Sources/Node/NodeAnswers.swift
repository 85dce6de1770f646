import Control
import Determinism
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Participation
import Records
import Storage
import Transport

/// What a running node answers the command line.
struct NodeAnswers: NodeControl {
  let core: NodeCore
  let folding: Folding
  let desk: BundleDesk

  func status() async throws -> StatusPage { try await core.statusPage() }
  func peers() async throws -> PeersPage { await core.peersPage() }
  func pending() async throws -> PendingPage { await core.writer.pending() }
  func roster() async throws -> RosterPage { await core.writer.roster() }

  func log(limit: Int, entries: Bool, rounds: RoundSpan) async throws -> LogPage {
    var writer = await core.writer
    return writer.log(limit: limit, entries: entries, rounds: rounds)
  }

  func blame(_ rounds: RoundSpan) async throws -> BlamePage {
    var writer = await core.writer
    return try writer.blame(rounds)
  }

  func show(_ id: String) async throws -> EntryPage {
    var writer = await core.writer
    return try writer.show(id)
  }

  func export(_ request: ExportRequest) async throws -> ExportPage {
    let writer = await core.writer
    var logbook = writer.logbook
    let merge = try Exporting.find(request.merge, in: logbook, head: writer.head)
    let folder = core.home.work + "/export-\(merge.id.short)"
    let root = try await Exporting.write(
      merge, recipe: logbook.recipe(for: merge), folding: folding, into: folder,
      baseModel: core.configuration.model)
    var page = PageWriter(
      logbook: logbook, lab: core.lab, head: merge, headRoot: root, own: writer.own)
    return ExportPage(folder: folder, model: core.configuration.model, head: page.mergeHead())
  }

  func verify(_ request: VerifyRequest) async throws -> VerifyPage {
    let head = await core.head
    return try await Replay(
      charter: core.charter, store: core.store, lab: core.lab, head: head,
      own: await core.writer.own, faults: []
    ).run(fromSeal: request.fromSeal, now: monotonicSeconds)
  }

  func invite(_ request: InviteRequest) async throws -> InvitePage {
    try await core.invite(request)
  }

  func approve(_ request: ApproveRequest) async throws -> ApprovePage {
    try await core.approve(request)
  }

  func decline(_ request: DeclineRequest) async throws -> DeclinePage {
    try await core.decline(request)
  }

  func propose(_ request: ProposeRequest) async throws -> ApprovePage {
    try await core.propose(request)
  }

  func bundle(_ request: BundleRequest) async throws -> BundlePage {
    do { return try await desk.handle(request) } catch let error as NodeError {
      switch error {
      case .bundle: throw ControlError(error, kind: .refused)
      case .notFound: throw ControlError(error, kind: .notFound)
      default: throw error
      }
    }
  }

  func rotateKey(_ request: RotateKeyRequest) async throws -> ApprovePage {
    try await core.rotateKey()
  }
}

extension NodeCore {
  /// The pages of this moment.
  var writer: PageWriter {
    PageWriter(
      logbook: logbook, lab: lab, head: head, headRoot: headRoot,
      own: PageWriter.Own(
        name: configuration.lab, fingerprint: participant.key.publicKey.fingerprint,
        declined: (try? Declined.read(store)) ?? [], absence: absence))
  }

  /// Why a payload is not here, as the node sees it at this moment.
  private var absence: @Sendable (ContributionState) -> String? {
    let participant = participant
    return { state in
      guard let object = state.object, !participant.heldObjects.contains(object) else {
        return nil
      }
      guard participant.isCovered(state.id), let foundation = participant.foundation else {
        return "not here yet"
      }
      return HomeFoundation.pruned(foundation)
    }
  }

  func statusPage() throws -> StatusPage {
    var writer = writer
    let now = Self.clock()
    let peers = mesh.peerStatus
    var lag: [LabID: Double] = [lab: 0]
    for peer in peers {
      if let heard = peer.lastHeard { lag[peer.lab] = now.seconds(since: heard) }
    }
    let connected = Set(mesh.presentLabs).union([lab])
    let toDecide = writer.toDecide()
    return StatusPage(
      federation: writer.federation, lab: writer.named(lab), software: Self.software,
      activity: NodeActivity(rawValue: activity.kind.rawValue) ?? .idle, detail: activity.detail,
      progress: activity.progress, head: writer.mergeHead(),
      labs: writer.labStatuses(connected: connected, lag: lag), heldOut: HeldOut.read(store),
      diskBytes: try store.diskBytes(), freeBytes: try store.freeBytes(),
      attention: attention + writer.attention(), toDecide: toDecide.isEmpty ? nil : toDecide,
      time: StatusPage.TimeSpent(
        training: activity.spent(on: .training), judging: activity.spent(on: .judging),
        merging: activity.spent(on: .merging),
        waiting: activity.spent(on: .waiting) + activity.spent(on: .idle)))
  }

  /// How far the newest time that a lab wrote lies ahead of this clock: that far the two clocks
  /// differ at least.
  private func secondsAhead(_ lab: LabID, of wall: Int64) -> Int? {
    guard let last = logbook.log(of: lab).last else { return nil }
    let written = Int64(clamping: last.message.timeSeconds)
    let (ahead, overflow) = written.subtractingReportingOverflow(wall)
    return !overflow && ahead > 0 ? Int(clamping: ahead) : nil
  }

  func peersPage() -> PeersPage {
    let now = Self.clock()
    let wall = Int64(Self.wallSeconds())
    return PeersPage(
      peers: mesh.peerStatus.map { peer in
        let counts = peer.connection.flatMap { board?.counts(of: $0) }
        var trouble = peer.faults.map { "\($0.fault.rawValue) ×\($0.count)" }
        if peer.state != .connected { trouble.insert(peer.state.rawValue, at: 0) }
        if let error = peer.lastError, peer.state != .connected { trouble.append(error) }
        return PeersPage.Peer(
          lab: writer.named(peer.lab), address: peer.address ?? peer.addresses.first,
          link: peer.connection == nil ? .none : peer.dialledByUs ? .dialled : .accepted,
          connectedSeconds: peer.connectedSince.map { now.seconds(since: $0) },
          roundTripMilliseconds: peer.roundTrip.map { $0 * 1000 },
          bytesReceived: counts?.bytesReceived ?? 0, bytesSent: counts?.bytesSent ?? 0,
          trouble: trouble.joined(separator: "; "),
          received: PeersPage.Peer.Received(
            entries: peer.received.entries, duplicateEntries: peer.received.duplicateEntries,
            blockBytes: peer.received.blockBytes,
            wastedBlockBytes: peer.received.wastedBlockBytes),
          addresses: logbook.presence(of: peer.lab)?.addresses ?? peer.addresses,
          attempts: peer.connection == nil ? attempts.rows(of: peer.lab, at: now) : [],
          secondsAhead: secondsAhead(peer.lab, of: wall),
          software: logbook.presence(of: peer.lab)?.software)
      })
  }
}
