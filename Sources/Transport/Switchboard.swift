import Gossip
import Identities
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Records
import Synchronization

/// The network of a node: listens, dials, and carries frames to and from members.
///
/// Everything may be called from any thread. Events of one connection come in order, on its event
/// loop. The connections share NIO's own threads; none of ours is ever blocked for them.
public final class Switchboard: Sendable {
  /// The lab of a key of the current roster; asked on event loops, so it must not wait.
  public typealias Membership = @Sendable (PublicKey) -> LabID?
  /// Answers a stranger's request to join.
  public typealias GuestHandler =
    @Sendable (Hanse_V1_JoinRequest, Guest) async -> Hanse_V1_JoinAnswer

  struct State {
    var lines: [ConnectionID: Line] = [:]
    var nextID: UInt64 = 1
    var server: (any Channel)?
    var doorkeeper = Doorkeeper()
    /// Accepted channels that turned out to be members'.
    var recognised: Set<ObjectIdentifier> = []
    var isDown = false
    var faces = Faces()
  }

  let state: Mutex<State>
  let patience: Patience
  let membership: Membership
  let events: @Sendable (TransportEvent) -> Void
  let logger: Logger
  private let listen: Endpoint?
  private let guests: GuestHandler
  let group = MultiThreadedEventLoopGroup.singleton

  /// A switchboard that shows `key`. It does nothing before ``start()``, except to dial.
  ///
  /// - Parameters:
  ///   - listen: where to accept connections; nil for a node that only dials.
  ///   - membership: the lab of a key on the current roster.
  ///   - guests: answers requests to join.
  ///   - patience: how long connections are waited for.
  ///   - events: told what happens, on an event loop: it must hand on and return.
  /// - Throws: what making the certificate throws.
  public init(
    key: SigningKey, listen: Endpoint?, membership: @escaping Membership,
    guests: @escaping GuestHandler, logger: Logger, patience: Patience = Patience(),
    events: @escaping @Sendable (TransportEvent) -> Void
  ) throws {
    var state = State()
    state.faces = try Faces([key])
    self.state = Mutex(state)
    self.listen = listen
    self.membership = membership
    self.guests = guests
    self.logger = logger
    self.patience = patience
    self.events = events
  }

  /// Shows these keys from now on: the first, and to whoever does not accept that, the others in
  /// turn. Connections that stand are left alone: the other side cuts them when it has to.
  ///
  /// - Throws: what making the certificates throws.
  public func show(_ keys: [SigningKey]) throws {
    let faces = try Faces(keys)
    state.withLock { $0.faces = faces }
  }

  // MARK: - Listening

  /// Begins to listen, if there is an address to listen on.
  ///
  /// - Throws: ``TransportError/cannotListen(address:reason:hint:)``.
  public func start() async throws(TransportError) {
    guard let listen else { return }
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 256)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(SocketTuning.notSentOption, value: SocketTuning.notSentBytes)
      .childChannelOption(.writeBufferWaterMark, value: SocketTuning.waterMark)
      .childChannelOption(.recvAllocator, value: SocketTuning.receiveBuffers)
      .childChannelInitializer { [self] channel in
        channel.eventLoop.makeCompletedFuture { try accept(channel) }
      }
    do {
      let server = try await bootstrap.bind(host: listen.host, port: listen.port).get()
      state.withLock { $0.server = server }
      logger.info("listening", metadata: ["address": "\(boundAddress?.description ?? "?")"])
    } catch {
      throw SocketTuning.listenError(error, listen)
    }
  }

  /// Where connections are accepted, with the port that the system chose; nil when not listening.
  public var boundAddress: Endpoint? {
    guard let address = state.withLock({ $0.server?.localAddress }), let port = address.port,
      let host = address.ipAddress
    else { return nil }
    return Endpoint(host: host, port: port)
  }

  private func accept(_ channel: any Channel) throws {
    let address = SocketTuning.host(of: channel)
    let place = Doorkeeper.place(of: address)
    let isAdmitted = state.withLock { !$0.isDown && $0.doorkeeper.admit(place) }
    guard isAdmitted else {
      let reason = TransportError.closedHere("too many connections")
      tellRefusal(of: address, reason)
      throw reason
    }
    // From here on the end of the channel, whatever the reason, gives the place back.
    channel.closeFuture.whenComplete { [self] _ in
      state.withLock { state in
        let wasRecognised = state.recognised.remove(ObjectIdentifier(channel)) != nil
        state.doorkeeper.leave(place, wasRecognised: wasRecognised)
      }
    }
    let line = LineHandler(role: .accepted, board: self)
    let security = state.withLock { $0.faces.accepting }
    let tls = try security.serverHandler { [weak line] in line?.accepts($0) ?? false }
    try channel.pipeline.syncOperations.addHandlers([tls, line])
  }

  // MARK: - Dialling

  /// Dials a lab that must show `key`. Answered by `connected`, once the other side has spoken, or
  /// by `dialFailed`.
  public func connect(to lab: LabID, address: String, key: PublicKey) {
    @Sendable func fail(_ reason: TransportError) {
      events(.dialFailed(lab, address: address, reason: reason))
    }
    let endpoint: Endpoint
    do { endpoint = try Endpoint(address) } catch { return fail(error) }
    let bootstrap = ClientBootstrap(group: group)
      .connectTimeout(.seconds(TransportLimits.connectSeconds))
      .channelOption(SocketTuning.notSentOption, value: SocketTuning.notSentBytes)
      .channelOption(.writeBufferWaterMark, value: SocketTuning.waterMark)
      .channelOption(.recvAllocator, value: SocketTuning.receiveBuffers)
    bootstrap.connect(host: endpoint.host, port: endpoint.port).whenComplete { [self] result in
      switch result {
      case .failure(let error):
        fail(.cannotConnect(address: address, reason: SocketTuning.connectReason(error)))
      case .success(let channel):
        channel.eventLoop.execute { [self] in
          if let reason = attach(to: channel, lab, address, key) { fail(reason) }
        }
      }
    }
  }

  /// Begins TLS on a dialled channel; the reason when not even that succeeded.
  private func attach(
    to channel: any Channel, _ lab: LabID, _ address: String, _ key: PublicKey
  ) -> TransportError? {
    let line = LineHandler(role: .dialled(lab, key, address: address), board: self)
    do {
      guard !state.withLock({ $0.isDown }) else {
        throw TransportError.closedHere("shutting down")
      }
      let security = state.withLock { $0.faces.dialling(lab) }
      let tls = try security.clientHandler { [weak line] in line?.accepts($0) ?? false }
      try channel.pipeline.syncOperations.addHandlers([tls, line])
      return nil
    } catch {
      channel.close(promise: nil)
      // A line that was registered reports its own end.
      return line.wasAdded ? nil : error as? TransportError ?? .io(printable("\(error)"))
    }
  }

  // MARK: - Using connections

  /// Sends a frame to a member: ahead of all blocks, or as a block behind everything else.
  ///
  /// - Parameter written: told, on an event loop, whether the frame left for the socket.
  /// - Returns: false when the connection is gone or the frame is longer than any may be; then
  ///   `written` is not called.
  @discardableResult
  public func send(
    _ frame: Hanse_V1_Frame, on id: ConnectionID, bulk: Bool = false,
    written: (@Sendable (Bool) -> Void)? = nil
  ) -> Bool {
    guard let line = state.withLock({ $0.lines[id] }), line.member != nil else { return false }
    guard let bytes = encode(frame) else {
      logger.error("a frame does not fit", metadata: ["connection": "\(id)"])
      return false
    }
    line.send(bytes, isBulk: bulk, written: written)
    return true
  }

  /// Closes a connection after telling the other side why.
  public func close(_ id: ConnectionID, reason: String) {
    let line = state.withLock { $0.lines[id] }
    line?.end(.closedHere(printable(reason)), farewell: reason)
  }

  /// Looks at the roster again: closes every connection whose key no longer is that of its lab.
  public func recheckMembers() {
    let lines = state.withLock { Array($0.lines.values) }
    for line in lines {
      guard let (lab, key) = line.member, membership(key) != lab else { continue }
      let reason = "your key is no longer on the roster"
      line.end(.closedHere("its key is no longer on the roster"), farewell: reason)
    }
  }

  /// What has gone over a connection; nil when it is over.
  public func counts(of id: ConnectionID) -> ConnectionCounts? {
    state.withLock { $0.lines[id] }?.counters
  }

  /// What has gone over each connection to a member, in the order of the connections.
  public var connections: [(id: ConnectionID, lab: LabID, counts: ConnectionCounts)] {
    let lines = state.withLock { Array($0.lines.values) }
    return lines.sorted { $0.id < $1.id }.compactMap { line in
      line.member.map { (line.id, $0.lab, line.counters) }
    }
  }

  /// Stops listening, says goodbye on every connection and closes it; done within three seconds.
  public func shutdown() async {
    let (server, lines) = state.withLock { state in
      state.isDown = true
      return (state.server, Array(state.lines.values))
    }
    server?.close(promise: nil)
    for line in lines { line.end(.closedHere("shutting down"), farewell: "shutting down") }
    let closed = lines.map(\.channel.closeFuture) + (server.map { [$0.closeFuture] } ?? [])
    let loop = group.any()
    let promise = loop.makePromise(of: Void.self)
    let isDone = NIOLoopBoundBox.makeBoxSendingValue(false, eventLoop: loop)
    @Sendable func finish() {
      guard !isDone.value else { return }
      isDone.value = true
      promise.succeed()
    }
    EventLoopFuture.andAllComplete(closed, on: loop).whenComplete { _ in finish() }
    loop.scheduleTask(in: .milliseconds(TransportLimits.shutdownMilliseconds)) { finish() }
    try? await promise.futureResult.get()
  }
}

// MARK: - What connections need

extension Switchboard: LineOwner {
  func register(_ channel: any Channel, _ handler: LineHandler) -> Line? {
    let (address, target): (String, LabID?) =
      switch handler.role {
      case .accepted: (SocketTuning.peer(of: channel), nil)
      case .dialled(let lab, _, let address): (address, lab)
      }
    return state.withLock { state in
      let id = ConnectionID(number: state.nextID)
      state.nextID += 1
      let line = Line(
        id: id, address: address, target: target, channel: channel, handler: handler)
      state.lines[id] = line
      return line
    }
  }

  func lab(of key: PublicKey) -> LabID? { membership(key) }

  func isOwn(_ key: PublicKey) -> Bool { state.withLock { $0.faces.has(key) } }

  func opened(_ line: Line, _ lab: LabID) {
    if line.target == nil {
      state.withLock { state in
        state.recognised.insert(ObjectIdentifier(line.channel))
        state.doorkeeper.recognise(Doorkeeper.place(of: SocketTuning.host(of: line.channel)))
      }
    }
    logger.debug("connected", metadata: ["lab": "\(lab.short)", "address": "\(line.address)"])
    events(
      .connected(line.id, lab: lab, address: line.address, dialledByUs: line.target != nil))
  }

  func received(_ line: Line, _ frame: Hanse_V1_Frame, _ receipt: Receipt) {
    events(.frame(line.id, frame, receipt))
  }

  func ask(
    _ request: Hanse_V1_JoinRequest, _ guest: Guest,
    answer: @escaping @Sendable (Hanse_V1_JoinAnswer) -> Void
  ) {
    let host = Doorkeeper.place(of: (try? Endpoint(guest.address))?.host ?? guest.address)
    let now = Double(NIODeadline.now().uptimeNanoseconds) / 1e9
    guard state.withLock({ $0.doorkeeper.mayAsk(host, now: now) }) else {
      var refusal = Hanse_V1_JoinAnswer()
      refusal.reason = "too many requests to join came from your address"
      refusal.hint = "wait a minute and ask again"
      return answer(refusal)
    }
    let guests = guests
    Task { answer(await guests(request, guest)) }
  }

  func ended(_ line: Line, _ reason: TransportError) {
    state.withLock { state in
      state.lines[line.id] = nil
      if line.member == nil { state.faces.turn(from: line.target) }
    }
    logger.debug(
      "connection ended", metadata: ["address": "\(line.address)", "reason": "\(reason)"])
    if line.member != nil {
      events(.disconnected(line.id, reason: reason))
    } else if let lab = line.target {
      events(.dialFailed(lab, address: line.address, reason: reason))
    } else if !reason.isOrderly {
      tellRefusal(of: line.address, reason)
    }
  }

  /// Lets the people of this lab know whom it did not let in and why, in a few lines a minute.
  private func tellRefusal(of address: String, _ reason: TransportError) {
    let now = Double(NIODeadline.now().uptimeNanoseconds) / 1e9
    guard let untold = state.withLock({ $0.doorkeeper.mayTell(now: now) }) else {
      return
    }
    var metadata: Logger.Metadata = ["address": "\(address)", "reason": "\(reason)"]
    if untold > 0 { metadata["not_told_before"] = "\(untold)" }
    logger.notice("a stranger was refused", metadata: metadata)
  }
}
