import FoundationEssentials
import NIOHTTP1

/// Which request goes to which question, apart from any socket.
package struct ControlRoutes: Sendable {
  /// A status and a JSON body.
  package struct Answer: Sendable {
    package var status: HTTPResponseStatus
    package var body: Data
  }

  let node: any NodeControl

  package init(node: any NodeControl) { self.node = node }

  /// Answers any request; whatever goes wrong is an answer too.
  package func answer(_ method: HTTPMethod, _ uri: String, _ body: Data) async -> Answer {
    do {
      return Answer(status: .ok, body: try await page(method, Target(uri), body))
    } catch {
      return Self.failure(ControlError(error))
    }
  }

  /// An error as an answer.
  static func failure(_ error: ControlError) -> Answer {
    let status: HTTPResponseStatus =
      switch error.kind {
      case .failed: .internalServerError
      case .wrongUse: .badRequest
      case .notFound: .notFound
      case .refused: .forbidden
      case .notRunning: .serviceUnavailable
      }
    return Answer(status: status, body: (try? PageCoding.encoder().encode(error)) ?? Data())
  }

  private func page(_ method: HTTPMethod, _ target: Target, _ body: Data) async throws -> Data {
    switch (method, target.path.first ?? "", target.path.count) {
    case (.GET, "status", 1): return try PageCoding.encode(try await node.status())
    case (.GET, "peers", 1): return try PageCoding.encode(try await node.peers())
    case (.GET, "pending", 1): return try PageCoding.encode(try await node.pending())
    case (.GET, "roster", 1): return try PageCoding.encode(try await node.roster())
    case (.GET, "log", 1): return try PageCoding.encode(try await log(target))
    case (.GET, "blame", 1):
      return try PageCoding.encode(try await node.blame(try Self.rounds(target)))
    case (.GET, "show", 2):
      return try PageCoding.encode(try await node.show(try ShownID.check(target.path[1])))
    case (.POST, "export", 1): return try await act(body) { try await node.export($0) }
    case (.POST, "verify", 1): return try await act(body) { try await node.verify($0) }
    case (.POST, "invite", 1): return try await act(body) { try await node.invite($0) }
    case (.POST, "approve", 1): return try await act(body) { try await node.approve($0) }
    case (.POST, "decline", 1): return try await act(body) { try await node.decline($0) }
    case (.POST, "propose", 1): return try await act(body) { try await node.propose($0) }
    case (.POST, "bundle", 1): return try await act(body) { try await node.bundle($0) }
    case (.POST, "rotate-key", 1): return try await act(body) { try await node.rotateKey($0) }
    default:
      throw ControlError(
        .notFound,
        "\(PlainText.escape(method.rawValue, limit: 20)) "
          + "\(PlainText.escape(target.uri, limit: 80)): this daemon knows no such request",
        hint: "use hanse and hansed of the same release")
    }
  }

  private func log(_ target: Target) async throws -> LogPage {
    let limit = target.query["limit"].flatMap { Int($0) } ?? 20
    guard (1...100_000).contains(limit) else {
      throw ControlError(.wrongUse, "limit is \(limit), not 1 to 100000")
    }
    return try await node.log(
      limit: limit, entries: target.query["entries"] == "true", rounds: try Self.rounds(target))
  }

  private static func rounds(_ target: Target) throws(ControlError) -> RoundSpan {
    func round(_ name: String) throws(ControlError) -> Int? {
      guard let text = target.query[name] else { return nil }
      guard let round = Int(text) else {
        throw ControlError(
          .wrongUse, "\(name) is \(PlainText.escape(text, limit: 40)), not a round")
      }
      return round
    }
    let rounds = RoundSpan(since: try round("since"), until: try round("until"))
    try rounds.check()
    return rounds
  }

  private func act<Request: Decodable, Content: Page>(
    _ body: Data, _ action: (Request) async throws -> Content
  ) async throws -> Data {
    let request: Request
    do {
      request = try PageCoding.decoder().decode(Request.self, from: body)
    } catch {
      throw ControlError(.wrongUse, "the request is not what this address takes: \(error)")
    }
    return try PageCoding.encode(try await action(request))
  }

  /// `/v1/show/abcd?x=y` in parts. Nothing is percent-decoded, since no request needs it.
  private struct Target {
    let uri: String
    /// What follows `/v1/`; empty for other addresses.
    let path: [String]
    let query: [String: String]

    init(_ uri: String) {
      self.uri = uri
      let halves = uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
      let parts = halves[0].split(separator: "/", omittingEmptySubsequences: false)
      path =
        parts.count > 2 && parts[0].isEmpty && parts[1] == "v1"
        ? parts.dropFirst(2).map(String.init) : []
      var query: [String: String] = [:]
      for pair in halves.count > 1 ? halves[1].split(separator: "&") : [] {
        let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
          .map(String.init)
        query[sides[0]] = sides.count > 1 ? sides[1] : ""
      }
      self.query = query
    }
  }
}

/// What may be asked for with `show`: ids in base32, or a beginning of one.
public enum ShownID {
  /// The shortest beginning of an id that is looked up.
  public static let shortest = 4

  /// The id in lower case. Throws ``ControlError`` for text that is the beginning of no id.
  public static func check(_ text: String) throws(ControlError) -> String {
    let id = text.lowercased()
    let allowed = id.utf8.allSatisfy { ($0 >= 97 && $0 <= 122) || ($0 >= 50 && $0 <= 55) }
    guard allowed, (shortest...52).contains(id.utf8.count) else {
      throw ControlError(
        .wrongUse, "\(PlainText.escape(text, limit: 60)) is not an id",
        hint: "ids have 52 characters a-z and 2-7; \(shortest) are enough when they are unique")
    }
    return id
  }
}
