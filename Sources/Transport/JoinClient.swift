import Gossip
import Identities
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import Records

/// The stranger's side of joining: one request over a guest connection, and its answer.
public enum JoinClient {
  /// Asks the lab at an address to be let in.
  ///
  /// - Parameters:
  ///   - address: `host:port`, from the ticket.
  ///   - expectedKey: the key that the ticket names for that lab; another one ends it.
  ///   - key: the new lab's own key.
  ///   - seconds: how long to wait for everything together.
  /// - Throws: ``TransportError`` in words that can be shown.
  public static func ask(
    address: String, expectedKey: PublicKey, key: SigningKey, request: Hanse_V1_JoinRequest,
    seconds: Double = 30
  ) async throws(TransportError) -> Hanse_V1_JoinAnswer {
    let endpoint = try Endpoint(address)
    let security: ChannelSecurity
    do {
      security = ChannelSecurity(certificate: try LabCertificate(key: key, now: unixSeconds()))
    } catch { throw .handshake(printable("\(error)")) }
    let channel: any Channel
    do {
      channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connectTimeout(
          .milliseconds(Int64(min(seconds, Double(TransportLimits.connectSeconds)) * 1000))
        )
        .connect(host: endpoint.host, port: endpoint.port).get()
    } catch {
      throw .cannotConnect(address: address, reason: SocketTuning.connectReason(error))
    }
    let promise = channel.eventLoop.makePromise(of: Hanse_V1_JoinAnswer.self)
    channel.eventLoop.execute {
      do {
        let handler = JoinHandler(expectedKey, request, promise, seconds: seconds)
        let tls = try security.clientHandler { [weak handler] in handler?.accepts($0) ?? false }
        try channel.pipeline.syncOperations.addHandlers([tls, handler])
      } catch {
        channel.close(promise: nil)
        promise.fail(TransportError.io(printable("\(error)")))
      }
    }
    do { return try await promise.futureResult.get() } catch {
      throw error as? TransportError ?? .io(printable("\(error)"))
    }
  }
}

/// Sends the request once TLS stands, and waits for the answer.
private final class JoinHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let expected: PublicKey
  private let request: Hanse_V1_JoinRequest
  private let seconds: Double
  private var promise: EventLoopPromise<Hanse_V1_JoinAnswer>?
  private var reader = FrameReader(limit: TransportLimits.joinAnswerBytes)
  private var received = 0
  private var refusal: TransportError?
  private var isUp = false
  private var deadline: Scheduled<Void>?

  init(
    _ expected: PublicKey, _ request: Hanse_V1_JoinRequest,
    _ promise: EventLoopPromise<Hanse_V1_JoinAnswer>, seconds: Double
  ) {
    self.expected = expected
    self.request = request
    self.promise = promise
    self.seconds = seconds
  }

  func accepts(_ chain: [NIOSSLCertificate]) -> Bool {
    do {
      let key = try CertificateCheck.key(of: chain, now: unixSeconds())
      if key == expected { return true }
      refusal = .wrongKey(expected: expected, found: key)
    } catch { refusal = error }
    return false
  }

  func handlerAdded(context: ChannelHandlerContext) {
    let seconds = seconds
    let span = TimeAmount.milliseconds(Int64(seconds * 1000))
    deadline = context.eventLoop.assumeIsolated().scheduleTask(in: span) {
      self.finish(.failure(.timedOut(awaiting: "answer", seconds: seconds)), context)
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard case TLSUserEvent.handshakeCompleted(let name) = event else { return }
    guard name == ChannelSecurity.protocolName else {
      return finish(.failure(.wrongProtocol(name)), context)
    }
    do {
      let key = try ChannelSecurity.provenKey(context.pipeline.syncOperations)
      guard key == expected else { throw TransportError.wrongKey(expected: expected, found: key) }
    } catch { return finish(.failure(error as? TransportError ?? .closedByPeer), context) }
    isUp = true
    var frame = Hanse_V1_Frame()
    frame.joinRequest = request
    guard let bytes = encode(frame), bytes.readableBytes <= Limits.guestBytesMax else {
      return finish(
        .failure(.frameTooLong(bytes: request.body.count, limit: Limits.guestBytesMax)), context)
    }
    context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard promise != nil else { return }
    let bytes = unwrapInboundIn(data)
    received += bytes.readableBytes
    guard received <= TransportLimits.joinAnswerBytes + FrameReader.headerBytes else {
      let limit = TransportLimits.joinAnswerBytes
      return finish(.failure(.frameTooLong(bytes: received, limit: limit)), context)
    }
    reader.append(bytes)
    do {
      guard let bytes = try reader.next() else { return }
      guard let frame = decode(bytes) else {
        throw TransportError.undecodable
      }
      switch frame.kind {
      case .joinAnswer(let answer)?: finish(.success(answer), context)
      case .hello?: finish(.failure(.alreadyMember), context)
      case .goodbye(let goodbye)?: finish(.failure(.goodbye(goodbye.reason)), context)
      default: finish(.failure(.undecodable), context)
      }
    } catch {
      finish(.failure(error as? TransportError ?? .undecodable), context)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    var reason = refusal ?? .ofTLS(error)
    if refusal == nil, isUp, reason != .certificateRefused { reason = .closedByPeer }
    finish(.failure(reason), context)
  }

  func channelInactive(context: ChannelHandlerContext) {
    finish(.failure(refusal ?? .closedByPeer), context)
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    finish(.failure(refusal ?? .closedByPeer), context)
  }

  private func finish(
    _ result: Result<Hanse_V1_JoinAnswer, TransportError>, _ context: ChannelHandlerContext
  ) {
    guard let promise else { return }
    self.promise = nil
    deadline?.cancel()
    switch result {
    case .success(let answer): promise.succeed(answer)
    case .failure(let reason): promise.fail(reason)
    }
    context.close(promise: nil)
  }
}
