import Adapters
import Checkpoints
import FoundationEssentials
import Glibc
import Logging
import Synchronization
import Testing
import Trainers
import Transformers

/// The built-in worker in a thread of this process, and the daemon's side, joined by a socket.
private final class Workshop {
  let model: ModelFolder
  let trainer: TrainerProcess
  private let socket: Int32
  private let path: String

  init() throws {
    model = try ModelFolder()
    path = model.folder + "/worker.sock"
    let listening = try UnixSocket.listen(path)
    socket = listening
    let base = model.model
    SystemThread.run {
      guard let jobs = try? WorkerJobs(model: base, computeType: .f32) else { return }
      while let connection = UnixSocket.accept(listening) {
        WorkerLoop(jobs: jobs, input: connection, output: connection, engine: "test 1").run()
        close(connection)
      }
    }
    trainer = TrainerProcess(.socket(path), logger: Logger(label: "test"))
  }

  deinit {
    shutdown(socket, Int32(SHUT_RDWR))
    close(socket)
  }

  func text() throws -> TextSource {
    let sentence = "The quick brown fox jumps over the lazy dog and then sleeps. "
    let file = try model.text("text.txt", String(repeating: sentence, count: 40))
    return TextSource(files: [file], part: .training)
  }

  func job(_ name: String, steps: Int = 6) throws -> TrainJob {
    var heldOut = try text()
    heldOut.part = .heldOut
    return TrainJob(
      adapter: try model.adapter("start"), output: model.folder + "/" + name, data: try text(),
      heldOut: heldOut, steps: steps, batch: 2, length: 32, learningRate: 0.01)
  }
}

/// A detached thread of the system.
private enum SystemThread {
  static func run(_ body: @escaping @Sendable () -> Void) {
    final class Box {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    pthread_create(
      &thread, nil,
      { pointer in
        Unmanaged<Box>.fromOpaque(pointer!).takeRetainedValue().body()
        return nil
      }, Unmanaged.passRetained(Box(body)).toOpaque())
    pthread_detach(thread)
  }
}

@Suite(.serialized) struct WorkerTests {
  @Test func trainingLearnsReportsAndWritesTheAdapter() async throws {
    let workshop = try Workshop()
    let phases = Mutex<[String]>([])
    let job = try workshop.job("out")
    let outcome = try await workshop.trainer.train(job) { progress in
      phases.withLock { if $0.last != progress.phase { $0.append(progress.phase) } }
    }
    #expect(outcome.steps == 6)
    #expect(outcome.tokens == 6 * 2 * 32)
    #expect(outcome.examples == 12)
    let (before, after) = (try #require(outcome.before), try #require(outcome.after))
    #expect(before.tokens == after.tokens && before.tokens > 100)
    #expect(after.natsPerToken < before.natsPerToken)
    #expect(outcome.lastLoss! < outcome.firstLoss!)
    #expect(
      phases.withLock { $0 } == ["loading", "measuring before", "training", "measuring after"])
    let trained = try PEFTFolder.read(job.output, for: workshop.model.configuration).adapter
    let started = try PEFTFolder.read(job.adapter).adapter
    #expect(trained.layout == started.layout && trained.values != started.values)
    var heldOut = job.heldOut!
    let again = try await workshop.trainer.evaluate(
      EvaluateJob(adapter: job.output, data: heldOut, length: 32))
    #expect(again == after)
    heldOut.tokensMax = 40
    let few = try await workshop.trainer.evaluate(
      EvaluateJob(adapter: nil, data: heldOut, length: 32))
    #expect(few.tokens == 38)
    #expect(await workshop.trainer.engine == "test 1")
    await workshop.trainer.stop()
  }

  @Test func aSecondHalfGoesOnFromTheFirst() async throws {
    let workshop = try Workshop()
    var first = try workshop.job("first", steps: 3)
    first.optimiserOut = workshop.model.folder + "/moments"
    _ = try await workshop.trainer.train(first)
    var second = first
    second.adapter = first.output
    second.output = workshop.model.folder + "/second"
    second.optimiserIn = first.optimiserOut
    let outcome = try await workshop.trainer.train(second)
    var fresh = second
    fresh.optimiserIn = nil
    fresh.output = workshop.model.folder + "/fresh"
    let other = try await workshop.trainer.train(fresh)
    #expect(outcome.before == other.before)
    #expect(outcome.after != other.after, "the moments count")
    await workshop.trainer.stop()
  }

  @Test func aJobsErrorIsAnAnswerAndTheWorkerLivesOn() async throws {
    let workshop = try Workshop()
    let good = try workshop.job("good")
    var bad = good
    bad.data.files = [workshop.model.folder + "/missing.txt"]
    var error = await #expect(throws: TrainerError.self) { try await workshop.trainer.train(bad) }
    #expect("\(error!)".contains("missing.txt"))
    bad = good
    bad.schedule = "wild"
    error = await #expect(throws: TrainerError.self) { try await workshop.trainer.train(bad) }
    #expect("\(error!)".contains("cosine or constant"))
    bad = good
    bad.adapter = workshop.model.folder
    await #expect(throws: TrainerError.self) { try await workshop.trainer.train(bad) }
    bad = good
    bad.steps = -1
    await #expect(throws: TrainerError.self) { try await workshop.trainer.train(bad) }
    bad = good
    bad.length = 100_000
    await #expect(throws: TrainerError.self) { try await workshop.trainer.train(bad) }
    #expect(access(good.output, F_OK) != 0, "nothing was written")
    #expect(try await workshop.trainer.train(good).steps == 6)
    await workshop.trainer.stop()
  }

  @Test func aCancelledTaskGivesItsJobUpWithinAStep() async throws {
    let workshop = try Workshop()
    let (started, feed) = AsyncStream.makeStream(of: Void.self)
    var job = try workshop.job("endless", steps: 10_000_000)
    job.heldOut = nil
    let endless = job
    let trainer = workshop.trainer
    let training = Task {
      try await trainer.train(endless) { if $0.phase == "training" { feed.yield() } }
    }
    for await _ in started { break }
    training.cancel()
    await #expect(throws: CancellationError.self) { try await training.value }
    #expect(access(job.output, F_OK) != 0)
    #expect(try await workshop.trainer.train(try workshop.job("next")).steps == 6)
    await workshop.trainer.stop()
  }

  @Test func jobsWaitForEachOtherAndAWaitingOneCanLeave() async throws {
    let workshop = try Workshop()
    var job = try workshop.job("endless", steps: 10_000_000)
    job.heldOut = nil
    let endless = job
    let (started, feed) = AsyncStream.makeStream(of: Void.self)
    let trainer = workshop.trainer
    let first = Task {
      try await trainer.train(endless) { if $0.phase == "training" { feed.yield() } }
    }
    for await _ in started { break }
    let short = try workshop.job("short")
    let second = Task { try await trainer.train(short) }
    let third = Task { try await trainer.train(short) }
    third.cancel()
    await #expect(throws: CancellationError.self) { try await third.value }
    first.cancel()
    await #expect(throws: CancellationError.self) { try await first.value }
    #expect(try await second.value.steps == 6)
    await workshop.trainer.stop()
    await #expect(throws: TrainerError.stopped) { try await workshop.trainer.train(short) }
  }
}
