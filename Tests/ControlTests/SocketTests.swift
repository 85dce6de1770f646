import Control
import FoundationEssentials
import Glibc
import Logging
import Synchronization
import Testing

/// A running server in a folder of its own.
private struct Running {
  let folder: String
  let path: String
  let node: FakeNode
  let server: ControlServer
  let task: Task<Void, any Error>

  init(delay: Duration = .zero, mode: UInt32 = 0o600) async throws {
    var template = Array("/tmp/hanse-control-XXXXXX".utf8CString)
    folder = String(cString: mkdtemp(&template))
    path = folder + "/control.sock"
    node = FakeNode(delay: delay)
    let server = try ControlServer(
      node: node, path: path, mode: mode, logger: Logger(label: "test"))
    self.server = server
    task = Task { try await server.run() }
    while access(path, F_OK) != 0 { try await Task.sleep(for: .milliseconds(2)) }
  }

  func stop() async throws {
    server.stop()
    try await task.value
    #expect(access(path, F_OK) != 0, "the socket's file goes away")
    try FileManager.default.removeItem(atPath: folder)
  }
}

@Suite(.serialized) struct SocketTests {
  @Test func everyRequestReachesTheNodeAndComesBack() async throws {
    let running = try await Running()
    let client = try ControlClient(path: running.path)
    #expect(try await client.isReachable())
    #expect(try await client.status() == Samples.status)
    #expect(try await client.peers() == Samples.peers)
    #expect(try await client.pending() == Samples.pending)
    #expect(try await client.roster() == Samples.roster)
    let rounds = RoundSpan(since: 3, until: 9)
    #expect(try await client.log(limit: 7, entries: true, rounds: rounds) == Samples.log)
    #expect(try await client.blame(rounds) == Samples.blame)
    #expect(try await client.blame(RoundSpan()) == Samples.blame)
    #expect(try await client.show("abcd") == Samples.shown)
    #expect(try await client.export(ExportRequest()) == Samples.export)
    #expect(try await client.verify(VerifyRequest(fromSeal: true)) == Samples.verify)
    let invite = try await client.invite(InviteRequest(expiresInSeconds: 60, uses: 3))
    #expect(invite.uses == 3)
    let request = ProposeRequest(change: .recallLab, subjects: ["bremen"], sinceRound: 4)
    #expect(try await client.propose(request).message == "proposed")
    #expect(
      running.node.asked.withLock { $0 } == [
        "status", "log 7 true 3 9", "blame 3 9", "blame - -", "show abcd", "invite 60 3",
        "propose recall-lab [\"bremen\"]",
      ])
    try await running.stop()
  }

  @Test func refusalsComeBackWithTheirKindAndHint() async throws {
    let running = try await Running()
    let client = try ControlClient(path: running.path)
    let missing = await #expect(throws: ControlError.self) { try await client.show("zzzz") }
    #expect(
      missing
        == ControlError(.notFound, "no entry begins with zzzz", hint: "`hanse log` lists them"))
    let refused = await #expect(throws: ControlError.self) {
      try await client.approve(ApproveRequest(subject: "x"))
    }
    #expect(refused?.kind == .refused)
    for id in ["abc", "ab/..", "../../etc", "0000", String(repeating: "a", count: 53)] {
      let wrong = await #expect(throws: ControlError.self) { try await client.show(id) }
      #expect(wrong?.kind == .wrongUse, "\(id)")
    }
    let limit = await #expect(throws: ControlError.self) {
      try await client.log(limit: 0, entries: false)
    }
    #expect(limit?.kind == .wrongUse)
    for rounds in [RoundSpan(since: -1), RoundSpan(since: 9, until: 3), RoundSpan(until: 1 << 40)] {
      let wrong = await #expect(throws: ControlError.self) { try await client.blame(rounds) }
      #expect(wrong?.kind == .wrongUse, "\(rounds)")
    }
    try await running.stop()
  }

  @Test func theSocketIsForItsOwner() async throws {
    let running = try await Running()
    var status = stat()
    stat(running.path, &status)
    #expect(status.st_mode & 0o777 == 0o600)
    try await running.stop()
    let shared = try await Running(mode: 0o660)
    stat(shared.path, &status)
    #expect(status.st_mode & 0o777 == 0o660)
    try await shared.stop()
  }

  @Test func nobodyAtTheSocketIsSaidSo() async throws {
    let client = try ControlClient(path: "/tmp/hanse-no-such-socket")
    #expect(try await client.isReachable() == false)
    let error = await #expect(throws: ControlError.self) { try await client.status() }
    #expect(error?.kind == .notRunning)
    #expect(error?.hint?.contains("hansed") == true)
  }

  @Test func aSocketLeftByACrashIsReplaced() async throws {
    let running = try await Running()
    try await running.stop()
    try FileManager.default.createDirectory(
      atPath: running.folder, withIntermediateDirectories: true)
    // What is left when a daemon is killed: a socket's file with nobody behind it.
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(running.path.utf8)) }
    _ = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    close(descriptor)
    let client = try ControlClient(path: running.path)
    #expect(try await client.isReachable() == false)
    let server = try ControlServer(
      node: FakeNode(), path: running.path, logger: Logger(label: "test"))
    let task = Task { try await server.run() }
    while try await !client.isReachable() { try await Task.sleep(for: .milliseconds(2)) }
    #expect(try await client.status() == Samples.status)
    server.stop()
    try await task.value
    try FileManager.default.removeItem(atPath: running.folder)
  }

  @Test func aPathThatIsTooLongIsRefusedWithTheMend() {
    let path = "/tmp/" + String(repeating: "a", count: 96)
    let error = #expect(throws: ControlError.self) { try ControlClient(path: path) }
    #expect(error?.kind == .wrongUse)
    #expect(error?.hint?.contains("shorter") == true)
    #expect(throws: ControlError.self) {
      try ControlServer(node: FakeNode(), path: path, logger: Logger(label: "test"))
    }
  }

  @Test func aNodeThatTakesTooLongIsGivenUp() async throws {
    let running = try await Running(delay: .seconds(2))
    let client = try ControlClient(path: running.path, patience: .milliseconds(100))
    let error = await #expect(throws: ControlError.self) { try await client.status() }
    #expect(error?.message.contains("no answer") == true)
    try await running.stop()
  }

  @Test func stoppingFinishesTheAnswersUnderWay() async throws {
    let running = try await Running(delay: .milliseconds(300))
    let client = try ControlClient(path: running.path)
    let answer = Task { try await client.status() }
    while running.node.asked.withLock({ $0.isEmpty }) {
      try await Task.sleep(for: .milliseconds(2))
    }
    try await running.stop()
    #expect(try await answer.value == Samples.status)
  }

  @Test func rubbishAndHugeRequestsDoNotDisturbOthers() async throws {
    let running = try await Running()
    let client = try ControlClient(path: running.path)
    let long =
      "POST /v1/invite HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\n\r\n"
      + String(repeating: "x", count: 1_000_000)
    for text in [
      "\u{0}\u{1}\u{2}\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", long,
      "GET /v1/status HTTP/1.1\r\nx: " + String(repeating: "y", count: 100_000) + "\r\n\r\n",
      "POST /v1/invite HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\n{{{{", "G",
    ] {
      speak(text, to: running.path)
      #expect(try await client.status() == Samples.status)
    }
    try await running.stop()
  }

  @Test func manyBurstsAndStopsLeaveNothingBehind() async throws {
    for _ in 0..<(getenv("HANSE_TESTS") == nil ? 10 : 200) {
      let running = try await Running()
      let client = try ControlClient(path: running.path)
      await withTaskGroup(of: Void.self) { group in
        for _ in 0..<16 { group.addTask { _ = try? await client.status() } }
        try? await Task.sleep(for: .microseconds(500))
        running.server.stop()
      }
      try await running.task.value
      try FileManager.default.removeItem(atPath: running.folder)
    }
  }

  /// Says something on a bare connection and hangs up.
  private func speak(_ text: String, to path: String) {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    _ = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    let bytes = Array(text.utf8)
    // A server that has heard enough may close first.
    _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
  }
}
