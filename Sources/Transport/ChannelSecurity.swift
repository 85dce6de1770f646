import Glibc
import Gossip
import Identities
import NIOCore
import NIOSSL

/// TLS as hanse uses it: version 1.3 only, an Ed25519 certificate on both sides, ALPN `hanse/1`.
package struct ChannelSecurity: Sendable {
  /// The only application protocol.
  package static let protocolName = "hanse/1"

  private let configuration: (server: TLSConfiguration, client: TLSConfiguration)

  /// The TLS of a lab that shows `certificate`.
  package init(certificate: LabCertificate) {
    var client = TLSConfiguration.makeClientConfiguration()
    let server = TLSConfiguration.makeServerConfiguration(
      certificateChain: [.certificate(certificate.certificate)],
      privateKey: .privateKey(certificate.privateKey))
    client.certificateChain = [.certificate(certificate.certificate)]
    client.privateKey = .privateKey(certificate.privateKey)
    configuration = (Self.harden(server), Self.harden(client))
  }

  private static func harden(_ plain: TLSConfiguration) -> TLSConfiguration {
    var result = plain
    result.minimumTLSVersion = .tlsv13
    result.maximumTLSVersion = .tlsv13
    // No authority is trusted: the verification callback replaces every check that would ask one.
    result.trustRoots = .certificates([])
    result.certificateVerification = .noHostnameVerification
    // BoringSSL's own list leaves Ed25519 out.
    result.verifySignatureAlgorithms = [.ed25519]
    result.signingSignatureAlgorithms = [.ed25519]
    result.applicationProtocols = [protocolName]
    result.renegotiationSupport = .none
    result.shutdownTimeout = .milliseconds(TransportLimits.farewellMilliseconds)
    return result
  }

  /// The handler of an accepted connection.
  ///
  /// Its context is made for it alone: with a shared one a client could resume a session, and a
  /// resumed session shows no certificate.
  func serverHandler(_ check: @escaping VerifyKey) throws -> NIOSSLServerHandler {
    NIOSSLServerHandler(
      context: try NIOSSLContext(configuration: configuration.server),
      customVerificationCallback: Self.callback(check))
  }

  /// The handler of a dialled connection.
  func clientHandler(_ check: @escaping VerifyKey) throws -> NIOSSLClientHandler {
    try NIOSSLClientHandler(
      context: try NIOSSLContext(configuration: configuration.client), serverHostname: nil,
      customVerificationCallback: Self.callback(check))
  }

  /// The key that the other side has proved to hold, looked at once the handshake is over.
  ///
  /// The check inside of the handshake is not enough: a resumed session would have skipped it.
  static func provenKey(
    _ pipeline: ChannelPipeline.SynchronousOperations
  ) throws(TransportError) -> PublicKey {
    let certificate: NIOSSLCertificate?
    let version: TLSVersion?
    do {
      certificate = try pipeline.nioSSL_peerCertificate()
      version = try pipeline.nioSSL_tlsVersion()
    } catch { throw .handshake(printable("\(error)")) }
    guard version == .tlsv13 else { throw .handshake("it is not TLS 1.3") }
    return try CertificateCheck.key(of: certificate.map { [$0] } ?? [], now: unixSeconds())
  }

  /// Says whether a chain of certificates is acceptable; called on the connection's event loop.
  typealias VerifyKey = ([NIOSSLCertificate]) -> Bool

  private static func callback(
    _ check: @escaping VerifyKey
  ) -> NIOSSLCustomVerificationCallback {
    { chain, promise in
      promise.succeed(check(chain) ? .certificateVerified : .failed)
    }
  }
}

/// The wall clock, for the dates of certificates only.
func unixSeconds() -> Int64 { Int64(time(nil)) }
