import Glibc
import Synchronization

/// A connection to a worker: a child process's streams, or a socket of a worker that runs as a
/// unit of its own.
final class WorkerLink: Sendable {
  /// What a worker's side may do.
  enum Event: Sendable {
    case reply(WorkerReply)
    /// A line on standard error.
    case word(String)
    /// It is gone; says how.
    case ended(String)
    /// It said something that is not in the contract.
    case broke(String)
  }

  private struct Ends {
    var input: Int32
    var process: pid_t?
  }

  private let ends: Mutex<Ends>

  private init(input: Int32, process: pid_t?) {
    ends = Mutex(Ends(input: input, process: process))
  }

  deinit { hangUp() }

  /// Says an order. Returns false when nobody listens any more.
  func say(_ line: [UInt8]) -> Bool {
    // The lock is held so that the descriptor is not closed, and reused, under the write.
    ends.withLock { $0.input >= 0 && writeLine(line, to: $0.input) }
  }

  /// Ends the worker's input, which ends a worker that keeps to the contract.
  func hangUp() {
    ends.withLock {
      guard $0.input >= 0 else { return }
      // Of a socket the reading thread has a copy, so closing alone would not be noticed.
      shutdown($0.input, Int32(SHUT_WR))
      close($0.input)
      $0.input = -1
    }
  }

  /// Sends a signal to the worker and what it started, unless it is gone already.
  func signal(_ number: Int32) {
    ends.withLock { if let process = $0.process { kill(-process, number) } }
  }

  var process: pid_t? { ends.withLock { $0.process } }

  /// Waits for a child's end, then ends what it left behind, which could hold its streams open.
  private func reap(_ process: pid_t) -> String {
    // Waiting without reaping keeps the number from being given to another process before
    // `signal` knows that this one is gone.
    var information = siginfo_t()
    while waitid(P_PID, id_t(process), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
    ends.withLock { $0.process = nil }
    kill(-process, SIGKILL)
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0, errno == EINTR {}
    let signal = status & 0x7F
    return signal == 0
      ? "ended with code \(status >> 8 & 0xFF)"
      : "was ended by signal \(signal) (\(String(cString: strsignal(signal))))"
  }

  // MARK: a child

  /// Starts a command.
  ///
  /// Its life is tied to this process: its input ends when this process does, however that ends.
  /// The thread that starts it lives as long as the child, so that a child that asks the system for
  /// a signal at its parent's death gets it then and not before.
  static func start(
    _ command: [String], environment: [String],
    hear: @escaping @Sendable (Event) -> Void
  ) async throws(TrainerError) -> WorkerLink {
    // An order to a worker that has just died must not end the daemon.
    Glibc.signal(SIGPIPE, SIG_IGN)
    let result: Result<WorkerLink, TrainerError> = await withCheckedContinuation { started in
      Background.run {
        do throws(TrainerError) {
          let child = try Child(command, environment)
          let link = WorkerLink(input: child.input, process: child.process)
          started.resume(returning: .success(link))
          attend(child, link, hear)
        } catch {
          started.resume(returning: .failure(error))
        }
      }
    }
    return try result.get()
  }

  /// Passes on what a child says until it is gone; the end is said last.
  private static func attend(
    _ child: Child, _ link: WorkerLink, _ hear: @escaping @Sendable (Event) -> Void
  ) {
    let replies = Background.start { relay(replies: child.output, hear) }
    let words = Background.start { relay(words: child.words, hear) }
    let how = link.reap(child.process)
    replies.join()
    words.join()
    hear(.ended(how))
  }

  private static func relay(replies descriptor: Int32, _ hear: (Event) -> Void) {
    var reader = LineReader(descriptor)
    defer { close(descriptor) }
    while true {
      do throws(TrainerError) {
        guard case .line(let line) = try reader.next(wait: true) else { return }
        hear(.reply(try WorkerContract.decode(WorkerReply.self, from: line)))
      } catch {
        hear(.broke("\(error)"))
        if case .badLine(let reason) = error, reason.hasPrefix("longer") { return }
      }
    }
  }

  private static func relay(words descriptor: Int32, _ hear: (Event) -> Void) {
    var reader = LineReader(descriptor)
    defer { close(descriptor) }
    while case .line(let line)? = try? reader.next(wait: true) {
      hear(.word(String(decoding: line.prefix(500), as: UTF8.self)))
    }
  }

  // MARK: a socket

  /// Connects to a worker that listens on a Unix socket.
  static func connect(
    to path: String, hear: @escaping @Sendable (Event) -> Void
  ) throws(TrainerError) -> WorkerLink {
    Glibc.signal(SIGPIPE, SIG_IGN)
    let descriptor = try UnixSocket.connect(path)
    let copy = dup(descriptor)
    let link = WorkerLink(input: descriptor, process: nil)
    Background.run {
      relay(replies: copy, hear)
      hear(.ended("closed its socket"))
    }
    return link
  }
}

/// Threads that wait for the system, so that no executor has to.
enum Background {
  /// A thread that can be waited for.
  struct Running {
    fileprivate let thread: pthread_t

    /// Waits for its end. To be called once.
    func join() { pthread_join(thread, nil) }
  }

  /// Runs a body on a thread of its own, which is waited for.
  static func start(_ body: @escaping @Sendable () -> Void) -> Running {
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Body(body))
    let status = pthread_create(
      &thread, nil,
      { pointer in
        Unmanaged<Body>.fromOpaque(pointer!).takeRetainedValue().run()
        return nil
      }, box.toOpaque())
    precondition(status == 0, "no thread: \(String(cString: strerror(status)))")
    return Running(thread: thread)
  }

  /// Runs a body on a thread of its own, which nobody waits for.
  static func run(_ body: @escaping @Sendable () -> Void) {
    pthread_detach(start(body).thread)
  }

  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }
}
