import Glibc

/// The built-in worker: keeps the base in memory and does one job after another.
///
/// It looks at its input between two steps, so a cancel, a stop or the end of input takes effect
/// within one. One thread does everything, since the product library keeps a pool per caller.
public final class WorkerLoop {
  /// Ends a job because the other side said so.
  struct GivenUp: Error {}

  private let output: Int32
  private let engine: String
  private var reader: LineReader
  private var waiting: [WorkerOrder] = []
  private var cancelled: Set<Int> = []
  private var isEnding = false

  private let jobs: WorkerJobs

  /// A worker that reads jobs from one descriptor and answers on another.
  public init(jobs: WorkerJobs, input: Int32, output: Int32, engine: String) {
    self.jobs = jobs
    self.output = output
    self.engine = engine
    reader = LineReader(input)
    // An answer that nobody reads is the end of input, not a death.
    signal(SIGPIPE, SIG_IGN)
  }

  /// Works until told to stop or the input ends. Errors of jobs are answers.
  public func run() {
    reply(
      WorkerReply(
        event: .hello,
        hello: WorkerHello(engine: engine, model: jobs.path, process: Int(getpid()))))
    while let order = nextOrder() { perform(order) }
  }

  /// Ends the process when `input` has ended and the loop has not noticed for `grace` seconds,
  /// which happens while a large base is loaded.
  public static func watch(_ input: Int32, grace: UInt32 = 20) {
    Background.run {
      // No event is asked for: only the other side's end wakes this up.
      var request = pollfd(fd: input, events: 0, revents: 0)
      while poll(&request, 1, -1) < 1 {}
      sleep(grace)
      _exit(1)
    }
  }

  /// The next job; nil at the end.
  private func nextOrder() -> WorkerOrder? {
    while !isEnding {
      if !waiting.isEmpty { return waiting.removeFirst() }
      listen(wait: true)
    }
    return nil
  }

  private func perform(_ order: WorkerOrder) {
    var answer = WorkerReply(event: .done, id: order.id)
    let hear: (WorkerProgress) throws -> Void = { [self] progress in
      reply(WorkerReply(event: .progress, id: order.id, progress: progress))
      listen(wait: false)
      if isEnding || cancelled.contains(order.id) { throw GivenUp() }
    }
    do {
      switch (order.train, order.evaluate) {
      case (let job?, nil): answer.train = try jobs.train(job, progress: hear)
      case (nil, let job?): answer.evaluate = try jobs.evaluate(job, progress: hear)
      default: throw TrainerError.badLine(reason: "a job has either `train` or `evaluate`")
      }
    } catch is GivenUp {
      answer.event = .cancelled
    } catch {
      answer.event = .failed
      let parts = Self.parts(of: error)
      answer.error = parts.message
      answer.hint = parts.hint
    }
    cancelled.remove(order.id)
    reply(answer)
  }

  /// Reads what has come in: all of it without waiting, or waits for one line.
  private func listen(wait: Bool) {
    while true {
      do throws(TrainerError) {
        switch try reader.next(wait: wait) {
        case .nothing: return
        case .end:
          isEnding = true
          return
        case .line(let line): take(try WorkerContract.decode(WorkerOrder.self, from: line))
        }
      } catch {
        reply(WorkerReply(event: .failed, error: "\(error)", hint: "see Protocol/Worker.md"))
        if case .badLine(let reason) = error, reason.hasPrefix("longer") { isEnding = true }
      }
      if wait { return }
    }
  }

  private func take(_ order: WorkerOrder) {
    guard order.version == WorkerContract.version else {
      return reply(
        WorkerReply(
          event: .failed, id: order.id,
          error: "version \(order.version) of the contract; this worker speaks "
            + "\(WorkerContract.version)", hint: "use hanse and hansed of the same release"))
    }
    switch order.job {
    case .train, .evaluate: waiting.append(order)
    case .cancel:
      if let index = waiting.firstIndex(where: { $0.id == order.id }) {
        waiting.remove(at: index)
        reply(WorkerReply(event: .cancelled, id: order.id))
      } else {
        cancelled.insert(order.id)
      }
    case .stop: isEnding = true
    }
  }

  private func reply(_ reply: WorkerReply) {
    guard let line = try? WorkerContract.encode(reply), writeLine(line, to: output) else {
      isEnding = true
      return
    }
  }

  private static func parts(of error: any Error) -> (message: String, hint: String?) {
    let parts = "\(error)".split(separator: "\nhint: ", maxSplits: 1).map(String.init)
    return (parts.first ?? "\(error)", parts.count > 1 ? parts[1] : nil)
  }
}
