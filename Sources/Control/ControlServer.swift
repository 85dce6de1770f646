import FoundationEssentials
import Glibc
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Answers the command line over a Unix socket in the node's home: HTTP/1.1 and JSON, one request
/// a connection. See Protocol/Control.md.
///
/// Connections are served by plain channel handlers: a server made of async channels traps when it
/// is stopped while connections arrive, and this one is stopped whenever a daemon is.
public final class ControlServer: Sendable {
  /// A socket's path fits into 108 bytes with its zero; the rest is for the name while binding.
  public static let pathBytesMax = 100
  /// The largest request body: requests are a few hundred bytes.
  public static let requestBytesMax = 64 << 10
  /// Connections at a time; the command line opens one per request.
  public static let connectionsMax = 32
  /// How long a request may take to arrive.
  static let arrivalTime = TimeAmount.seconds(20)

  private let routes: ControlRoutes
  private let path: String
  private let mode: UInt32
  private let logger: Logger
  private let connections = Connections()

  /// A server for one node. Mode 0600 lets only the node's user in, 0660 its group as well.
  ///
  /// Throws ``ControlError`` for a path that no socket can have.
  public init(
    node: any NodeControl, path: String, mode: UInt32 = 0o600, logger: Logger
  ) throws(ControlError) {
    try Self.check(path)
    routes = ControlRoutes(node: node)
    self.path = path
    self.mode = mode
    self.logger = logger
  }

  static func check(_ path: String) throws(ControlError) {
    guard path.utf8.count <= pathBytesMax else {
      throw ControlError(
        .wrongUse,
        "\(path): a socket's path may have \(pathBytesMax) bytes, this has \(path.utf8.count)",
        hint: "give a shorter --home, or a short symbolic link to it")
    }
  }

  /// Serves until ``stop()`` is called or the task is cancelled, and until the answers under way
  /// are finished. Throws ``ControlError`` when the socket cannot be made. To be called once.
  public func run() async throws {
    let server = try await listen()
    await withTaskCancellationHandler {
      try? await server.closeFuture.get()
      await connections.drained()
    } onCancel: {
      stop()
    }
  }

  /// Ends ``run()`` once the answers under way are finished; new connections are not served.
  public func stop() {
    if connections.stop() { unlink(path) }
  }

  /// Binds under another name and renames once the mode is right, so that nobody can connect
  /// before, and a socket left by a crash is replaced in one step.
  private func listen() async throws -> any Channel {
    let binding = path + ".new"
    unlink(binding)
    do {
      let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .serverChannelOption(ChannelOptions.backlog, value: Int32(Self.connectionsMax))
        .childChannelInitializer { [routes, connections, logger] channel in
          channel.eventLoop.makeCompletedFuture {
            guard connections.add(channel) else { return channel.close(promise: nil) }
            channel.closeFuture.whenComplete { _ in connections.remove(channel) }
            try channel.pipeline.syncOperations.configureHTTPServerPipeline(
              withPipeliningAssistance: true, withErrorHandling: true)
            try channel.pipeline.syncOperations.addHandler(
              RequestHandler(routes: routes, logger: logger))
          }
        }
        .bind(unixDomainSocketPath: binding).get()
      guard chmod(binding, mode) == 0, rename(binding, path) == 0 else {
        let reason = String(cString: strerror(errno))
        unlink(binding)
        try? await server.close()
        throw ControlError(.failed, "\(path): cannot be made: \(reason)")
      }
      connections.started(server)
      logger.info("control socket", metadata: ["path": "\(path)"])
      return server
    } catch let error as IOError {
      throw ControlError(
        .failed, "\(path): cannot listen: \(error)",
        hint: "check that the home's folder exists and is writable")
    }
  }
}

/// The open connections, so that there are not too many, and a stop can wait for the busy ones.
private final class Connections: Sendable {
  private struct State {
    var server: (any Channel)?
    var open: [ObjectIdentifier: any Channel] = [:]
    var isStopping = false
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  func started(_ server: any Channel) {
    let stopNow = state.withLock {
      $0.server = server
      return $0.isStopping
    }
    if stopNow { server.close(promise: nil) }
  }

  /// Returns whether a server was listening.
  func stop() -> Bool {
    let (server, open) = state.withLock { state in
      state.isStopping = true
      return (state.server, Array(state.open.values))
    }
    server?.close(promise: nil)
    for channel in open {
      channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
    }
    return server != nil
  }

  /// Returns false when no connection is taken any more.
  func add(_ channel: any Channel) -> Bool {
    state.withLock { state in
      if state.isStopping || state.open.count >= ControlServer.connectionsMax { return false }
      state.open[ObjectIdentifier(channel)] = channel
      return true
    }
  }

  func remove(_ channel: any Channel) {
    let waiters = state.withLock { state in
      state.open[ObjectIdentifier(channel)] = nil
      guard state.open.isEmpty else { return [CheckedContinuation<Void, Never>]() }
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  /// Returns once no connection is open.
  func drained() async {
    await withCheckedContinuation { waiter in
      let isDrained = state.withLock { state in
        if !state.open.isEmpty { state.waiters.append(waiter) }
        return state.open.isEmpty
      }
      if isDrained { waiter.resume() }
    }
  }
}

/// Gathers one request, asks the routes, writes one answer, and closes.
private final class RequestHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart

  private let routes: ControlRoutes
  private let logger: Logger
  private var head: HTTPRequestHead?
  private var body = ByteBuffer()
  private var isAnswering = false
  private var alarm: Scheduled<Void>?

  init(routes: ControlRoutes, logger: Logger) {
    self.routes = routes
    self.logger = logger
  }

  func channelActive(context: ChannelHandlerContext) {
    let channel = context.channel
    alarm = context.eventLoop.scheduleTask(in: ControlServer.arrivalTime) {
      channel.close(promise: nil)
    }
  }

  func channelInactive(context: ChannelHandlerContext) { alarm?.cancel() }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body(var part):
      guard !isAnswering else { return }
      guard body.readableBytes + part.readableBytes <= ControlServer.requestBytesMax else {
        let error = ControlError(
          .wrongUse, "the request is larger than \(ControlServer.requestBytesMax) bytes")
        return answer(context.channel) { _ in ControlRoutes.failure(error) }
      }
      body.writeBuffer(&part)
    case .end:
      guard let head, !isAnswering else { return }
      let content = Data(body.readableBytesView)
      answer(context.channel) { await $0.answer(head.method, head.uri, content) }
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is ChannelShouldQuiesceEvent {
      // Whoever has not asked yet is told by the closed connection.
      if !isAnswering { context.close(promise: nil) }
    } else {
      context.fireUserInboundEventTriggered(event)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    logger.debug("control connection", metadata: ["error": "\(error)"])
    context.close(promise: nil)
  }

  private func answer(
    _ channel: any Channel,
    _ make: @escaping @Sendable (ControlRoutes) async -> ControlRoutes.Answer
  ) {
    isAnswering = true
    alarm?.cancel()
    let routes = routes
    Task {
      let answer = await make(routes)
      var head = HTTPResponseHead(version: .http1_1, status: answer.status)
      head.headers.add(name: "content-type", value: "application/json")
      head.headers.add(name: "content-length", value: "\(answer.body.count)")
      head.headers.add(name: "connection", value: "close")
      channel.write(HTTPServerResponsePart.head(head), promise: nil)
      channel.write(
        HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: answer.body))), promise: nil)
      try? await channel.writeAndFlush(HTTPServerResponsePart.end(nil))
      channel.close(promise: nil)
    }
  }
}
