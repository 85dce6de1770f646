import Glibc
import Logging

/// How a worker is reached.
public enum TrainerEndpoint: Sendable, Equatable {
  /// A command that is started as a child, program first, with these variables in its environment.
  case command([String], environment: [String: String])
  /// A worker that listens on a Unix socket.
  case socket(String)

  /// The worker that comes with the program: `hanse` beside this executable.
  ///
  /// `threads` of 0 uses all cores. Throws ``TrainerError/cannotStart(command:reason:)`` when
  /// there is no `hanse` beside it.
  public static func builtIn(
    model: String, dtype: String = "bf16", threads: Int = 0
  ) throws(TrainerError) -> TrainerEndpoint {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    let own = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    let folder = own.lastIndex(of: "/").map { String(own[..<$0]) } ?? "."
    let program = folder + "/hanse"
    guard access(program, X_OK) == 0 else {
      throw .cannotStart(command: program, reason: String(cString: strerror(errno)))
    }
    return .command(
      [program, "worker", "--model", model, "--dtype", dtype],
      environment: threads > 0 ? ["HANSE_THREADS": "\(threads)"] : [:])
  }

  var name: String {
    switch self {
    case .command(let command, _): command.joined(separator: " ")
    case .socket(let path): path
    }
  }
}

/// The daemon's side of a worker: starts it when there is a job, hands it one job at a time, and
/// starts it again, later each time, when it dies.
///
/// A job takes as long as it takes; cancelling the calling task gives it up within a step. A worker
/// that dies costs the job that it had: the caller decides whether to try again.
public actor TrainerProcess {
  private struct Current {
    var id: Int
    var answer: CheckedContinuation<WorkerReply, any Error>
    var progress: @Sendable (WorkerProgress) -> Void
  }

  /// Lines of standard error that are kept for an error's text.
  private static let lastWordsMax = 8

  private let endpoint: TrainerEndpoint
  private let logger: Logger
  private var link: WorkerLink?
  private var generation = 0
  private var hello: WorkerHello?
  private var helloWaiter: CheckedContinuation<Void, any Error>?
  private var current: Current?
  private var turns: [(id: Int, go: CheckedContinuation<Void, any Error>)] = []
  private var isBusy = false
  private var jobs = 0
  private var deaths = 0
  private var lastWords: [String] = []
  private var endWaiters: [CheckedContinuation<Void, Never>] = []
  private var isStopped = false

  /// A worker that is started with the first job.
  public init(_ endpoint: TrainerEndpoint, logger: Logger) {
    self.endpoint = endpoint
    self.logger = logger
  }

  /// What the running worker called itself; nil while none runs.
  public var engine: String? { hello?.engine }

  /// The running worker's process, for tests and for people; nil while none runs.
  public var process: Int? { hello?.process }

  /// Starts the worker now rather than with the first job.
  public func start() async throws {
    try await takeTurn()
    defer { giveTurn() }
    _ = try await ready()
  }

  /// Trains. Throws ``TrainerError``, or `CancellationError` when the task was cancelled.
  public func train(
    _ job: TrainJob, progress: @escaping @Sendable (WorkerProgress) -> Void = { _ in }
  ) async throws -> TrainOutcome {
    let reply = try await perform(progress) { WorkerOrder(job: .train, id: $0, train: job) }
    guard let outcome = reply.train else { throw broke("`done` without `train`") }
    return outcome
  }

  /// Measures. Throws as ``train(_:progress:)`` does.
  public func evaluate(
    _ job: EvaluateJob, progress: @escaping @Sendable (WorkerProgress) -> Void = { _ in }
  ) async throws -> LossReport {
    let reply = try await perform(progress) { WorkerOrder(job: .evaluate, id: $0, evaluate: job) }
    guard let report = reply.evaluate else { throw broke("`done` without `evaluate`") }
    return report
  }

  /// Ends the worker: its input first, then, if it stays, signals. No job is taken afterwards.
  public func stop() async {
    isStopped = true
    for turn in turns { turn.go.resume(throwing: TrainerError.stopped) }
    turns = []
    guard let link else { return }
    link.hangUp()
    for (signal, patience) in [(SIGTERM, 10), (SIGKILL, 5)] {
      if await hasEnded(within: patience) { return }
      link.signal(signal)
    }
    _ = await hasEnded(within: 5)
  }

  // MARK: one job

  private func perform(
    _ progress: @escaping @Sendable (WorkerProgress) -> Void, _ make: (Int) -> WorkerOrder
  ) async throws -> WorkerReply {
    try await takeTurn()
    defer { giveTurn() }
    let link = try await ready()
    try Task.checkCancellation()
    jobs += 1
    let id = jobs
    let line = try WorkerContract.encode(make(id))
    let reply = try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { answer in
        current = Current(id: id, answer: answer, progress: progress)
        // When nobody listens, the link's end is on its way and answers.
        _ = link.say(line)
      }
    } onCancel: {
      Task { await self.cancel(id) }
    }
    deaths = 0
    switch reply.event {
    case .done: return reply
    case .cancelled: throw CancellationError()
    default:
      throw TrainerError.failed(
        message: reply.error ?? "the worker gave no reason", hint: reply.hint)
    }
  }

  private func cancel(_ id: Int) {
    guard current?.id == id,
      let line = try? WorkerContract.encode(WorkerOrder(job: .cancel, id: id))
    else { return }
    _ = link?.say(line)
  }

  /// One job at a time, in the order in which they were asked for.
  private func takeTurn() async throws {
    if isStopped { throw TrainerError.stopped }
    guard isBusy else {
      isBusy = true
      return
    }
    jobs += 1
    let id = jobs
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (go: CheckedContinuation<Void, any Error>) in
        if Task.isCancelled { return go.resume(throwing: CancellationError()) }
        turns.append((id, go))
      }
    } onCancel: {
      Task { await self.leaveQueue(id) }
    }
  }

  private func leaveQueue(_ id: Int) {
    guard let index = turns.firstIndex(where: { $0.id == id }) else { return }
    turns.remove(at: index).go.resume(throwing: CancellationError())
  }

  private func giveTurn() {
    if turns.isEmpty {
      isBusy = false
    } else {
      turns.removeFirst().go.resume()
    }
  }

  // MARK: the worker's life

  /// The running worker, started if need be, once it has said hello.
  private func ready() async throws -> WorkerLink {
    if let link, hello != nil { return link }
    if deaths > 0 {
      let seconds = min(60, 0.25 * Double(1 << min(deaths, 8)))
      logger.info("worker starts again", metadata: ["in_seconds": "\(seconds)"])
      try await Task.sleep(for: .seconds(seconds))
    }
    if isStopped { throw TrainerError.stopped }
    let link = try await connect()
    self.link = link
    do {
      try await waitForHello()
    } catch {
      // A worker that nobody waits for any more is not left behind, loading.
      link.hangUp()
      link.signal(SIGTERM)
      throw error
    }
    return link
  }

  private func connect() async throws -> WorkerLink {
    generation += 1
    let generation = generation
    let (events, feed) = AsyncStream.makeStream(of: WorkerLink.Event.self)
    lastWords = []
    hello = nil
    let link: WorkerLink
    switch endpoint {
    case .command(let command, let extra):
      link = try await WorkerLink.start(command, environment: Self.environment(extra)) {
        feed.yield($0)
      }
    case .socket(let path): link = try WorkerLink.connect(to: path) { feed.yield($0) }
    }
    Task {
      for await event in events { take(event, generation) }
    }
    return link
  }

  private func waitForHello() async throws {
    if hello != nil { return }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (waiter: CheckedContinuation<Void, any Error>) in
        if Task.isCancelled { return waiter.resume(throwing: CancellationError()) }
        // It may have died before anybody waited.
        if link == nil { return waiter.resume(throwing: died("ended at once")) }
        if hello != nil { return waiter.resume() }
        helloWaiter = waiter
      }
    } onCancel: {
      Task { await self.giveUpHello() }
    }
  }

  private func giveUpHello() {
    helloWaiter?.resume(throwing: CancellationError())
    helloWaiter = nil
  }

  private func take(_ event: WorkerLink.Event, _ generation: Int) {
    guard generation == self.generation else { return }
    switch event {
    case .reply(let reply): take(reply)
    case .word(let word):
      logger.debug("worker says", metadata: ["line": "\(word.debugDescription)"])
      lastWords.append(word)
      if lastWords.count > Self.lastWordsMax { lastWords.removeFirst() }
    case .broke(let reason):
      logger.warning("worker broke the contract", metadata: ["reason": "\(reason)"])
      finish(.failure(broke(reason)))
    case .ended(let how): ended(how)
    }
  }

  private func take(_ reply: WorkerReply) {
    guard reply.version == WorkerContract.version else {
      return finish(.failure(broke("version \(reply.version)")))
    }
    switch reply.event {
    case .hello:
      hello = reply.hello
      logger.info(
        "worker is ready",
        metadata: [
          "engine": "\((reply.hello?.engine ?? "?").debugDescription)",
          "process": "\(reply.hello?.process ?? 0)",
        ])
      helloWaiter?.resume()
      helloWaiter = nil
    case .progress:
      if let progress = reply.progress, reply.id == current?.id { current?.progress(progress) }
    case .done, .failed, .cancelled:
      // An answer without a number is about a line that could not be read: the one just said.
      if reply.id == nil || reply.id == current?.id { finish(.success(reply)) }
    }
  }

  private func finish(_ result: Result<WorkerReply, any Error>) {
    guard let job = current else { return }
    current = nil
    job.answer.resume(with: result)
  }

  private func ended(_ how: String) {
    let error: TrainerError = isStopped ? .stopped : died(how)
    if !isStopped {
      deaths += 1
      logger.warning("worker ended", metadata: ["how": "\(how)"])
    }
    link = nil
    hello = nil
    finish(.failure(error))
    helloWaiter?.resume(throwing: error)
    helloWaiter = nil
    for waiter in endWaiters { waiter.resume() }
    endWaiters = []
  }

  private func hasEnded(within seconds: Int) async -> Bool {
    if link == nil { return true }
    let alarm = Task {
      try await Task.sleep(for: .seconds(seconds))
      self.wakeEndWaiters()
    }
    await withCheckedContinuation { endWaiters.append($0) }
    alarm.cancel()
    return link == nil
  }

  private func wakeEndWaiters() {
    for waiter in endWaiters { waiter.resume() }
    endWaiters = []
  }

  private func died(_ how: String) -> TrainerError {
    .died(command: endpoint.name, how: how, lastWords: lastWords)
  }

  private func broke(_ reason: String) -> TrainerError {
    .broke(command: endpoint.name, reason: reason)
  }

  /// Our own variables, without those by which the service manager watches us, and with the ones
  /// that keep several workers on one machine from spinning against each other.
  private static func environment(_ extra: [String: String]) -> [String] {
    let hidden: Set<String> = [
      "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID",
      "CREDENTIALS_DIRECTORY",
    ]
    var variables: [String: String] = [:]
    var pointer = environ
    while let text = pointer.pointee {
      let pair = String(cString: text)
      if let equals = pair.firstIndex(of: "=") {
        variables[String(pair[..<equals])] = String(pair[pair.index(after: equals)...])
      }
      pointer += 1
    }
    variables["OMP_WAIT_POLICY"] = "passive"
    variables.merge(extra) { $1 }
    return variables.filter { !hidden.contains($0.key) }.map { "\($0.key)=\($0.value)" }.sorted()
  }
}
