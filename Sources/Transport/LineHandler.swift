import Gossip
import Identities
import NIOCore
import NIOSSL
import NIOTLS
import Records

/// One connection behind its TLS handler: frames in and out, deadlines, and how it ends.
///
/// Lives on its event loop. A plain handler on purpose: an accepted connection that nobody has
/// picked up yet must be droppable at any instant, which NIO's asynchronous channels do not allow.
final class LineHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// How far a connection has come.
  enum Phase {
    case handshake
    /// The client side: TLS stands, but only the first frame shows that the other side accepted us.
    case awaitingFirstFrame(LabID, PublicKey)
    case member(LabID)
    case guest(PublicKey)
    case answering
    case ended
  }

  /// Which side this is, and what a dialled lab must prove.
  enum Role {
    case accepted
    case dialled(LabID, PublicKey, address: String)
  }

  let role: Role
  private let board: any LineOwner
  private(set) var phase = Phase.handshake
  private var line: Line?
  private var context: ChannelHandlerContext?
  private var reader = FrameReader(limit: Limits.guestBytesMax)
  private var queue = OutboundQueue()
  /// Set by the certificate check, which runs inside of TLS and can only say no.
  var refusal: TransportError?

  /// From then on the line itself reports how it ends.
  private(set) var wasAdded = false

  private var isReadHeld = false
  private var undoneBytes = 0
  private var undoneFrames = 0
  private var guestBytes = 0
  private var deadline: Scheduled<Void>?
  private var frameSince: NIODeadline?
  private var progressSince: NIODeadline?
  private var unflushed = 0
  private var isPumping = false

  init(role: Role, board: any LineOwner) {
    self.role = role
    self.board = board
  }

  // MARK: - The channel's life

  func handlerAdded(context: ChannelHandlerContext) {
    wasAdded = true
    self.context = context
    line = board.register(context.channel, self)
    setDeadline(board.patience.handshake, awaiting: "TLS handshake")
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    end(.closedByPeer, farewell: nil)
    self.context = nil
  }

  func channelInactive(context: ChannelHandlerContext) {
    end(.closedByPeer, farewell: nil)
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    end(Self.reason(for: error, in: phase, refusal: refusal), farewell: nil)
  }

  private static func reason(
    for error: any Error, in phase: Phase, refusal: TransportError?
  ) -> TransportError {
    if let refusal { return refusal }
    if let error = error as? NIOSSLError, case .uncleanShutdown = error { return .closedByPeer }
    let fault = TransportError.ofTLS(error)
    switch phase {
    case .handshake: return fault
    // The other side looks at our certificate when our own handshake is over already.
    case .awaitingFirstFrame where fault == .certificateRefused: return fault
    default: break
    }
    return .io(printable("\(error)"))
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case TLSUserEvent.handshakeCompleted(let name): handshakeCompleted(context, name)
    case TLSUserEvent.shutdownCompleted: end(.closedByPeer, farewell: nil)
    default: break
    }
    context.fireUserInboundEventTriggered(event)
  }

  // MARK: - Who is there

  private func handshakeCompleted(_ context: ChannelHandlerContext, _ name: String?) {
    guard case .handshake = phase else { return end(.handshake("a second one"), farewell: nil) }
    guard name == ChannelSecurity.protocolName else {
      return end(.wrongProtocol(name), farewell: nil)
    }
    let key: PublicKey
    do { key = try ChannelSecurity.provenKey(context.pipeline.syncOperations) } catch {
      return end(error, farewell: nil)
    }
    switch role {
    case .dialled(let lab, let expected, _):
      guard key == expected else {
        return end(.wrongKey(expected: expected, found: key), farewell: nil)
      }
      phase = .awaitingFirstFrame(lab, key)
      reader.limit = Limits.frameBytesMax
      setDeadline(board.patience.firstFrame, awaiting: "hello")
    case .accepted:
      guard let lab = board.lab(of: key) else {
        phase = .guest(key)
        return setDeadline(board.patience.guest, awaiting: "request to join")
      }
      reader.limit = Limits.frameBytesMax
      open(lab, key)
    }
  }

  /// Whether a chain of certificates is acceptable, asked by TLS during the handshake.
  func accepts(_ chain: [NIOSSLCertificate]) -> Bool {
    do {
      let key = try CertificateCheck.key(of: chain, now: unixSeconds())
      guard case .dialled(_, let expected, _) = role, key != expected else { return true }
      refusal = board.isOwn(key) ? .dialledItself : .wrongKey(expected: expected, found: key)
    } catch { refusal = error }
    return false
  }

  private func open(_ lab: LabID, _ key: PublicKey) {
    guard let line else { return }
    line.identify(lab, key)
    // The roster may have changed since the key was looked up, or since the dial: whoever looked
    // for connections to cut then did not see this one yet.
    guard board.lab(of: key) == lab else {
      line.forget()
      return end(.keyGivenUp, farewell: "your key is no longer on the roster")
    }
    phase = .member(lab)
    keepWatch()
    board.opened(line, lab)
  }

  // MARK: - Inbound

  func read(context: ChannelHandlerContext) {
    if isFull { isReadHeld = true } else { context.read() }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let bytes = unwrapInboundIn(data)
    switch phase {
    // Whatever is left when it is over, or after a guest's one request, is not looked at.
    case .ended, .answering: return
    case .guest:
      guestBytes += bytes.readableBytes
      guard guestBytes <= Limits.guestBytesMax else { return end(.guestOutOfTurn, farewell: nil) }
    case .handshake, .awaitingFirstFrame, .member: break
    }
    reader.append(bytes)
    drain()
  }

  private var isFull: Bool {
    undoneBytes >= TransportLimits.inboundBytes || undoneFrames >= TransportLimits.inboundFrames
  }

  /// Hands up the complete frames, as long as not too many are undone.
  private func drain() {
    do {
      while !isFull, !isOver, let bytes = try reader.next() {
        guard let frame = decode(bytes) else {
          throw TransportError.undecodable
        }
        frameSince = nil
        handUp(frame, FrameReader.headerBytes + bytes.readableBytes)
      }
      if reader.pendingLength == nil && reader.pendingBytes == 0 || isFull {
        frameSince = nil
      } else if frameSince == nil {
        frameSince = .now()
      }
    } catch let error as TransportError {
      end(error, farewell: "\(error)")
    } catch {
      end(.undecodable, farewell: nil)
    }
  }

  private var isOver: Bool {
    switch phase {
    case .ended, .answering: true
    default: false
    }
  }

  private func handUp(_ frame: Hanse_V1_Frame, _ bytes: Int) {
    guard let line, let context else { return }
    line.countReceived(bytes)
    if case .guest(let key) = phase { return ask(frame, key) }
    if case .awaitingFirstFrame(let lab, let key) = phase {
      if case .goodbye(let goodbye)? = frame.kind {
        return end(.goodbye(goodbye.reason), farewell: nil)
      }
      open(lab, key)
      guard case .member = phase else { return }
    }
    undoneBytes += bytes
    undoneFrames += 1
    let isolated = NIOLoopBound(self, eventLoop: context.eventLoop)
    let loop = context.eventLoop
    let receipt = Receipt {
      loop.execute { isolated.value.done(bytes) }
    }
    board.received(line, frame, receipt)
  }

  private func done(_ bytes: Int) {
    undoneBytes -= bytes
    undoneFrames -= 1
    guard !isOver, !isFull else { return }
    drain()
    guard isReadHeld, !isFull, let context else { return }
    isReadHeld = false
    context.read()
  }

  // MARK: - Guests

  private func ask(_ frame: Hanse_V1_Frame, _ key: PublicKey) {
    guard case .joinRequest(let request)? = frame.kind, let line, let context else {
      return end(.guestOutOfTurn, farewell: nil)
    }
    phase = .answering
    setDeadline(board.patience.answer, awaiting: "answer to the request to join")
    let isolated = NIOLoopBound(self, eventLoop: context.eventLoop)
    let loop = context.eventLoop
    board.ask(request, Guest(key: key, address: line.address)) { answer in
      loop.execute { isolated.value.answer(answer) }
    }
  }

  private func answer(_ answer: Hanse_V1_JoinAnswer) {
    guard case .answering = phase, let context else { return }
    var frame = Hanse_V1_Frame()
    frame.joinAnswer = answer
    guard let bytes = encode(frame) else { return end(.undecodable, farewell: nil) }
    let isolated = NIOLoopBound(self, eventLoop: context.eventLoop)
    let loop = context.eventLoop
    enqueue(
      OutboundQueue.Item(bytes: bytes) { _ in
        loop.execute { isolated.value.end(.closedHere("the guest has its answer"), farewell: nil) }
      }, isBulk: false)
  }

  // MARK: - Outbound

  func enqueue(_ item: OutboundQueue.Item, isBulk: Bool) {
    if case .ended = phase {
      item.written?(false)
      return
    }
    guard queue.append(item, isBulk: isBulk) else {
      item.written?(false)
      return end(.notReading, farewell: nil)
    }
    if progressSince == nil { progressSince = .now() }
    pump()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    pump()
    context.fireChannelWritabilityChanged()
  }

  /// Hands frames to the socket, a little ahead of need and no more, so that a control frame that
  /// comes now waits behind little.
  private func pump() {
    guard let context, !isPumping else { return }
    isPumping = true
    defer { isPumping = false }
    while context.channel.isWritable, let item = queue.next() {
      let size = item.bytes.readableBytes
      let isolated = NIOLoopBound(self, eventLoop: context.eventLoop)
      let promise = context.eventLoop.makePromise(of: Void.self)
      promise.futureResult.whenComplete { result in
        let isWritten = if case .success = result { true } else { false }
        isolated.value.written(size, isWritten)
        item.written?(isWritten)
      }
      context.write(wrapOutboundOut(item.bytes), promise: promise)
      unflushed += size
      if unflushed >= TransportLimits.socketBytes / 2 || queue.isEmpty { flush(context) }
    }
    if unflushed > 0 { flush(context) }
  }

  private func flush(_ context: ChannelHandlerContext) {
    unflushed = 0
    context.flush()
  }

  private func written(_ bytes: Int, _ isWritten: Bool) {
    guard isWritten else { return }
    line?.countSent(bytes)
    progressSince = queue.isEmpty ? nil : .now()
  }

  // MARK: - Deadlines

  private func after(_ seconds: Double, _ action: @escaping () -> Void) {
    deadline?.cancel()
    let span = TimeAmount.milliseconds(Int64(seconds * 1000))
    deadline = context?.eventLoop.assumeIsolated().scheduleTask(in: span, action)
  }

  private func keepWatch() {
    after(board.patience.watch) { [weak self] in
      self?.look()
      if self?.isOver == false { self?.keepWatch() }
    }
  }

  private func setDeadline(_ seconds: Double, awaiting what: String) {
    after(seconds) { [weak self] in
      // A lab that dialled and was taken for a guest learns why nothing is said to it.
      guard let self else { return }
      let isGuest = if case .guest = self.phase { true } else { false }
      self.end(
        .timedOut(awaiting: what, seconds: seconds),
        farewell: isGuest ? "your key is not on the roster here, and no request to join came" : nil)
    }
  }

  /// Looks whether the other side keeps the connection waiting.
  private func look() {
    let now = NIODeadline.now()
    if let frameSince, let length = reader.pendingLength ?? (reader.pendingBytes > 0 ? 0 : nil) {
      let allowed =
        board.patience.frame + Double(length) / TransportLimits.slowestBytesPerSecond
      if Double((now - frameSince).nanoseconds) / 1e9 > allowed {
        return end(.tooSlow, farewell: nil)
      }
    }
    if let progressSince,
      Double((now - progressSince).nanoseconds) / 1e9 > board.patience.stalled
    {
      end(.notReading, farewell: nil)
    }
  }

  // MARK: - The end

  /// Ends the connection, once; later reasons do not count.
  func end(_ reason: TransportError, farewell: String?) {
    if case .ended = phase { return }
    phase = .ended
    deadline?.cancel()
    let goodbye = farewell.flatMap { text in
      var frame = Hanse_V1_Frame()
      frame.goodbye.reason = String(text.prefix(Limits.textBytesMax / 4))
      return encode(frame)
    }
    queue.abandon(bulkOnly: goodbye != nil)
    if let line { board.ended(line, reason) }
    line = nil
    guard let context, context.channel.isActive else { return }
    guard let goodbye else {
      context.close(promise: nil)
      return
    }
    sayGoodbye(goodbye, context)
  }

  /// Sends what is left of the control frames and a last one, then closes; soon in any case.
  private func sayGoodbye(_ goodbye: ByteBuffer, _ context: ChannelHandlerContext) {
    while let item = queue.next() {
      context.write(wrapOutboundOut(item.bytes), promise: nil)
      item.written?(false)
    }
    let isolated = NIOLoopBound(context, eventLoop: context.eventLoop)
    context.writeAndFlush(wrapOutboundOut(goodbye)).whenComplete { _ in
      isolated.value.close(promise: nil)
    }
    context.eventLoop.assumeIsolated().scheduleTask(
      in: .milliseconds(TransportLimits.farewellMilliseconds)
    ) { context.close(promise: nil) }
  }
}

/// What a connection needs of the switchboard it belongs to.
protocol LineOwner: AnyObject, Sendable {
  /// Takes a new connection in; nil after shutdown.
  func register(_ channel: any Channel, _ handler: LineHandler) -> Line?
  /// How long connections are waited for.
  var patience: Patience { get }
  /// Whether this node shows this key.
  func isOwn(_ key: PublicKey) -> Bool
  /// The lab of a key, if it is on the roster.
  func lab(of key: PublicKey) -> LabID?
  /// A connection to a member stands.
  func opened(_ line: Line, _ lab: LabID)
  /// A frame came from a member.
  func received(_ line: Line, _ frame: Hanse_V1_Frame, _ receipt: Receipt)
  /// A guest asks; answered once.
  func ask(
    _ request: Hanse_V1_JoinRequest, _ guest: Guest,
    answer: @escaping @Sendable (Hanse_V1_JoinAnswer) -> Void)
  /// A connection is over.
  func ended(_ line: Line, _ reason: TransportError)
}
