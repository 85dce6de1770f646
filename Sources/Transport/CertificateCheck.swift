import Crypto
import FoundationEssentials
import Identities
import NIOSSL
import SwiftASN1
import X509

/// What a certificate must be to be listened to at all, and the key that it shows.
///
/// TLS proves that the other side holds the key. Whose key it is, the roster says. The certificate
/// is read by swift-certificates alone: NIOSSL's own accessors for its key and dates end the
/// process when a field is malformed.
package enum CertificateCheck {
  /// The key of the only certificate of a chain. `now` is Unix time in seconds.
  ///
  /// - Throws: ``TransportError/badCertificate(_:)`` saying what is wrong.
  package static func key(
    of chain: [NIOSSLCertificate], now: Int64
  ) throws(TransportError) -> PublicKey {
    guard chain.count == 1, let only = chain.first else {
      throw .badCertificate("\(chain.count) certificates were shown instead of one")
    }
    guard let bytes = try? only.toDERBytes() else {
      throw .badCertificate("it cannot be read")
    }
    return try key(of: bytes, now: now)
  }

  /// The key of a certificate in DER.
  package static func key(of bytes: [UInt8], now: Int64) throws(TransportError) -> PublicKey {
    guard bytes.count <= TransportLimits.certificateBytes else {
      throw .badCertificate("it has \(bytes.count) bytes")
    }
    guard let certificate = try? Certificate(derEncoded: bytes) else {
      throw .badCertificate("it cannot be read")
    }
    guard let shown = Curve25519.Signing.PublicKey(certificate.publicKey) else {
      throw .badCertificate("its key is not an Ed25519 key")
    }
    guard let key = PublicKey(bytes: Array(shown.rawRepresentation)) else {
      throw .badCertificate("its key is a point of small order")
    }
    let tolerance = Double(TransportLimits.clockToleranceSeconds)
    guard Double(now) >= certificate.notValidBefore.timeIntervalSince1970 - tolerance else {
      throw .badCertificate(TransportError.tooEarly)
    }
    guard Double(now) <= certificate.notValidAfter.timeIntervalSince1970 + tolerance else {
      throw .badCertificate(TransportError.tooLate)
    }
    return key
  }
}
