import ArgumentParser
import Dispatch
import FoundationEssentials
import Glibc
import Identities
import Node
import Training

/// `hanse bench transfer`: a payload from one daemon's disk to another's.
struct BenchTransfer: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "transfer",
    abstract: "Time a payload on its way between two processes on this machine.",
    discussion: """
      Two processes with the daemon's own network, gossip and storage, over TLS on the loopback \
      interface. The time is from asking for a payload until it is durable under its name: every \
      block is hashed on both sides, and the disk has said that it is written. Between two times \
      it is removed where it was fetched. Peak memory is that of the hungrier process.

      EXAMPLE
        $ hanse bench transfer --size 100 --directory /var/tmp

      EXIT CODES
        0 done, 1 failed, 2 wrong use
      """)

  @Option(help: ArgumentHelp("MiB of the payload.", valueName: "n"))
  var size = 100

  @Option(help: ArgumentHelp("Times that it is fetched; the median counts.", valueName: "n"))
  var repeats = 5

  @Option(help: ArgumentHelp("Where both keep what they hold meanwhile.", valueName: "path"))
  var directory = "/var/tmp"

  @Flag(help: "Print one JSON object (version 1, see Protocol/Control.md).")
  var json = false

  /// The folder of the process that serves: what this very command starts.
  @Option(help: .hidden)
  var serve: String?

  private struct Report: Encodable {
    let bytes: Int
    let seconds: [Double]
    let medianSeconds: Double
    let bytesPerSecond: Double
    let receivedOverIdeal: Double
    let peakResidentBytes: Int
    let peakResidentBytesServing: Int

    enum CodingKeys: String, CodingKey {
      case bytes, seconds
      case medianSeconds = "median_seconds"
      case bytesPerSecond = "bytes_per_second"
      case receivedOverIdeal = "received_over_ideal"
      case peakResidentBytes = "peak_rss_bytes"
      case peakResidentBytesServing = "peak_rss_bytes_serving"
    }
  }

  func validate() throws {
    guard (1...1024).contains(size) else { throw ValidationError("--size is 1 to 1024 MiB") }
    guard (1...100).contains(repeats) else { throw ValidationError("--repeats is 1 to 100") }
  }

  func run() async throws {
    if let serve { return try await serveOthers(serve) }
    var template = Array("\(directory)/hanse-bench-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw ValidationError(
        "\(directory) cannot be written to: \(String(cString: strerror(errno)))")
    }
    let folder = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let report = try await measure(folder)
    if json { try Speech.sayLine(report) } else { Speech.say(Self.lines(report)) }
  }

  // MARK: - The process that fetches

  private func measure(_ folder: String) async throws -> Report {
    let server = try ServingProcess(
      ["--serve", "\(folder)/a", "--size", "\(size)"])
    defer { server.end() }
    let key = SigningKey.generate()
    server.say(key.publicKey.description)
    guard let words = server.hear()?.split(separator: " ").map(String.init),
      words.count == 3, let bytes = Base32.decode(words[0]),
      let other = PublicKey(bytes: bytes), let object = ContentID(text: words[2])
    else { throw ValidationError("the serving process ended before it listened") }
    let end = try TransferEnd("\(folder)/b", key: key, other: other, listens: false)
    _ = try await end.listen()
    let running = Task { await end.run(address: words[1]) }
    defer { running.cancel() }
    guard await end.isConnected(within: 20) else {
      throw ValidationError("the two processes did not find each other")
    }
    forgetPeak()
    var seconds: [Double] = []
    let clock = ContinuousClock()
    for time in 1...repeats {
      if time > 1 { try await end.forget(object) }
      let start = clock.now
      try await end.fetch(object)
      seconds.append((clock.now - start) / .seconds(1))
      Speech.note("payload \(time) of \(repeats): \(fixed(seconds.last ?? 0, 3)) s")
    }
    let received = await end.receivedBytes
    server.finish()
    let median = seconds.sorted()[seconds.count / 2]
    return Report(
      bytes: size << 20, seconds: seconds, medianSeconds: median,
      bytesPerSecond: Double(size << 20) / median,
      receivedOverIdeal: Double(received) / Double(repeats * size << 20),
      peakResidentBytes: peakResidentBytes(),
      peakResidentBytesServing: server.hear().flatMap { Int($0) } ?? 0)
  }

  private static func lines(_ report: Report) -> [String] {
    let most = max(report.peakResidentBytes, report.peakResidentBytesServing)
    return [
      "median   \(fixed(report.medianSeconds, 3)) s for \(report.bytes >> 20) MiB, "
        + "\(fixed(report.bytesPerSecond * 1e-6, 0)) MB/s, durable",
      "memory   \(most >> 20) MiB at most (\(report.peakResidentBytes >> 20) fetching, "
        + "\(report.peakResidentBytesServing >> 20) serving)",
      "received \(fixed(report.receivedOverIdeal, 4)) times what was asked for",
    ]
  }

  // MARK: - The process that serves

  private func serveOthers(_ path: String) async throws {
    guard let line = readLine(), let bytes = Base32.decode(line),
      let other = PublicKey(bytes: bytes)
    else { throw ValidationError("--serve is for hanse bench transfer itself") }
    let key = SigningKey.generate()
    let end = try TransferEnd(path, key: key, other: other, listens: true)
    let object = try await end.make(byteCount: size << 20, seed: 1)
    let address = try await end.listen() ?? ""
    forgetPeak()
    let running = Task { await end.run(address: nil) }
    Speech.say(["\(key.publicKey) \(address) \(object)"])
    // Until the other process is done, or dead.
    await withCheckedContinuation { continuation in
      DispatchQueue.global().async {
        _ = readLine()
        continuation.resume()
      }
    }
    running.cancel()
    Speech.say(["\(peakResidentBytes())"])
  }

  /// What was prepared does not count: the highest mark of memory begins anew.
  private func forgetPeak() {
    let descriptor = open("/proc/self/clear_refs", O_WRONLY)
    guard descriptor >= 0 else { return }
    _ = write(descriptor, "5", 1)
    close(descriptor)
  }
}

/// This program again, as the process that serves, spoken to in lines.
private final class ServingProcess {
  private let process: pid_t
  private var input: Int32
  private let output: UnsafeMutablePointer<FILE>

  init(_ arguments: [String]) throws {
    var toChild: [Int32] = [0, 0]
    var fromChild: [Int32] = [0, 0]
    guard pipe(&toChild) == 0, pipe(&fromChild) == 0 else {
      throw ValidationError("no pipe: \(String(cString: strerror(errno)))")
    }
    // A copy of its own input in the child would keep it from ever ending.
    for end in toChild + fromChild { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, toChild[0], STDIN_FILENO)
    posix_spawn_file_actions_adddup2(&actions, fromChild[1], STDOUT_FILENO)
    var words = (["hanse", "bench", "transfer"] + arguments).map { strdup($0) } + [nil]
    var variables =
      ProcessInfo.processInfo.environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for text in words + variables { free(text) } }
    var process = pid_t()
    let status = posix_spawn(&process, "/proc/self/exe", &actions, nil, &words, &variables)
    close(toChild[0])
    close(fromChild[1])
    guard status == 0, let output = fdopen(fromChild[0], "r") else {
      throw ValidationError("cannot start itself: \(String(cString: strerror(status)))")
    }
    self.process = process
    self.output = output
    input = toChild[1]
  }

  func say(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(input, bytes, bytes.count)
  }

  func hear() -> String? {
    var line: UnsafeMutablePointer<CChar>?
    var size = 0
    defer { free(line) }
    guard getline(&line, &size, output) > 0, let line else { return nil }
    return String(String(cString: line).dropLast())
  }

  /// Closes its input, which ends it.
  func finish() {
    if input >= 0 { close(input) }
    input = -1
  }

  func end() {
    finish()
    fclose(output)
    waitpid(process, nil, 0)
  }
}
