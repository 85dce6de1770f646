import FoundationEssentials
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix

/// Asks a running node, one connection a request.
public struct ControlClient: NodeControl {
  /// The largest answer that is read.
  public static let answerBytesMax = 16 << 20

  private let path: String
  private let patience: TimeAmount

  /// A client of the socket at `path`. Requests that the node answers from memory are given up
  /// after `patience`; replays and exports take as long as they take.
  ///
  /// Throws ``ControlError`` for a path that no socket can have.
  public init(path: String, patience: Duration = .seconds(30)) throws(ControlError) {
    try ControlServer.check(path)
    self.path = path
    self.patience = TimeAmount(patience)
  }

  /// Whether somebody answers there.
  public func isReachable() async throws -> Bool {
    do {
      let channel = try await connect { _ in }
      try? await channel.close()
      return true
    } catch let error as ControlError where error.kind == .notRunning {
      return false
    }
  }

  public func status() async throws -> StatusPage { try await get("status") }
  public func peers() async throws -> PeersPage { try await get("peers") }
  public func pending() async throws -> PendingPage { try await get("pending") }
  public func roster() async throws -> RosterPage { try await get("roster") }
  public func log(limit: Int, entries: Bool, rounds: RoundSpan = RoundSpan()) async throws
    -> LogPage
  {
    try await get("log?limit=\(limit)&entries=\(entries)\(rounds.query)")
  }
  public func blame(_ rounds: RoundSpan) async throws -> BlamePage {
    try await get("blame?\(rounds.query.dropFirst())")
  }
  public func show(_ id: String) async throws -> EntryPage {
    try await get("show/\(try ShownID.check(id))")
  }
  public func export(_ request: ExportRequest) async throws -> ExportPage {
    try await post("export", request, patience: nil)
  }
  public func verify(_ request: VerifyRequest) async throws -> VerifyPage {
    try await post("verify", request, patience: nil)
  }
  public func invite(_ request: InviteRequest) async throws -> InvitePage {
    try await post("invite", request, patience: patience)
  }
  public func approve(_ request: ApproveRequest) async throws -> ApprovePage {
    try await post("approve", request, patience: patience)
  }
  public func decline(_ request: DeclineRequest) async throws -> DeclinePage {
    try await post("decline", request, patience: patience)
  }
  public func propose(_ request: ProposeRequest) async throws -> ApprovePage {
    try await post("propose", request, patience: patience)
  }
  public func bundle(_ request: BundleRequest) async throws -> BundlePage {
    try await post("bundle", request, patience: nil)
  }
  public func rotateKey(_ request: RotateKeyRequest) async throws -> ApprovePage {
    try await post("rotate-key", request, patience: patience)
  }

  // MARK: HTTP

  private func get<Answer: Page>(_ address: String) async throws -> Answer {
    try await ask(.GET, address, Data(), patience)
  }

  private func post<Body: Encodable, Answer: Page>(
    _ address: String, _ body: Body, patience: TimeAmount?
  ) async throws -> Answer {
    try await ask(.POST, address, try PageCoding.encoder().encode(body), patience)
  }

  private func ask<Answer: Page>(
    _ method: HTTPMethod, _ address: String, _ body: Data, _ patience: TimeAmount?
  ) async throws -> Answer {
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    let promise = loop.makePromise(of: RawAnswer.self)
    var head = HTTPRequestHead(version: .http1_1, method: method, uri: "/v1/" + address)
    head.headers.add(name: "host", value: "hanse")
    head.headers.add(name: "connection", value: "close")
    head.headers.add(name: "content-length", value: "\(body.count)")
    let request = head
    let content = ByteBuffer(bytes: body)
    let channel: any Channel
    do {
      channel = try await connect(on: loop) { channel in
        try channel.pipeline.syncOperations.addHTTPClientHandlers()
        try channel.pipeline.syncOperations.addHandler(
          AnswerHandler(request: request, body: content, promise: promise, patience: patience))
      }
    } catch {
      promise.fail(error)
      throw error
    }
    defer { channel.close(promise: nil) }
    let answer = try await promise.futureResult.get()
    let data = Data(answer.body.readableBytesView)
    if answer.status == .ok { return try PageCoding.decode(Answer.self, from: data) }
    if let error = try? PageCoding.decoder().decode(ControlError.self, from: data) { throw error }
    throw ControlError(
      .failed, "\(path): the daemon answered \(answer.status.code)",
      hint: "its log says more; use hanse and hansed of the same release")
  }

  private func connect(
    on loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.any(),
    _ prepare: @escaping @Sendable (any Channel) throws -> Void
  ) async throws -> any Channel {
    do {
      return try await ClientBootstrap(group: loop)
        .connectTimeout(.seconds(5))
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture { try prepare(channel) }
        }
        .connect(unixDomainSocketPath: path).get()
    } catch let error as IOError where error.errnoCode == EACCES || error.errnoCode == EPERM {
      throw ControlError(
        .refused, "\(path): this user may not talk to the daemon",
        hint: "run as the daemon's user, or join its group if the socket's mode allows it")
    } catch {
      throw ControlError(
        .notRunning, "the daemon is not running (nobody answers at \(path))",
        hint: "start it with `hansed --home DIR`, or `systemctl start hansed`")
    }
  }
}

private struct RawAnswer: Sendable {
  var status: HTTPResponseStatus
  var body: ByteBuffer
}

/// Sends one request and gathers one answer, bounded in bytes and time.
private final class AnswerHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart

  private let request: HTTPRequestHead
  private let body: ByteBuffer
  private let promise: EventLoopPromise<RawAnswer>
  private let patience: TimeAmount?
  private var status: HTTPResponseStatus?
  private var content = ByteBuffer()
  private var isDone = false
  private var alarm: Scheduled<Void>?

  init(
    request: HTTPRequestHead, body: ByteBuffer, promise: EventLoopPromise<RawAnswer>,
    patience: TimeAmount?
  ) {
    self.request = request
    self.body = body
    self.promise = promise
    self.patience = patience
  }

  func channelActive(context: ChannelHandlerContext) {
    context.write(wrapOutboundOut(.head(request)), promise: nil)
    context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    guard let patience else { return }
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
    alarm = context.eventLoop.scheduleTask(in: patience) {
      handler.value.fail(
        ControlError(
          .failed, "the daemon gave no answer in \(patience.nanoseconds / 1_000_000_000) s",
          hint: "it may be busy; try again, or look at its log"), bound.value)
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): status = head.status
    case .body(var part):
      guard content.readableBytes + part.readableBytes <= ControlClient.answerBytesMax else {
        return fail(
          ControlError(
            .failed, "the daemon's answer is larger than \(ControlClient.answerBytesMax) bytes",
            hint: "ask for less, for example with --limit"), context)
      }
      content.writeBuffer(&part)
    case .end:
      guard let status else { return }
      finish(.success(RawAnswer(status: status, body: content)), context)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    fail(ControlError(.failed, "talking to the daemon failed: \(error)"), context)
  }

  func channelInactive(context: ChannelHandlerContext) {
    fail(
      ControlError(
        .failed, "the daemon closed the connection before it answered",
        hint: "it may have just stopped; its log says more"), context)
  }

  private func fail(_ error: ControlError, _ context: ChannelHandlerContext) {
    finish(.failure(error), context)
  }

  private func finish(_ result: Result<RawAnswer, any Error>, _ context: ChannelHandlerContext) {
    if isDone { return }
    isDone = true
    alarm?.cancel()
    promise.completeWith(result)
    context.close(promise: nil)
  }
}
