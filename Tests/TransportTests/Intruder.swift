import Identities
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import Transport

/// A client that follows no rule but those of TCP, or of TLS as it is told to speak it.
final class Intruder: Sendable {
  private final class Listener: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    let received = Mutex<[UInt8]>([])
    let isHandshakeDone = Mutex(false)

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      received.withLock { $0 += Array(buffer: unwrapInboundIn(data)) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      isHandshakeDone.withLock { $0 = true }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      context.close(promise: nil)
    }
  }

  let channel: any Channel
  private let listener = Listener()

  /// Connects; `tls` nil speaks none.
  init(to address: String, from source: String? = nil, tls: TLSConfiguration?) async throws {
    let endpoint = try Endpoint(address)
    var bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
    if let source {
      bootstrap = try bootstrap.bind(to: SocketAddress(ipAddress: source, port: 0))
    }
    channel = try await bootstrap.connect(host: endpoint.host, port: endpoint.port).get()
    let listener = listener
    let channel = channel
    // Who is turned away at once has no pipeline any more; that shows in `isClosed`.
    try? await channel.eventLoop.submit {
      if let tls {
        try channel.pipeline.syncOperations.addHandler(
          NIOSSLClientHandler(
            context: NIOSSLContext(configuration: tls), serverHostname: nil,
            customVerificationCallback: { $1.succeed(.certificateVerified) }))
      }
      try channel.pipeline.syncOperations.addHandler(listener)
    }.get()
  }

  func send(_ bytes: [UInt8]) {
    channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
  }

  func close() { channel.close(promise: nil) }

  var received: [UInt8] { listener.received.withLock { $0 } }
  var isClosed: Bool { !channel.isActive }
  var isHandshakeDone: Bool { listener.isHandshakeDone.withLock { $0 } }

  /// TLS as a lab speaks it, to be spoilt.
  static func tls(_ certificates: [LabCertificate]) -> TLSConfiguration {
    var tls = TLSConfiguration.makeClientConfiguration()
    tls.minimumTLSVersion = .tlsv13
    tls.maximumTLSVersion = .tlsv13
    tls.trustRoots = .certificates([])
    tls.certificateVerification = .noHostnameVerification
    tls.verifySignatureAlgorithms = [.ed25519]
    tls.signingSignatureAlgorithms = [.ed25519]
    tls.applicationProtocols = [ChannelSecurity.protocolName]
    tls.certificateChain = certificates.map { .certificate($0.certificate) }
    tls.privateKey = certificates.first.map { .privateKey($0.privateKey) }
    return tls
  }

  /// The certificate of the lab of a number, made at a time.
  static func certificate(_ number: UInt8, now: Int64 = 1_790_000_000) throws -> LabCertificate {
    try LabCertificate(
      key: SigningKey(seed: [UInt8](repeating: number, count: 32))!, now: now,
      lifetime: 365 * 86_400)
  }
}
