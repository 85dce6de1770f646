import Adapters
import Determinism
import FoundationEssentials
import Glibc
import Gossip
import Identities
import Ledger
import Logging
import Participation
import Records
import Storage
import Transport

/// A node's hands: it tells its ``Participation/Participant`` what happens and does what that
/// directs, with store, switchboard and clock, all on one queue.
///
/// Whatever arrives passes through here one thing at a time, and what is directed is done in
/// order: durable before it is shown. Training, judging and folding happen elsewhere and come back
/// as events.
actor NodeCore {
  private nonisolated let executor = QueueExecutor("hanse.core")
  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  nonisolated let home: HomeLayout
  nonisolated let configuration: Configuration
  nonisolated let charter: Charter
  nonisolated let lab: LabID
  nonisolated let store: Store
  nonisolated let layout: AdapterLayout
  nonisolated let payloads: Payloads
  nonisolated let folding: Folding
  nonisolated let membership: Membership
  nonisolated let log: Logger

  /// Why connections did not come about.
  var attempts = Attempts()
  /// Names this run of the node in bundles.
  nonisolated let bundleNonce = systemRandomBytes(32)
  /// Why entries were refused, while somebody wants to know.
  var refusals: [String]?
  /// Every key of the home, in use or not.
  var keys: [SigningKey]
  var participant: Participant
  var board: Switchboard?
  /// What the worker is to do next, from when it was decided until it is fetched.
  var offered: Step?
  var boundAddress: String?
  var ownAddresses: [String] = []
  var stopping = false
  var failure: (any Error)?
  var attention: [String] = []
  /// What the round loop is doing, for the status page.
  var activity = Activity()
  nonisolated let systemd = Systemd()
  /// How often something has changed.
  private(set) var wakes: UInt64 = 0
  private var waiters: [CheckedContinuation<Void, Never>] = []

  /// Opens a home and replays its logs.
  ///
  /// - Throws: what is wrong with the home, naming the file.
  init(home: HomeLayout, configuration: Configuration, log: Logger) throws {
    guard home.isHome else { throw home.absence }
    self.home = home
    self.configuration = configuration
    self.log = log
    keys = try KeyFile.readAll(in: home)
    let noted = try KeyFile.lab(in: home)
    let store = try Store(home: home)
    self.store = store
    let found = try HomeCharter.read(home, store)
    charter = found.charter
    layout = try AdapterShapes.layout(of: charter)
    payloads = Payloads(store: store, layout: layout)
    folding = try Folding(charter: charter, store: store)
    var replayed = try HomeReplay(store, charter)
    attention = try Self.mend(home, store, replayed, found, log)
    let stored = HomeCharter.head(store, in: &replayed.logbook)
    let participant = Participant(
      charter: charter, keys: Keyring(keys), lab: noted, settings: configuration.settings,
      position: Participant.Position(
        logbook: replayed.logbook, head: stored,
        held: try store.objects().filter { try store.object($0)?.missing.isEmpty ?? false },
        foundations: try HomeCharter.foundations(store)),
      generator: SeededGenerator(seed: systemRandomBytes(8).reduce(0) { $0 << 8 | UInt64($1) }),
      at: Self.moment)
    self.participant = participant
    // Before anything is folded, and older states are pruned.
    folding.spare(participant.foundations.map(\.chain))
    lab = participant.lab
    membership = Membership([:])
    try store.commit([
      .value(name: OwnValue.charter, bytes: charter.bytes),
      .value(name: OwnValue.lab, bytes: lab.bytes),
    ])
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

  static var moment: Participant.Moment {
    Participant.Moment(now: clock(), wallSeconds: wallSeconds())
  }

  var logbook: Logbook { participant.logbook }
  var mesh: Mesh { participant.mesh }
  var head: Hanse_V1_Merge { participant.head }
  var headRoot: ContentID? { participant.headRoot }
  var round: UInt32 { participant.round }
  var isMember: Bool { participant.isMember }

  /// Takes the network into service.
  func begin(_ board: Switchboard, boundAddress: String?) {
    self.board = board
    self.boundAddress = boundAddress
    // What is to be shown may have been said before there was anybody to show it.
    do { try board.show(keys) } catch { fail(error) }
    ownAddresses = reachableAddresses
    keepPace()
    handle(.began(addresses: ownAddresses))
  }

  /// Time has passed.
  func tick() {
    let addresses = reachableAddresses
    if addresses != ownAddresses {
      ownAddresses = addresses
      handle(.addresses(addresses))
    }
    handle(.tick)
  }

  /// Where this node says that it may be dialled.
  private var reachableAddresses: [String] {
    if let advertised = configuration.advertise, !advertised.isEmpty { return advertised }
    return boundAddress.map(InterfaceAddresses.reachable) ?? []
  }

  /// Waits until something has changed, or for a second; how often something has.
  ///
  /// - Parameter since: what this gave the last time, so that nothing between then and now is
  ///   missed; nil waits for what is still to come.
  func change(since seen: UInt64? = nil) async -> UInt64 {
    if let seen, seen != wakes { return wakes }
    let timer = Task {
      try? await Task.sleep(for: .seconds(1))
      self.wake()
    }
    await withCheckedContinuation { waiters.append($0) }
    timer.cancel()
    return wakes
  }

  /// Lets whoever waits for a change look again.
  func wake() {
    wakes &+= 1
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
  enum Kind: String, Sendable {
    case waiting, training, judging, merging, idle

    /// Whether the worker needs the machine.
    var isWork: Bool { self == .training || self == .judging }
  }

  private(set) var kind = Kind.waiting
  private var since = NodeCore.clock()
  private var seconds: [Kind: Double] = [:]
  var detail = "starting"
  var progress: Double?
  /// Why nothing is done.
  var reason: Waiting?

  /// From now on this is done.
  mutating func begin(_ kind: Kind) {
    let now = NodeCore.clock()
    seconds[self.kind, default: 0] += now.seconds(since: since)
    since = now
    self.kind = kind
  }

  /// Seconds that were spent on something, until now.
  func spent(on kind: Kind) -> Double {
    let current = kind == self.kind ? NodeCore.clock().seconds(since: since) : 0
    return (seconds[kind] ?? 0) + current
  }
}
