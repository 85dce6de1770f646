import FoundationEssentials
import Glibc
import Logging
import Synchronization
import Testing
import Trainers

/// Workers in a few lines of shell, good and bad.
@Suite struct ProcessTests {
  private static let hello =
    #"{"version":1,"event":"hello","hello":{"engine":"sh","model":"m","process":'$$'}}"#
  /// Answers every job with the same loss.
  private static let good = """
    echo '\(hello)'
    while read line; do
      id=$(echo "$line" | sed 's/.*"id":\\([0-9]*\\).*/\\1/')
      case "$line" in *'"job":"stop"'*) exit 0;; esac
      echo '{"version":1,"event":"progress","id":'$id',"progress":{"phase":"p","done":1,"all":2}}'
      echo '{"version":1,"event":"done","id":'$id',"evaluate":{"tokens":3,"nats_per_token":1.5}}'
    done
    """

  private let job = EvaluateJob(adapter: nil, data: TextSource(files: ["f"], part: .all))

  private func trainer(
    _ script: String, environment: [String: String] = [:]
  ) -> TrainerProcess {
    TrainerProcess(
      .command(["sh", "-c", script], environment: environment), logger: Logger(label: "test"))
  }

  private func isAlive(_ process: Int) -> Bool { kill(pid_t(process), 0) == 0 }

  private func waitForEnd(of process: Int) async throws {
    for _ in 0..<500 where isAlive(process) { try await Task.sleep(for: .milliseconds(10)) }
    #expect(!isAlive(process))
  }

  @Test func aWorkerIsStartedOnceAndAnswersManyJobs() async throws {
    let trainer = trainer(Self.good)
    let heard = Mutex(0)
    for _ in 0..<3 {
      let report = try await trainer.evaluate(job) { _ in heard.withLock { $0 += 1 } }
      #expect(report == LossReport(tokens: 3, natsPerToken: 1.5))
    }
    #expect(heard.withLock { $0 } == 3)
    let process = try #require(await trainer.process)
    #expect(isAlive(process))
    await trainer.stop()
    try await waitForEnd(of: process)
  }

  @Test func itsEnvironmentIsPassiveAndUnwatched() async throws {
    setenv("NOTIFY_SOCKET", "/nowhere", 1)
    defer { unsetenv("NOTIFY_SOCKET") }
    let script = """
      echo '\(Self.hello)'
      read line
      id=$(echo "$line" | sed 's/.*"id":\\([0-9]*\\).*/\\1/')
      seen=$OMP_WAIT_POLICY-$HANSE_THREADS-$NOTIFY_SOCKET
      echo '{"version":1,"event":"failed","id":'$id',"error":"'$seen'"}'
      """
    let trainer = trainer(script, environment: ["HANSE_THREADS": "3"])
    let error = await #expect(throws: TrainerError.self) { try await trainer.evaluate(job) }
    #expect(error == .failed(message: "passive-3-", hint: nil))
    await trainer.stop()
  }

  @Test func aWorkerThatDiesCostsOneJobAndIsStartedAgain() async throws {
    let mark = "/tmp/hanse-died-\(getpid())"
    defer { unlink(mark) }
    let script = """
      if [ ! -e \(mark) ]; then
        touch \(mark); echo '\(Self.hello)'; read line; echo out of memory >&2; kill -9 $$
      fi
      \(Self.good)
      """
    let trainer = trainer(script)
    let error = await #expect(throws: TrainerError.self) { try await trainer.evaluate(job) }
    #expect("\(error!)".contains("signal 9"))
    #expect("\(error!)".contains("out of memory"))
    #expect(try await trainer.evaluate(job).tokens == 3)
    await trainer.stop()
  }

  @Test func aWorkerThatEndsBeforeItsHelloIsSaidSo() async throws {
    let trainer = trainer("echo 'no such model' >&2; exit 3")
    let error = await #expect(throws: TrainerError.self) { try await trainer.evaluate(job) }
    #expect("\(error!)".contains("code 3"))
    #expect("\(error!)".contains("no such model"))
    await trainer.stop()
  }

  @Test func aCommandThatIsNotThereIsNamed() async throws {
    let trainer = TrainerProcess(
      .command(["/nowhere/worker"], environment: [:]), logger: Logger(label: "test"))
    let error = await #expect(throws: TrainerError.self) { try await trainer.evaluate(job) }
    #expect("\(error!)".contains("/nowhere/worker"))
    let none = TrainerProcess(.socket("/nowhere/w.sock"), logger: Logger(label: "test"))
    await #expect(throws: TrainerError.self) { try await none.evaluate(job) }
  }

  @Test func rubbishFromAWorkerIsAnError() async throws {
    for line in ["nonsense", "{}", #"{"version":2,"event":"done","id":1}"#] {
      let trainer = trainer("echo '\(Self.hello)'; read line; echo '\(line)'; read line")
      let error = await #expect(throws: TrainerError.self) { try await trainer.evaluate(job) }
      guard case .broke? = error else {
        Issue.record("\(line): \(String(describing: error))")
        return
      }
      await trainer.stop()
    }
  }

  @Test func aLineWithoutEndIsNotReadForEver() async throws {
    let trainer = trainer("echo '\(Self.hello)'; read line; yes x | tr -d '\\n'")
    let error = await #expect(throws: TrainerError.self) { try await trainer.evaluate(job) }
    guard case .broke? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    await trainer.stop()
  }

  @Test func whatAWorkerStartedEndsWithIt() async throws {
    let mark = "/tmp/hanse-grandchild-\(getpid())"
    defer { unlink(mark) }
    // The sleeper holds the worker's streams open and would keep its end from being noticed.
    let trainer = trainer("sleep 1000 & echo $! > \(mark); echo '\(Self.hello)'; read line; exit 1")
    await #expect(throws: TrainerError.self) { try await trainer.evaluate(job) }
    let text = String(decoding: FileManager.default.contents(atPath: mark) ?? Data(), as: UTF8.self)
    let sleeper = try #require(Int(text.filter(\.isNumber)))
    try await waitForEnd(of: sleeper)
    await trainer.stop()
  }

  @Test func aWorkerThatDoesNotHearTheEndIsKilled() async throws {
    let trainer = trainer("trap '' TERM; echo '\(Self.hello)'; while true; do sleep 0.2; done")
    try await trainer.start()
    let process = try #require(await trainer.process)
    let start = ContinuousClock.now
    let stopping = Task { await trainer.stop() }
    // Ten seconds are its own; the test does not wait for them.
    try await Task.sleep(for: .milliseconds(200))
    #expect(isAlive(process))
    kill(pid_t(process), SIGKILL)
    await stopping.value
    #expect(!isAlive(process))
    #expect(ContinuousClock.now - start < .seconds(5))
  }
}
