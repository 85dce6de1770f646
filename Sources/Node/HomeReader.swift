import Control
import Determinism
import FoundationEssentials
import Glibc
import Identities
import Ledger
import Participation
import Records
import Storage

/// Reads a home while its daemon is down: the same pages, from the same logs.
public actor HomeReader: NodePages {
  private let home: HomeLayout
  private let model: String
  private let charter: Charter
  private let store: Store
  private let logbook: Logbook
  private let lab: LabID
  private let head: Hanse_V1_Merge
  private let own: PageWriter.Own
  /// What is wrong with the home, a line each.
  private let faults: [String]

  /// Opens a home read-only and replays its logs.
  ///
  /// Neither key nor settings are needed, so that an auditor can read a copy that was given away
  /// without them; and what is damaged is told, not thrown, as far as anything is left to read.
  public init(home path: String) throws {
    home = HomeLayout(path)
    guard DurableFile.exists(home.charter) || DurableFile.exists(home.database) else {
      throw home.absence
    }
    store = try Store(home: home, readOnly: true)
    var faults: [String] = []
    let found = try HomeCharter.read(home, store)
    charter = found.charter
    if let fault = found.fault { faults.append(fault) }
    var replayed = try HomeReplay(store, charter)
    faults += replayed.faults.map(\.description)
    let merge = HomeCharter.head(store, in: &replayed.logbook)
    head = merge ?? replayed.logbook.newestAttested ?? replayed.logbook.emptyMerge()
    if merge == nil, try store.valueNames().contains(OwnValue.head) {
      faults.append("the node's own note of its head cannot be used: the newest attested is shown")
    }
    let foundation = try HomeFoundation(store, in: &replayed.logbook, reads: false)
    logbook = replayed.logbook
    let settings =
      DurableFile.exists(home.configuration)
      ? try Configuration.read(home.configuration) : nil
    model = settings?.model ?? ""
    let keys = DurableFile.exists(home.key) ? try KeyFile.readAll(in: home) : []
    let noted = try? store.value(OwnValue.lab).flatMap { LabID(bytes: $0) }
    let seat = logbook.rosters.first?.members.first?.lab
    if let key = keys.first {
      lab = try KeyFile.lab(in: home) ?? Participant.lab(of: key, in: logbook)
    } else if let known = noted ?? seat {
      lab = known
    } else {
      throw home.absence
    }
    let seatKey = logbook.roster.member(lab)?.key
    let key = keys.first { $0.publicKey == seatKey } ?? keys.first
    own = PageWriter.Own(
      name: settings?.lab ?? "?", fingerprint: key?.publicKey.fingerprint ?? "?",
      declined: (try? Declined.read(store)) ?? [],
      absence: { [store, foundation] state in
        guard let object = state.object,
          (try? store.object(object))??.missing.isEmpty != true
        else { return nil }
        return foundation.absence(of: state.id) ?? "not here"
      })
    self.faults = faults
  }

  private var writer: PageWriter {
    PageWriter(logbook: logbook, lab: lab, head: head, headRoot: nil, own: own)
  }

  public func status() throws -> StatusPage {
    var writer = writer
    let toDecide = writer.toDecide()
    return StatusPage(
      federation: writer.federation, lab: writer.named(lab), software: NodeCore.software,
      activity: .stopped, detail: "the daemon is not running", progress: nil,
      head: writer.mergeHead(), labs: writer.labStatuses(connected: [], lag: [:]),
      heldOut: HeldOut.read(store), diskBytes: try store.diskBytes(),
      freeBytes: try store.freeBytes(), attention: faults + writer.attention(),
      toDecide: toDecide.isEmpty ? nil : toDecide)
  }

  public func peers() -> PeersPage {
    let writer = writer
    let others = logbook.roster.members.filter { $0.lab != lab }
      .sorted { ($0.name, $0.lab.description) < ($1.name, $1.lab.description) }
    return PeersPage(
      peers: others.map { seat in
        let presence = logbook.presence(of: seat.lab)
        return PeersPage.Peer(
          lab: writer.named(seat.lab), address: presence?.addresses.first, link: .none,
          connectedSeconds: nil, roundTripMilliseconds: nil, bytesReceived: 0, bytesSent: 0,
          trouble: "this node's daemon is not running", addresses: presence?.addresses ?? [],
          software: presence?.software)
      })
  }

  public func pending() -> PendingPage { writer.pending() }

  public func roster() -> RosterPage { writer.roster() }

  public func log(limit: Int, entries: Bool, rounds: RoundSpan) -> LogPage {
    var writer = writer
    return writer.log(limit: limit, entries: entries, rounds: rounds)
  }

  public func blame(_ rounds: RoundSpan) throws -> BlamePage {
    var writer = writer
    return try writer.blame(rounds)
  }

  public func show(_ id: String) throws -> EntryPage {
    var writer = writer
    return try writer.show(id)
  }

  public func export(_ request: ExportRequest) async throws -> ExportPage {
    var logbook = logbook
    let merge = try Exporting.find(request.merge, in: logbook, head: head)
    let folding = try Folding(charter: charter, store: store)
    let folder = home.work + "/export-\(merge.id.short)"
    let root = try await Exporting.write(
      merge, recipe: logbook.recipe(for: merge), folding: folding, into: folder,
      baseModel: model)
    var writer = PageWriter(
      logbook: logbook, lab: lab, head: merge, headRoot: root, own: own)
    return ExportPage(folder: folder, model: model, head: writer.mergeHead())
  }

  public func verify(_ request: VerifyRequest) async throws -> VerifyPage {
    try await Replay(
      charter: charter, store: store, lab: lab, head: head, own: own, faults: faults
    ).run(fromSeal: request.fromSeal, now: monotonicSeconds)
  }
}

/// Seconds on a clock that only moves forwards.
func monotonicSeconds() -> Double {
  Double(NodeCore.clock().nanoseconds) / 1e9
}

/// The lab's held-out loss at the start and now, as the round loop last measured it.
enum HeldOut {
  static func read(_ store: Store) -> StatusPage.HeldOutLoss {
    StatusPage.HeldOutLoss(
      start: value(store, OwnValue.startLoss), now: value(store, OwnValue.nowLoss))
  }

  /// nil also for a damaged value: it is measured again.
  private static func value(_ store: Store, _ name: String) -> Double? {
    (try? store.value(name)).flatMap { Double(String(decoding: $0, as: UTF8.self)) }
  }

  static func change(_ name: String, _ value: Double) -> Storage.Change {
    .value(name: name, bytes: Array("\(value)".utf8))
  }
}
