import Control
import Dispatch
import FoundationEssentials
import NIOHTTP1
import Synchronization
import Trainers

// What other programs of this machine say: whoever may open the socket, a daemon to its command
// line, a worker to its daemon.

/// A request: method and address in the first line, then the body. The body is read as a daemon's
/// answer too.
func readControl(_ bytes: [UInt8]) throws {
  let end = bytes.firstIndex(of: 0x0A) ?? bytes.count
  let line = String(decoding: bytes[..<end], as: UTF8.self).split(separator: " ", maxSplits: 1)
  let body = Data(bytes[min(end + 1, bytes.count)...])
  let method = HTTPMethod(rawValue: line.first.map(String.init) ?? "GET")
  guard let made = answer(method, line.count > 1 ? String(line[1]) : "/", body) else {
    throw Fault(text: "no answer")
  }
  try Fault.unless(made.status.code >= 400, "a node that knows nothing said \(made.status)")
  guard let said = try? JSONDecoder().decode(ControlError.self, from: made.body) else {
    throw Fault(text: "an answer that is no error")
  }
  try readPages(body)
  throw said
}

private func answer(_ method: HTTPMethod, _ uri: String, _ body: Data) -> ControlRoutes.Answer? {
  let box = AnswerBox()
  Task.detached {
    let made = await ControlRoutes(node: SilentNode()).answer(method, uri, body)
    box.answer.withLock { $0 = made }
    box.isThere.signal()
  }
  box.isThere.wait()
  return box.answer.withLock { $0 }
}

private final class AnswerBox: Sendable {
  let answer = Mutex<ControlRoutes.Answer?>(nil)
  let isThere = DispatchSemaphore(value: 0)
}

private func readPages(_ body: Data) throws {
  try readPage(StatusPage.self, body)
  try readPage(PeersPage.self, body)
  try readPage(PendingPage.self, body)
  try readPage(RosterPage.self, body)
  try readPage(LogPage.self, body)
  try readPage(EntryPage.self, body)
  try readPage(ExportPage.self, body)
  try readPage(VerifyPage.self, body)
  try readPage(InvitePage.self, body)
  try readPage(ApprovePage.self, body)
  try readPage(DeclinePage.self, body)
}

private func readPage<Content: Page>(_ type: Content.Type, _ body: Data) throws {
  guard let page = try? PageCoding.decode(type, from: body) else { return }
  let written = try PageCoding.encode(page)
  let again = try PageCoding.decode(type, from: written)
  try Fault.unless(PageCoding.encode(again) == written, "a \(type) differs after writing")
  for scalar in try PageCoding.text(page).unicodeScalars where scalar != "\n" {
    try Fault.unless(
      scalar.properties.generalCategory != .control, "a \(type) shows U+\(scalar.value)")
  }
}

/// A node that answers everything with one error.
private struct SilentNode: NodeControl {
  private let error = ControlError(.failed, "silent")

  func status() async throws -> StatusPage { throw error }
  func peers() async throws -> PeersPage { throw error }
  func pending() async throws -> PendingPage { throw error }
  func roster() async throws -> RosterPage { throw error }
  func log(limit: Int, entries: Bool, rounds: RoundSpan) async throws -> LogPage { throw error }
  func blame(_ rounds: RoundSpan) async throws -> BlamePage { throw error }
  func show(_ id: String) async throws -> EntryPage { throw error }
  func export(_ request: ExportRequest) async throws -> ExportPage { throw error }
  func verify(_ request: VerifyRequest) async throws -> VerifyPage { throw error }
  func invite(_ request: InviteRequest) async throws -> InvitePage { throw error }
  func approve(_ request: ApproveRequest) async throws -> ApprovePage { throw error }
  func decline(_ request: DeclineRequest) async throws -> DeclinePage { throw error }
  func rotateKey(_ request: RotateKeyRequest) async throws -> ApprovePage { throw error }
  func bundle(_ request: BundleRequest) async throws -> BundlePage { throw error }
  func propose(_ request: ProposeRequest) async throws -> ApprovePage { throw error }
}

/// A line of the worker's contract, in both directions.
func readWorkerLine(_ bytes: [UInt8]) throws {
  try readLine(WorkerOrder.self, bytes)
  try readLine(WorkerReply.self, bytes)
}

private func readLine<Value: Codable>(_ type: Value.Type, _ bytes: [UInt8]) throws {
  do {
    let written = try WorkerContract.encode(WorkerContract.decode(type, from: bytes))
    try Fault.unless(!written.contains(0x0A), "a \(type) is written on two lines")
    let again = try WorkerContract.encode(WorkerContract.decode(type, from: written))
    try Fault.unless(again == written, "a \(type) differs after writing")
  } catch let error as TrainerError {
    // Both kinds are tried, so one of them refuses; its words are looked at all the same.
    guard Reader.fault(inMessage: "\(error)") == nil else { throw error }
  }
}
