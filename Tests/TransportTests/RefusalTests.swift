import Crypto
import Foundation
import Gossip
import Identities
import NIOCore
import NIOSSL
import Records
import SwiftASN1
import Synchronization
import Testing
import Transport
import X509

/// What is refused, each time by a listener that knows the lab 1 and would let it in.
@Suite struct RefusalTests {
  private static var now: Int64 { Int64(Date().timeIntervalSince1970) }

  private func listener(patience: Patience = Patience()) async throws -> House {
    let roster = Roster()
    roster.add(1)
    roster.add(9)
    let house = try House(9, roster: roster, patience: patience)
    try await house.board.start()
    return house
  }

  /// Connects with this TLS and expects to be shut out without having been told anything, and that
  /// the lab's log says who it was and why.
  private func isShutOut(_ tls: TLSConfiguration, _ reason: String) async throws -> Bool {
    let house = try await listener()
    let intruder = try await Intruder(to: house.address, tls: tls)
    intruder.send([0, 0, 0, 4, 0x3a, 2, 8, 1])
    let isClosed = await eventually { intruder.isClosed }
    let isSaid = await eventually {
      house.refusals.withLock { refusals in
        refusals.count == 1
          && refusals[0].hasPrefix("a stranger was refused, 127.0.0.1:")
          && refusals[0].hasSuffix(": " + reason)
      }
    }
    if !isSaid { Issue.record("said: \(house.refusals.withLock { $0 })") }
    let isUnheard = house.connection == nil && house.frames.isEmpty
    await house.board.shutdown()
    return isClosed && isUnheard && intruder.received.isEmpty
  }

  @Test func theControlIsLetIn() async throws {
    let house = try await listener()
    let tls = Intruder.tls([try Intruder.certificate(1, now: Self.now)])
    let intruder = try await Intruder(to: house.address, tls: tls)
    #expect(await eventually { house.connection != nil })
    intruder.send([0, 0, 0, 4, 0x3a, 2, 8, 1])
    #expect(await eventually { house.frames.count == 1 })
    await house.board.shutdown()
  }

  @Test func noCertificate() async throws {
    #expect(
      try await isShutOut(Intruder.tls([]), "the TLS handshake failed: no certificate was shown"))
  }

  @Test func twoCertificates() async throws {
    let tls = Intruder.tls([
      try Intruder.certificate(1, now: Self.now), try Intruder.certificate(2, now: Self.now),
    ])
    #expect(
      try await isShutOut(
        tls, "its certificate is refused: 2 certificates were shown instead of one"))
  }

  @Test func anExpiredCertificate() async throws {
    let old = try Intruder.certificate(1, now: Self.now - 400 * 86_400)
    #expect(
      try await isShutOut(
        Intruder.tls([old]), "its certificate is refused: it has expired"))
  }

  @Test func aCertificateOfTheFuture() async throws {
    let young = try Intruder.certificate(1, now: Self.now + 30 * 86_400)
    #expect(
      try await isShutOut(
        Intruder.tls([young]), "its certificate is refused: it is not valid yet"))
  }

  /// Certificates of a good key that BoringSSL takes, so that they come as far as the check: with
  /// one bit turned, and too long.
  @Test func malformedCertificates() async throws {
    let good = try Intruder.certificate(1, now: Self.now)
    let bytes = try good.certificate.toDERBytes()
    let key = SigningKey(seed: [UInt8](repeating: 1, count: 32))!
    var bad: [NIOSSLCertificate] = []
    // The key with its name, of which one bit less proves nothing.
    let start = try #require(
      bytes.indices.first { bytes[$0...].starts(with: key.publicKey.bytes) })
    let kept = start - 12..<start + 32
    for index in bytes.indices where bad.count < 4 && !kept.contains(index) {
      var turned = bytes
      turned[index] ^= 1 << UInt8(index % 8)
      do {
        _ = try CertificateCheck.key(of: turned, now: Self.now)
      } catch TransportError.badCertificate("it cannot be read") {
        if let certificate = try? NIOSSLCertificate(bytes: turned, format: .der) {
          bad.append(certificate)
        }
      } catch {}
    }
    #expect(!bad.isEmpty)
    for certificate in bad {
      var tls = Intruder.tls([good])
      tls.certificateChain = [.certificate(certificate)]
      let reason = "its certificate is refused: it cannot be read"
      #expect(try await isShutOut(tls, reason))
    }
    let name = try DistinguishedName { CommonName(String(repeating: "x", count: 4096)) }
    let signer = Certificate.PrivateKey(
      try Curve25519.Signing.PrivateKey(rawRepresentation: key.seed))
    let long = try Self.certificate(of: signer, .ed25519, name)
    var tls = Intruder.tls([good])
    tls.certificateChain = [.certificate(long)]
    let count = try long.toDERBytes().count
    #expect(count > TransportLimits.certificateBytes)
    #expect(try await isShutOut(tls, "its certificate is refused: it has \(count) bytes"))
  }

  private static func certificate(
    of key: Certificate.PrivateKey, _ algorithm: Certificate.SignatureAlgorithm,
    _ name: DistinguishedName
  ) throws -> NIOSSLCertificate {
    let made = try Certificate(
      version: .v3, serialNumber: .init(bytes: [1]), publicKey: key.publicKey,
      notValidBefore: Date() - 60, notValidAfter: Date() + 3600, issuer: name, subject: name,
      signatureAlgorithm: algorithm, extensions: .init(), issuerPrivateKey: key)
    var serializer = DER.Serializer()
    try made.serialize(into: &serializer)
    return try NIOSSLCertificate(bytes: serializer.serializedBytes, format: .der)
  }

  @Test func aCertificateOfAnotherKindOfKey() async throws {
    let key = P256.Signing.PrivateKey()
    let certificate = try Self.certificate(
      of: .init(key), .ecdsaWithSHA256, DistinguishedName { CommonName("hanse") })
    var tls = Intruder.tls([])
    tls.signingSignatureAlgorithms = [.ecdsaSecp256R1Sha256]
    tls.certificateChain = [.certificate(certificate)]
    tls.privateKey = .privateKey(
      try NIOSSLPrivateKey(bytes: Array(key.derRepresentation), format: .der))
    let reason = "the two sides have no kind of key or cipher in common"
    #expect(try await isShutOut(tls, "the TLS handshake failed: " + reason))
  }

  @Test func aClockOneDayOffIsNoReason() async throws {
    for days in [Int64(-1), 1] {
      let house = try await listener()
      let certificate = try Intruder.certificate(1, now: Self.now + days * 86_400)
      _ = try await Intruder(to: house.address, tls: Intruder.tls([certificate]))
      #expect(await eventually { house.connection != nil })
      await house.board.shutdown()
    }
  }

  @Test func tls12() async throws {
    var tls = Intruder.tls([try Intruder.certificate(1, now: Self.now)])
    tls.minimumTLSVersion = .tlsv12
    tls.maximumTLSVersion = .tlsv12
    #expect(
      try await isShutOut(
        tls, "the TLS handshake failed: the other side does not speak TLS 1.3"))
  }

  @Test func noApplicationProtocol() async throws {
    var tls = Intruder.tls([try Intruder.certificate(1, now: Self.now)])
    tls.applicationProtocols = []
    #expect(try await isShutOut(tls, "it does not speak hanse/1"))
  }

  @Test func anotherApplicationProtocol() async throws {
    var tls = Intruder.tls([try Intruder.certificate(1, now: Self.now)])
    tls.applicationProtocols = ["h2", "hanse/2"]
    #expect(try await isShutOut(tls, "it does not speak hanse/1"))
  }

  @Test func anUnknownKeyIsAGuestAndMayOnlyAsk() async throws {
    let unknown = Intruder.tls([try Intruder.certificate(3, now: Self.now)])
    #expect(
      try await isShutOut(
        unknown, "as a guest it may send one request to join and nothing else"))
  }

  @Test func aGuestThatSendsMoreThanFourKiB() async throws {
    for bytes: [UInt8] in [
      [0, 0, 0x10, 1], [0, 0, 0x0f, 0xff] + [UInt8](repeating: 0, count: 5000),
      [0xff, 0xff, 0xff, 0xff],
    ] {
      let house = try await listener()
      let tls = Intruder.tls([try Intruder.certificate(3, now: Self.now)])
      let intruder = try await Intruder(to: house.address, tls: tls)
      intruder.send(bytes)
      #expect(await eventually { intruder.isClosed })
      await house.board.shutdown()
    }
  }

  @Test func aGuestThatSaysNothingIsToldWhy() async throws {
    var patience = Patience()
    patience.guest = 0.3
    let house = try await listener(patience: patience)
    let tls = Intruder.tls([try Intruder.certificate(3, now: Self.now)])
    let intruder = try await Intruder(to: house.address, tls: tls)
    #expect(await eventually { intruder.isClosed })
    #expect(String(decoding: intruder.received, as: UTF8.self).contains("roster"))
    await house.board.shutdown()
  }

  @Test func plainTextAndGarbage() async throws {
    for bytes in ["GET / HTTP/1.1\r\n\r\n", "\u{16}\u{3}\u{1}\u{0}\u{5}hello", "\n"] {
      var patience = Patience()
      patience.handshake = 0.5
      let house = try await listener(patience: patience)
      let intruder = try await Intruder(to: house.address, tls: nil)
      intruder.send(Array(bytes.utf8))
      #expect(await eventually { intruder.isClosed })
      #expect(house.events.withLock { $0.isEmpty })
      await house.board.shutdown()
    }
  }

  @Test func aHandshakeThatNeverEnds() async throws {
    var patience = Patience()
    patience.handshake = 0.3
    let house = try await listener(patience: patience)
    let intruder = try await Intruder(to: house.address, tls: nil)
    #expect(await eventually(2) { intruder.isClosed })
    await house.board.shutdown()
  }

  /// Sends bytes as a member and expects the connection to end for a reason.
  private func memberEnds(
    _ bytes: [UInt8], _ isExpected: (TransportError) -> Bool
  ) async throws {
    let house = try await listener()
    let tls = Intruder.tls([try Intruder.certificate(1, now: Self.now)])
    let intruder = try await Intruder(to: house.address, tls: tls)
    try #require(await eventually { house.connection != nil })
    intruder.send(bytes)
    #expect(await eventually { intruder.isClosed })
    #expect(
      house.disconnection.map(isExpected) == true, "\(String(describing: house.disconnection))")
    await house.board.shutdown()
  }

  @Test func aFrameLongerThanAMebibyte() async throws {
    try await memberEnds([0xff, 0xff, 0xff, 0xff]) {
      $0 == .frameTooLong(bytes: 0xffff_ffff, limit: Limits.frameBytesMax)
    }
    try await memberEnds([0, 0x10, 0, 1]) {
      $0 == .frameTooLong(bytes: 0x10_0001, limit: Limits.frameBytesMax)
    }
  }

  @Test func framesThatDoNotDecode() async throws {
    try await memberEnds([0, 0, 0, 0]) { $0 == .undecodable }
    try await memberEnds([0, 0, 0, 3, 0x0a, 0x7f, 1]) { $0 == .undecodable }
    try await memberEnds([0, 0, 0, 1, 0xff]) { $0 == .undecodable }
  }

  @Test func oneByteAtATime() async throws {
    var patience = Patience()
    patience.frame = 0.5
    patience.watch = 0.2
    let house = try await listener(patience: patience)
    let tls = Intruder.tls([try Intruder.certificate(1, now: Self.now)])
    let intruder = try await Intruder(to: house.address, tls: tls)
    try #require(await eventually { house.connection != nil })
    for byte: UInt8 in [0, 0, 0, 100] + [UInt8](repeating: 1, count: 40) where !intruder.isClosed {
      intruder.send([byte])
      try await Task.sleep(for: .milliseconds(50))
    }
    #expect(intruder.isClosed)
    #expect(house.disconnection == .tooSlow)
    await house.board.shutdown()
  }

  @Test func strangersTakeNoPlaceFromMembers() async throws {
    let roster = Roster()
    roster.add(1)
    roster.add(2)
    let house = try House(2, roster: roster)
    try await house.board.start()
    var crowd: [Intruder] = []
    for _ in 0..<100 {
      crowd.append(try await Intruder(to: house.address, from: "127.0.0.2", tls: nil))
    }
    #expect(
      await eventually {
        crowd.count { !$0.isClosed } == TransportLimits.strangersPerAddress
      })
    let member = try House(1, roster: roster, listens: false)
    member.dial(house)
    #expect(await eventually { house.connection != nil })
    for intruder in crowd { intruder.close() }
    await house.board.shutdown()
  }

  @Test func certificatesThatAreNone() throws {
    let good = try Intruder.certificate(1, now: Self.now).certificate.toDERBytes()
    #expect(throws: Never.self) { try CertificateCheck.key(of: good, now: Self.now) }
    // Every cut and every flipped bit either fails or leaves the key readable: nothing traps.
    for length in 0..<good.count {
      #expect(throws: TransportError.self) {
        try CertificateCheck.key(of: Array(good.prefix(length)), now: Self.now)
      }
    }
    var refused = 0
    for index in good.indices {
      for bit in 0..<8 {
        var broken = good
        broken[index] ^= 1 << UInt8(bit)
        if (try? CertificateCheck.key(of: broken, now: Self.now)) == nil { refused += 1 }
      }
    }
    #expect(refused > good.count)
  }
}
