import Control
import Foundation
import Glibc
import Identities
import Storage
import Synchronization
import Testing
import TinyModels

/// A few labs on the loopback interface: real homes, real daemons, a tiny model.
///
/// Everything blocks; tests call it through ``offPool(_:)``. What it started ends with it.
final class LocalFederation {
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  let folder: String
  private(set) var labs: [String]
  /// What the founder's charter says beside the usual.
  private let rules: [String]
  private(set) var daemons: [String: Process] = [:]

  /// Makes the homes and enrols every lab; the daemons run when it returns.
  init(labs: [String] = ["de", "fr", "es"], rules: [String] = []) throws {
    self.labs = labs
    self.rules = rules
    var template = Array("/tmp/hanse-labs-XXXXXX".utf8CString)
    folder = String(cString: mkdtemp(&template))
    try TinyModel.write(to: folder + "/model")
    for (index, lab) in labs.enumerated() { try enrol(lab, index) }
  }

  /// Two labs of which the second joined and neither can reach the other from then on: nobody
  /// listens, and what the ticket said of the first leads nowhere any more.
  init(apart labs: [String]) throws {
    self.labs = labs
    rules = []
    var template = Array("/tmp/hanse-labs-XXXXXX".utf8CString)
    folder = String(cString: mkdtemp(&template))
    try TinyModel.write(to: folder + "/model")
    try enrol(labs[0], 0, toBegin: 2)
    try join(labs[1], 1)
    try wait("the first has admitted the second") {
      try hanse(["approve", labs[1], "--yes", "--home", home(labs[0]).path]).code == 0
    }
    try stop(labs[0])
    for lab in labs {
      let path = home(lab).configuration
      let settings = try String(contentsOfFile: path, encoding: .utf8)
      try settings.split(separator: "\n", omittingEmptySubsequences: false)
        .filter { !$0.hasPrefix("listen") && !$0.hasPrefix("contacts") }
        .joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
      try start(lab)
    }
  }

  deinit {
    for lab in labs { _ = try? stop(lab, with: SIGKILL) }
    if ProcessInfo.processInfo.environment["HANSE_KEEP_LABS"] == nil {
      try? FileManager.default.removeItem(atPath: folder)
    }
  }

  /// A lab's home.
  func home(_ lab: String) -> HomeLayout { HomeLayout(folder + "/" + lab) }

  /// Has one more lab join, and starts it when it has been approved.
  func add(_ lab: String, _ options: [String] = []) throws {
    labs.append(lab)
    try enrol(lab, labs.count - 1, options: options)
  }

  /// What a lab brings along.
  func own(_ lab: String, _ index: Int) throws -> [String] {
    let text = "\(folder)/\(lab).jsonl"
    try Data(Self.text(of: index).utf8).write(to: URL(filePath: text))
    return [
      "--home", home(lab).path, "--name", lab, "--model", folder + "/model", "--data", text,
      "--listen", "127.0.0.1:\(try Self.freePort())",
    ]
  }

  private func join(_ lab: String, _ index: Int, _ options: [String] = []) throws {
    let ticket = try succeed(["invite", "--home", home(labs[0]).path]).output
    try succeed(
      ["join", ticket.trimmingCharacters(in: .whitespacesAndNewlines)] + own(lab, index) + options)
  }

  private func enrol(
    _ lab: String, _ index: Int, toBegin: Int? = nil, options: [String] = []
  ) throws {
    if index == 0 {
      try succeed(
        ["init", "--federation", "labs", "--labs-to-begin", "\(toBegin ?? labs.count)"]
          + ["--rank", "4", "--alpha", "8", "--local-steps", "3", "--batch", "2", "--length", "32"]
          + ["--grace", "2", "--learning-rate", "0.01", "--tolerance", "0.5"] + rules
          + own(lab, index))
      try start(lab)
      try requireRunning(lab)
      return
    }
    try join(lab, index, options)
    try start(lab)
    try requireRunning(lab)
    for member in labs[..<index] {
      try wait("\(member) has the request of \(lab), or its admission") {
        // Enough approvals admit: those who come later find nothing to approve.
        let admitted = try page(RosterPage.self, member, "roster").labs.map(\.lab.name)
        if admitted.contains(lab) { return true }
        return try hanse(["approve", lab, "--yes", "--home", home(member).path]).code == 0
      }
    }
    try wait("everybody knows \(lab)") {
      try labs[...index].allSatisfy {
        try page(RosterPage.self, $0, "roster").labs.map(\.lab.name).contains(lab)
      }
    }
  }

  /// A lab's id.
  func lab(_ name: String) throws -> LabID {
    let roster = try page(RosterPage.self, labs.first { daemons[$0] != nil } ?? name, "roster")
    guard let found = roster.labs.first(where: { $0.lab.name == name }),
      let id = LabID(text: found.lab.id)
    else { throw Failure(description: "\(name) is not on the roster") }
    return id
  }

  // MARK: daemons

  /// Starts a lab's daemon and waits until it answers.
  func start(_ lab: String, until round: Int? = nil) throws {
    let process = Process()
    process.executableURL = Command.products.appending(path: "hansed")
    process.arguments =
      ["--home", home(lab).path] + (round.map { ["--stop-after-round", "\($0)"] } ?? [])
    let log = folder + "/\(lab).log"
    if !FileManager.default.fileExists(atPath: log) { try Data().write(to: URL(filePath: log)) }
    let file = try FileHandle(forWritingTo: URL(filePath: log))
    try file.seekToEnd()
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = file
    process.standardError = file
    try process.run()
    daemons[lab] = process
    try wait("the daemon of \(lab) answers") {
      guard process.isRunning else { return true }
      // The store answers for a daemon that does not yet, and says that none is running.
      guard let page = try? page(StatusPage.self, lab, "status") else { return false }
      return page.activity != .stopped
    }
  }

  private func requireRunning(_ lab: String) throws {
    guard daemons[lab]?.isRunning != true else { return }
    throw Failure(description: "the daemon of \(lab) ended as soon as it was started\n\(ends())")
  }

  /// Ends a lab's daemon with a signal and waits for it; gives its exit status, and the workers
  /// that it had.
  @discardableResult
  func stop(_ lab: String, with signal: Int32 = SIGTERM) throws -> Int32 {
    guard let process = daemons.removeValue(forKey: lab) else { return 0 }
    if process.isRunning { kill(process.processIdentifier, signal) }
    process.waitUntilExit()
    return process.terminationStatus
  }

  /// Process ids of a daemon's children.
  func workers(of lab: String) -> [Int32] {
    guard let parent = daemons[lab]?.processIdentifier else { return [] }
    let children = "/proc/\(parent)/task/\(parent)/children"
    let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(parent)/task")) ?? []
    let lists = all.map { "/proc/\(parent)/task/\($0)/children" } + [children]
    let ids = lists.flatMap { path in
      ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").split(separator: " ")
        .compactMap { Int32($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
    }
    return Array(Set(ids))
  }

  // MARK: asking

  /// Runs `hanse`.
  func hanse(_ arguments: [String]) throws -> Command.Result {
    try Command.run("hanse", arguments)
  }

  /// Runs `hanse`, which must end with 0.
  @discardableResult
  func succeed(_ arguments: [String]) throws -> Command.Result {
    let result = try hanse(arguments)
    guard result.code == 0 else {
      throw Failure(
        description: "hanse \(arguments.joined(separator: " ")) ended with \(result.code): "
          + result.errors + result.output)
    }
    return result
  }

  /// A page of a lab, as `hanse VERB --json` prints it.
  func page<Content: Page>(
    _ type: Content.Type, _ lab: String, _ verb: String, _ more: String...
  ) throws -> Content {
    let result = try succeed([verb, "--home", home(lab).path, "--json"] + more)
    return try PageCoding.decode(type, from: Data(result.output.utf8))
  }

  /// A lab's head. Asked again for a while: on a busy machine a daemon may be late to answer.
  func head(_ lab: String) throws -> MergeHead {
    for _ in 0..<20 {
      if let page = try? page(StatusPage.self, lab, "status") { return page.head }
      usleep(100_000)
    }
    return try page(StatusPage.self, lab, "status").head
  }

  /// Waits until every lab's head is of this round or later, and all are the same, or all have
  /// attested one root of one merge that is.
  ///
  /// While rounds of a second go on, heads that are asked for one after the other need never be the
  /// same although all labs stand on each of them in turn.
  @discardableResult
  func waitForOneHead(from round: Int, seconds: Double = 120) throws -> MergeHead {
    var heads: [MergeHead] = []
    do {
      try wait("one head of round \(round) or later", seconds: seconds) {
        heads = try labs.map(head)
        guard heads.allSatisfy({ $0.round >= round }) else { return false }
        if Set(heads.map { [$0.id, $0.stateRoot] }).count == 1 { return true }
        guard let common = try mergeThatAllAttest(from: round) else { return false }
        heads = [common]
        return true
      }
    } catch {
      throw Failure(description: "\(error)\nheads: \(heads)\n\(ends())")
    }
    return heads[0]
  }

  /// A merge of this round or later of which all labs have attested one root, as the first sees it.
  private func mergeThatAllAttest(from round: Int) throws -> MergeHead? {
    let merges = try page(LogPage.self, labs[0], "log").merges
    let common = merges.first { $0.round >= round && Set($0.attestedBy).isSuperset(of: labs) }
    return common.map {
      MergeHead(id: $0.id, round: $0.round, stateRoot: $0.stateRoot, sealed: $0.sealed)
    }
  }

  /// Waits until something holds.
  func wait(_ what: String, seconds: Double = 60, until holds: () throws -> Bool) throws {
    let end = Date(timeIntervalSinceNow: seconds)
    while try !holds() {
      guard Date() < end else { throw Failure(description: "not within \(seconds) s: \(what)") }
      usleep(50_000)
    }
  }

  /// The last lines that each daemon said.
  func ends() -> String {
    labs.map { lab in
      let log = (try? String(contentsOfFile: folder + "/\(lab).log", encoding: .utf8)) ?? ""
      return "── \(lab)\n" + log.split(separator: "\n").suffix(12).joined(separator: "\n")
    }.joined(separator: "\n")
  }

  /// Every entry in a lab's store, by author and place: `id` for each.
  func entries(_ lab: String) throws -> [EntryPlace: ContentID] {
    let store = try Store(home: home(lab), readOnly: true)
    defer { try? store.close() }
    return Dictionary(
      uniqueKeysWithValues: try store.allEntries().map {
        (EntryPlace(lab: $0.lab, sequence: $0.sequence), $0.id)
      })
  }

  /// A place in a log.
  struct EntryPlace: Hashable {
    let lab: LabID
    let sequence: UInt64
  }

  // MARK: material

  /// Ports from here on are given out in turn. The system gives ports of its own choice from 32768
  /// on, and could give one of those to somebody else before the daemon listens on it.
  private static let nextPort = Mutex(Int.random(in: 16_000..<24_000))

  private static func freePort() throws -> Int {
    try nextPort.withLock { next in
      while next < 32_000 {
        defer { next += 1 }
        if isFree(UInt16(next)) { return next }
      }
      throw Failure(description: "no port is free")
    }
  }

  private static func isFree(_ port: UInt16) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
  }

  /// Forty documents in a language of a few words; each lab has words of its own.
  private static func text(of index: Int) -> String {
    let words = [
      ["hafen", "schiff", "salz", "brief", "kontor", "norden", "hering", "und"],
      ["port", "navire", "sel", "lettre", "comptoir", "nord", "hareng", "et"],
      ["puerto", "barco", "sal", "carta", "norte", "arenque", "mercado", "y"],
    ][index % 3]
    var state = UInt32(index + 1)
    return (0..<40).map { _ in
      let line = (0..<40).map { _ in
        state = state &* 1_664_525 &+ 1_013_904_223
        return words[Int(state >> 16) % words.count]
      }
      return "{\"text\": \"\(line.joined(separator: " "))\"}\n"
    }.joined()
  }
}

/// Runs what blocks on a thread of its own, so that it holds none of those that other tests need.
func offPool<Result: Sendable>(_ body: @Sendable () async throws -> Result) async throws -> Result {
  try await withTaskExecutorPreference(OwnThreads(), operation: body)
}

/// Runs every job on a new thread.
private final class OwnThreads: TaskExecutor {
  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    Thread.detachNewThread { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}
