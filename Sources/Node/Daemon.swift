import Control
import FoundationEssentials
import Glibc
import Logging
import Participation
import Records
import ServiceLifecycle
import Storage
import Trainers
import Transport
import UnixSignals

/// The running node: every long job as a service, started in order and stopped in reverse.
public enum Daemon {
  /// How a daemon is started.
  public struct Options: Sendable {
    /// The node's home.
    public var home: String
    /// The configuration; nil: `hanse.toml` in the home.
    public var configuration: String?
    /// The round after which the daemon ends by itself.
    public var lastRound: UInt32?

    /// Whether everything is folded from the charter on, whatever the configuration says.
    public var fromGenesis: Bool

    /// Options for a home.
    public init(
      home: String, configuration: String? = nil, lastRound: UInt32? = nil,
      fromGenesis: Bool = false
    ) {
      self.fromGenesis = fromGenesis
      self.home = home
      self.configuration = configuration
      self.lastRound = lastRound
    }
  }

  /// Runs until a signal, the last round, or an error that the node cannot live with.
  public static func run(_ options: Options) async throws {
    let home = HomeLayout(options.home)
    guard home.isHome else { throw home.absence }
    var configuration = try Configuration.read(options.configuration ?? home.configuration)
    if options.fromGenesis { configuration.fromGenesis = true }
    var log = Logger(label: "hansed")
    log.logLevel = configuration.log.flatMap { Logger.Level(rawValue: $0.level) } ?? .info
    let core = try NodeCore(home: home, configuration: configuration, log: log)
    try DurableFile.makeFolder(home.work, mode: 0o750)
    let folding = core.folding
    let trainer = TrainerProcess(try endpoint(configuration), logger: log)
    let control = try ControlServer(
      node: NodeAnswers(core: core, folding: folding, desk: BundleDesk(core: core)),
      path: home.controlSocket, mode: 0o660,
      logger: log)
    let runner = RoundRunner(core: core, folding: folding, trainer: trainer, log: log)
    log.notice(
      "\(NodeCore.software) serves \(core.charter.message.name)",
      metadata: ["lab": "\(configuration.lab)", "home": "\(home.path)"])
    let group = ServiceGroup(
      configuration: .init(
        services: [
          .init(service: NetworkService(core: core, log: log)),
          .init(service: TickService(core: core)),
          .init(service: ControlService(server: control)),
          .init(service: WatchdogService(core: core)),
          .init(
            service: RoundService(
              runner: runner, trainer: trainer, core: core, last: options.lastRound),
            successTerminationBehavior: .gracefullyShutdownGroup),
        ], gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet(log)))
    try await group.run()
    core.systemd.stopping()
    try core.store.close()
    if let failure = await core.failure { throw failure }
    log.notice("stopped")
  }

  private static func endpoint(_ configuration: Configuration) throws -> TrainerEndpoint {
    if let command = configuration.worker?.command {
      return .command(command, environment: [:])
    }
    return try .builtIn(
      model: configuration.model, dtype: configuration.training?.dtype ?? "bf16",
      threads: configuration.training?.threads ?? 0)
  }

  private static func quiet(_ log: Logger) -> Logger {
    var quiet = log
    quiet.logLevel = .warning
    return quiet
  }
}

/// Listens, dials, and hands on what comes.
struct NetworkService: Service {
  let core: NodeCore
  let log: Logger

  func run() async throws {
    let (events, sink) = AsyncStream.makeStream(of: TransportEvent.self)
    let core = core
    let board = try Switchboard(
      key: await core.participant.key,
      listen: try core.configuration.listen.map { try Endpoint($0) },
      membership: { [membership = core.membership] in membership.lab(of: $0) },
      guests: { request, guest in await core.answer(request, from: guest.key) }, logger: log,
      // Unbounded in form; receipts bound what any connection may have in it.
      events: { sink.yield($0) })
    try await board.start()
    await core.begin(board, boundAddress: board.boundAddress?.description)
    core.systemd.ready("listening")
    await withGracefulShutdownHandler {
      for await event in events { await core.receive(event) }
    } onGracefulShutdown: {
      Task {
        await board.shutdown()
        sink.finish()
      }
    }
  }
}

/// Moves the mesh's clock.
struct TickService: Service {
  let core: NodeCore

  func run() async throws {
    while !Task.isShuttingDownGracefully, !Task.isCancelled {
      try? await cancelWhenGracefulShutdown { try await Task.sleep(for: .milliseconds(500)) }
      await core.tick()
    }
  }
}

/// Answers the command line.
struct ControlService: Service {
  let server: ControlServer

  func run() async throws {
    try await withGracefulShutdownHandler {
      try await server.run()
    } onGracefulShutdown: {
      server.stop()
    }
  }
}

/// Tells systemd that the node's own queue and its database still answer.
struct WatchdogService: Service {
  let core: NodeCore

  func run() async throws {
    while !Task.isShuttingDownGracefully, !Task.isCancelled {
      let seconds = core.systemd.watchdogSeconds ?? 15
      try? await cancelWhenGracefulShutdown { try await Task.sleep(for: .seconds(seconds)) }
      await core.pulse()
    }
  }
}

/// Walks through the rounds.
struct RoundService: Service {
  let runner: RoundRunner
  let trainer: TrainerProcess
  let core: NodeCore
  let last: UInt32?

  func run() async throws {
    do {
      try await withGracefulShutdownHandler {
        try await cancelWhenGracefulShutdown { try await runner.run(last: last) }
      } onGracefulShutdown: {
        Task { await core.stop() }
      }
    } catch is CancellationError {
    } catch {
      await trainer.stop()
      throw error
    }
    await trainer.stop()
  }
}
