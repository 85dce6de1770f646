import Control
import Determinism
import FoundationEssentials
import Glibc
import Identities
import Ledger
import Records
import Storage

/// Reads a home while its daemon is down: the same pages, from the same logs.
public actor HomeReader: NodePages {
  private let home: HomeLayout
  private let configuration: Configuration
  private let charter: Charter
  private let store: Store
  private let logbook: Logbook
  private let lab: LabID
  private let head: Hanse_V1_Merge

  /// Opens a home read-only and replays its logs.
  public init(home path: String) throws {
    home = HomeLayout(path)
    guard home.isHome else { throw NodeError.noHome(path) }
    configuration = try Configuration.read(home.configuration)
    charter = try HomeCharter.read(home)
    store = try Store(home: home, readOnly: true)
    logbook = try HomeCharter.replay(store, charter)
    lab = HomeCharter.lab(key: try KeyFile.read(in: home), logbook: logbook, charter: charter)
    head = try HomeCharter.head(store) ?? logbook.emptyMerge()
  }

  private var writer: PageWriter {
    PageWriter(logbook: logbook, lab: lab, head: head, headRoot: nil)
  }

  public func status() throws -> StatusPage {
    var writer = writer
    return StatusPage(
      federation: writer.federation, lab: writer.named(lab), software: NodeCore.software,
      activity: .stopped, detail: "the daemon is not running", progress: nil,
      head: writer.mergeHead(), labs: writer.labStatuses(connected: [], lag: [:]),
      heldOut: try HeldOut.read(store), diskBytes: try store.diskBytes(),
      freeBytes: try store.freeBytes(), attention: writer.attention())
  }

  public func peers() throws -> PeersPage {
    throw ControlError(
      .notRunning, "the daemon is not running, so there are no connections",
      hint: "start it with hansed --home \(home.path)")
  }

  public func pending() -> PendingPage { writer.pending() }

  public func roster() -> RosterPage { writer.roster() }

  public func log(limit: Int, entries: Bool) -> LogPage {
    var writer = writer
    return writer.log(limit: limit, entries: entries)
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
      baseModel: configuration.model)
    var writer = PageWriter(logbook: logbook, lab: lab, head: merge, headRoot: root)
    return ExportPage(folder: folder, model: configuration.model, head: writer.mergeHead())
  }

  public func verify(_ request: VerifyRequest) async throws -> VerifyPage {
    try await Replay(charter: charter, store: store, lab: lab, head: head)
      .run(fromSeal: request.fromSeal, now: monotonicSeconds)
  }
}

/// Seconds on a clock that only moves forwards.
func monotonicSeconds() -> Double {
  Double(NodeCore.clock().nanoseconds) / 1e9
}

/// The lab's held-out loss at the start and now, as the round loop last measured it.
enum HeldOut {
  static func read(_ store: Store) throws -> StatusPage.HeldOutLoss {
    StatusPage.HeldOutLoss(
      start: try value(store, OwnValue.startLoss), now: try value(store, OwnValue.nowLoss))
  }

  private static func value(_ store: Store, _ name: String) throws -> Double? {
    try store.value(name).flatMap { Double(String(decoding: $0, as: UTF8.self)) }
  }

  static func change(_ name: String, _ value: Double) -> Change {
    .value(name: name, bytes: Array("\(value)".utf8))
  }
}
