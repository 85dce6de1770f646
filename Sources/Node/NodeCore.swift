import Adapters
import Determinism
import FoundationEssentials
import Glibc
import Gossip
import Identities
import Ledger
import Logging
import Records
import Storage
import Transport

/// A node's memory and hands: the logs, the mesh, the store, all on one queue.
///
/// Whatever arrives passes through here one thing at a time: verified, stored durably, concluded
/// from, and only then shown to others. Training, judging and folding happen elsewhere and come
/// back as entries.
actor NodeCore {
  private nonisolated let executor = QueueExecutor("hanse.core")
  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  nonisolated let home: HomeLayout
  nonisolated let configuration: Configuration
  nonisolated let charter: Charter
  nonisolated let key: SigningKey
  nonisolated let lab: LabID
  nonisolated let store: Store
  nonisolated let layout: AdapterLayout
  nonisolated let payloads: Payloads
  nonisolated let membership: Membership
  nonisolated let log: Logger

  var logbook: Logbook
  var mesh: Mesh
  var board: Switchboard?
  /// Entries that came before what they rest on, oldest first.
  var waiting: [Entry] = []
  static let waitingMax = 1024

  /// The merge that this node stands on, and its root once it has been folded.
  var head: Hanse_V1_Merge
  var headRoot: ContentID?
  /// Objects that are complete here, by the id of their block list.
  var heldObjects: Set<ContentID> = []
  var wantedObjects: Set<ContentID> = []
  /// Which contribution announced an object.
  var announced: [ContentID: ContentID] = [:]
  /// Contributions whose payload turned out not to be what was announced.
  var faulty: [ContentID: String] = [:]

  /// Whether this node knows that it has its whole log back, so that it may sign.
  var maySign = false
  var rule: RoundRule
  var shownRosterVersion: UInt32 = 0
  var quietSince: Instant
  var boundAddress: String?
  var contacts: [Contact]
  var stopping = false
  var failure: (any Error)?
  var attention: [String] = []
  /// What the round loop is doing, for the status page.
  var activity = Activity()
  /// The merge that the held-out loss was last measured of.
  var measured: ContentID?
  /// A round in which training changed nothing.
  var abstained: UInt32?
  nonisolated let systemd = Systemd()
  var startedAt: Instant
  var events: [GossipEvent] = []
  var isTelling = false
  var reacting = false
  private var waiters: [CheckedContinuation<Void, Never>] = []

  /// Opens a home and replays its logs.
  ///
  /// - Throws: what is wrong with the home, naming the file.
  init(home: HomeLayout, configuration: Configuration, log: Logger) throws {
    guard home.isHome else { throw home.absence }
    self.home = home
    self.configuration = configuration
    self.log = log
    key = try KeyFile.read(in: home)
    store = try Store(home: home)
    let found = try HomeCharter.read(home, store)
    charter = found.charter
    layout = try AdapterShapes.layout(of: charter)
    payloads = Payloads(store: store, layout: layout)
    let now = Self.clock()
    startedAt = now
    quietSince = now
    var replayed = try HomeReplay(store, charter)
    attention = try Self.mend(home, store, replayed, found, log)
    let stored = HomeCharter.head(store, in: &replayed.logbook)
    logbook = replayed.logbook
    rule = RoundRule(leastGrace: Double(charter.message.round.graceSeconds))
    contacts = (configuration.contacts ?? []).compactMap { Contact(text: $0) }
    lab = HomeCharter.lab(key: key, logbook: replayed.logbook, charter: charter)
    mesh = Mesh(
      lab: lab, federation: charter.id, software: Self.software,
      generator: SeededGenerator(seed: systemRandomBytes(8).reduce(0) { $0 << 8 | UInt64($1) }),
      now: now)
    membership = Membership([:])
    head = stored ?? replayed.logbook.emptyMerge()
    try store.commit([
      .value(name: OwnValue.charter, bytes: charter.bytes),
      .value(name: OwnValue.lab, bytes: lab.bytes),
    ])
    for id in try store.objects() {
      if let status = try store.object(id), status.missing.isEmpty { heldObjects.insert(id) }
    }
  }

  /// Puts right what a damaged disk can be made good for, and says so: a charter from the store's
  /// copy, logs cut before what no longer fits. The other labs send the rest again.
  private static func mend(
    _ home: HomeLayout, _ store: Store, _ replayed: HomeReplay,
    _ found: (charter: Charter, fault: String?), _ log: Logger
  ) throws -> [String] {
    var lines: [String] = []
    if let fault = found.fault {
      lines.append("\(fault); it was restored from the copy in \(home.database)")
      try DurableFile.write(found.charter.bytes, to: home.charter, mode: 0o640)
    }
    for fault in replayed.faults {
      lines.append("\(fault); it and what follows are fetched again from the other labs")
    }
    try replayed.mend(store)
    for line in lines { log.warning("\(line)") }
    return lines.isEmpty ? [] : lines + ["the disk gave back other bytes: look at dmesg"]
  }

  /// What this program calls itself.
  static let software = "hanse \(version)"

  /// Now, on the clock that only moves forwards.
  static func clock() -> Instant {
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return Instant(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
  }

  /// The wall clock, for what people read.
  static func wallSeconds() -> UInt64 { UInt64(max(0, time(nil))) }

  /// The highest round that this node has left.
  var round: UInt32 { head.frontier.round }

  /// Whether this lab has a seat.
  var isMember: Bool { logbook.roster.member(lab) != nil }

  /// Takes the network into service.
  func begin(_ board: Switchboard, boundAddress: String?) {
    self.board = board
    self.boundAddress = boundAddress
    showRoster()
    for position in logbook.heads {
      if let head = Head(position) { tell(.head(head)) }
    }
    for lab in logbook.labs {
      guard let fork = logbook.forks[lab] else { continue }
      tell(.forked(lab, sequence: fork.sequence, isFirst: true, from: nil))
    }
    for id in heldObjects.sorted() { tell(.held(id)) }
    react()
  }

  /// Waits until something has changed, or for a second.
  func change() async {
    let timer = Task {
      try? await Task.sleep(for: .seconds(1))
      self.wake()
    }
    await withCheckedContinuation { waiters.append($0) }
    timer.cancel()
  }

  /// Lets whoever waits for a change look again.
  func wake() {
    let woken = waiters
    waiters = []
    for waiter in woken { waiter.resume() }
  }

  /// Ends the node because it cannot go on: a full disk, a broken store.
  func fail(_ error: any Error) {
    guard failure == nil else { return }
    log.critical("\(error)")
    failure = error
    wake()
  }

  /// Asks the round loop to come to an end.
  func stop() {
    stopping = true
    wake()
  }
}

/// What the round loop is doing.
struct Activity: Sendable {
  enum Kind: String, Sendable { case waiting, training, judging, merging, idle }
  var kind = Kind.waiting
  var detail = "starting"
  var progress: Double?
  var heldOutStart: Double?
  var heldOutNow: Double?
}
