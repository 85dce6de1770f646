import Crypto
import FoundationEssentials
import Identities
import NIOSSL
import SwiftASN1
import X509

/// The self-signed certificate by which a lab shows its key inside TLS.
///
/// It carries nothing but the Ed25519 key: no name is believed and no authority is asked, since the
/// roster says which key is whose. See Protocol/Wire.md, "Channel".
package struct LabCertificate: Sendable {
  /// The certificate as TLS shows it.
  package let certificate: NIOSSLCertificate
  /// The key that belongs to it.
  package let privateKey: NIOSSLPrivateKey

  /// Makes a certificate for `key`, valid around `now` (seconds of Unix time).
  ///
  /// Throws what swift-certificates or NIOSSL throw, which for a well-formed key is nothing.
  package init(
    key: SigningKey, now: Int64, lifetime: Int64 = TransportLimits.certificateSeconds
  ) throws {
    let signer = Certificate.PrivateKey(
      try Curve25519.Signing.PrivateKey(rawRepresentation: key.seed))
    let name = try DistinguishedName { CommonName("hanse") }
    let start = Date(
      timeIntervalSince1970: Double(now - TransportLimits.clockToleranceSeconds))
    let made = try Certificate(
      version: .v3,
      serialNumber: Certificate.SerialNumber(bytes: [1]),
      publicKey: signer.publicKey,
      notValidBefore: start,
      notValidAfter: Date(timeIntervalSince1970: Double(now + lifetime)),
      issuer: name,
      subject: name,
      signatureAlgorithm: .ed25519,
      extensions: Certificate.Extensions(),
      issuerPrivateKey: signer)
    var serializer = DER.Serializer()
    try made.serialize(into: &serializer)
    certificate = try NIOSSLCertificate(bytes: serializer.serializedBytes, format: .der)
    privateKey = try NIOSSLPrivateKey(bytes: Self.pkcs8(seed: key.seed), format: .der)
  }

  /// RFC 8410, section 7: an Ed25519 seed as PKCS #8, whose only varying part is the seed.
  private static func pkcs8(seed: [UInt8]) -> [UInt8] {
    [
      0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
      0x20,
    ] + seed
  }
}
