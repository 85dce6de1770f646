import Foundation
import Gossip
import Identities
import NIOCore
import NIOPosix
import NIOSSL
import Records
import Synchronization
import Testing
import Transport

/// What a lab that dials finds instead of the one it meant: each time it says why, nothing that was
/// sent to it is handed up, and it sends nothing.
@Suite struct ImpostorTests {
  private static var now: Int64 { Int64(Date().timeIntervalSince1970) }

  /// A server that follows no rule but those of TLS as it is told to speak it, and that says hello
  /// at once.
  private final class Impostor: Sendable {
    private final class Speaker: ChannelInboundHandler, Sendable {
      typealias InboundIn = ByteBuffer
      typealias OutboundOut = ByteBuffer
      let received = Mutex<[UInt8]>([])
      let context = Mutex<(any Channel)?>(nil)
      let isPatient: Bool

      init(isPatient: Bool) { self.isPatient = isPatient }

      func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        let channel = context.channel
        self.context.withLock { $0 = channel }
        if !isPatient { Impostor.greet(channel) }
      }

      func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        received.withLock { $0 += Array(buffer: unwrapInboundIn(data)) }
      }

      func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
      }
    }

    private let server: any Channel
    private let speaker: Speaker

    init(_ tls: TLSConfiguration, isPatient: Bool = false, refuses: Bool = false) async throws {
      let speaker = Speaker(isPatient: isPatient)
      self.speaker = speaker
      let context = try NIOSSLContext(configuration: tls)
      server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandlers([
              NIOSSLServerHandler(
                context: context,
                customVerificationCallback: {
                  $1.succeed(refuses ? .failed : .certificateVerified)
                }),
              speaker,
            ])
          }
        }.bind(host: "127.0.0.1", port: 0).get()
    }

    fileprivate static func greet(_ channel: any Channel) {
      // Length 4, and a hello of protocol 1.
      channel.writeAndFlush(ByteBuffer(bytes: [0, 0, 0, 4, 0x0a, 2, 8, 1]), promise: nil)
    }

    func greet() { speaker.context.withLock { $0 }.map(Self.greet) }

    var isMet: Bool { speaker.context.withLock { $0 != nil } }
    var received: [UInt8] { speaker.received.withLock { $0 } }
    var address: String { "127.0.0.1:\(server.localAddress?.port ?? 0)" }
    func close() { server.close(promise: nil) }
  }

  /// TLS as the lab 1 speaks it when it is dialled, to be spoilt.
  private static func tls(_ certificates: [LabCertificate]) throws -> TLSConfiguration {
    let first = try #require(certificates.first)
    var tls = TLSConfiguration.makeServerConfiguration(
      certificateChain: certificates.map { .certificate($0.certificate) },
      privateKey: .privateKey(first.privateKey))
    tls.minimumTLSVersion = .tlsv13
    tls.maximumTLSVersion = .tlsv13
    tls.trustRoots = .certificates([])
    tls.certificateVerification = .noHostnameVerification
    tls.verifySignatureAlgorithms = [.ed25519]
    tls.signingSignatureAlgorithms = [.ed25519]
    tls.applicationProtocols = [ChannelSecurity.protocolName]
    return tls
  }

  private func dialler() throws -> (house: House, expected: PublicKey) {
    let roster = Roster()
    roster.add(1)
    let expected = SigningKey(seed: [UInt8](repeating: 1, count: 32))!.publicKey
    return (try House(2, roster: roster, listens: false), expected)
  }

  /// Dials an impostor of the lab 1, and gives why that came to nothing.
  private func failure(_ tls: TLSConfiguration) async throws -> TransportError? {
    let (house, expected) = try dialler()
    let impostor = try await Impostor(tls)
    house.board.connect(to: LabID(firstKey: expected), address: impostor.address, key: expected)
    #expect(await eventually { house.dialFailure != nil })
    #expect(house.connection == nil && house.frames.isEmpty)
    #expect(impostor.received.isEmpty)
    // A stranger who asks to join goes by the same rules.
    let joined = await JoinFailure.of(impostor.address, expected)
    #expect(joined?.description == house.dialFailure?.description)
    impostor.close()
    await house.board.shutdown()
    return house.dialFailure
  }

  private enum JoinFailure {
    static func of(_ address: String, _ expected: PublicKey) async -> TransportError? {
      do {
        _ = try await JoinClient.ask(
          address: address, expectedKey: expected,
          key: SigningKey(seed: [UInt8](repeating: 2, count: 32))!,
          request: Hanse_V1_JoinRequest(), seconds: 5)
        return nil
      } catch { return error }
    }
  }

  @Test func theControlIsMet() async throws {
    let (house, expected) = try dialler()
    let impostor = try await Impostor(
      Self.tls([try Intruder.certificate(1, now: Self.now)]))
    house.board.connect(to: LabID(firstKey: expected), address: impostor.address, key: expected)
    #expect(await eventually { house.connection != nil && house.frames.count == 1 })
    impostor.close()
    await house.board.shutdown()
  }

  @Test func anotherKey() async throws {
    let other = try Intruder.certificate(5, now: Self.now)
    let found = SigningKey(seed: [UInt8](repeating: 5, count: 32))!.publicKey
    let (_, expected) = try dialler()
    #expect(
      try await failure(Self.tls([other])) == .wrongKey(expected: expected, found: found))
  }

  @Test func anExpiredCertificateAndOneOfTheFuture() async throws {
    let old = try Intruder.certificate(1, now: Self.now - 400 * 86_400)
    let reason = try await failure(Self.tls([old]))
    #expect(reason == .badCertificate(TransportError.tooLate))
    #expect(reason?.description == "its certificate is refused: it has expired")
    #expect(reason?.hint == "are the clocks of both machines right?")
    let young = try Intruder.certificate(1, now: Self.now + 30 * 86_400)
    #expect(try await failure(Self.tls([young])) == .badCertificate(TransportError.tooEarly))
  }

  @Test func twoCertificates() async throws {
    let tls = try Self.tls([
      Intruder.certificate(1, now: Self.now), Intruder.certificate(3, now: Self.now),
    ])
    #expect(
      try await failure(tls) == .badCertificate("2 certificates were shown instead of one"))
  }

  @Test func tls12() async throws {
    var tls = try Self.tls([Intruder.certificate(1, now: Self.now)])
    tls.minimumTLSVersion = .tlsv12
    tls.maximumTLSVersion = .tlsv12
    let reason = try await failure(tls)
    #expect(reason == .handshake("the other side does not speak TLS 1.3"))
  }

  @Test func anotherApplicationProtocol() async throws {
    var tls = try Self.tls([Intruder.certificate(1, now: Self.now)])
    tls.applicationProtocols = ["h2"]
    let reason = try await failure(tls)
    #expect(reason == .wrongProtocol(nil))
    #expect(reason?.description == "it does not speak hanse/1")
  }

  /// Whoever has a key that was given up takes the dial, and waits with the first word until the
  /// roster has changed.
  @Test func aKeyThatIsGivenUpDuringTheDialIsNotLetIn() async throws {
    let roster = Roster()
    roster.add(1)
    let expected = SigningKey(seed: [UInt8](repeating: 1, count: 32))!.publicKey
    let house = try House(2, roster: roster, listens: false)
    let impostor = try await Impostor(
      Self.tls([try Intruder.certificate(1, now: Self.now)]), isPatient: true)
    house.board.connect(to: LabID(firstKey: expected), address: impostor.address, key: expected)
    #expect(await eventually { impostor.isMet })
    roster.remove(expected)
    roster.add(
      SigningKey(seed: [UInt8](repeating: 9, count: 32))!.publicKey, of: LabID(firstKey: expected))
    house.board.recheckMembers()
    impostor.greet()
    #expect(await eventually { house.dialFailure != nil })
    #expect(house.dialFailure == .keyGivenUp)
    #expect(house.connection == nil && house.frames.isEmpty)
    #expect(
      await eventually {
        String(decoding: impostor.received, as: UTF8.self).contains("no longer on the roster")
      })
    impostor.close()
    await house.board.shutdown()
  }

  /// A lab that shows what the other side does not take, because its own clock is days off, say.
  @Test func whoseOwnCertificateIsRefusedLearnsWhatToLookAt() async throws {
    let (house, expected) = try dialler()
    let impostor = try await Impostor(
      Self.tls([try Intruder.certificate(1, now: Self.now)]), refuses: true)
    house.board.connect(to: LabID(firstKey: expected), address: impostor.address, key: expected)
    #expect(await eventually { house.dialFailure != nil })
    #expect(house.dialFailure == .certificateRefused)
    #expect(house.dialFailure?.description == "it refuses this node's certificate")
    #expect(house.dialFailure?.hint == "are the clocks of both machines right?")
    #expect(await JoinFailure.of(impostor.address, expected) == .certificateRefused)
    #expect(house.connection == nil && house.frames.isEmpty)
    impostor.close()
    await house.board.shutdown()
  }
}
