import CSodium
import Identities
import Testing

@Suite struct IdentityTests {
  private static func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  private static func bytes(_ hex: String) -> [UInt8] {
    let digits = Array(hex)
    return stride(from: 0, to: digits.count, by: 2).map {
      UInt8(String(digits[$0...$0 + 1]), radix: 16)!
    }
  }

  /// Expected values from Python's hashlib.blake2b with `digest_size=32` and `person`.
  @Test func contentIdsArePersonalisedBLAKE2b() {
    #expect(
      Self.hex(ContentID(of: Array("abc".utf8), kind: .entry).bytes)
        == "dbe6499e06604f45159df149339c376573229e3400ae41284afc73c15793e820")
    #expect(
      Self.hex(ContentID(of: [], kind: .block).bytes)
        == "3c6ded9fd293d9e150278c415890d08eb35a644245067739b5ad63ec2c78586a")
  }

  @Test func piecesHashLikeTheWhole() {
    let bytes = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    var hasher = ContentHasher(kind: .object)
    hasher.update(Array(bytes[..<1234]))
    hasher.update(Array(bytes[1234...]))
    #expect(hasher.finish() == ContentID(of: bytes, kind: .object))
    #expect(ContentID(of: bytes, kind: .object) != ContentID(of: bytes, kind: .block))
  }

  @Test func everyLengthHashesAsLibsodiumDoes() {
    precondition(sodium_init() >= 0)
    let bytes = (0..<1200).map { UInt8(truncatingIfNeeded: ($0 &* $0) >> 3 &+ $0) }
    let personal = Array("hanse-block".utf8) + [UInt8](repeating: 0, count: 5)
    for count in Array(0...600) + [1023, 1024, 1025, 1151, 1152, 1153, 1200] {
      var digest = [UInt8](repeating: 0, count: 32)
      crypto_generichash_blake2b_salt_personal(
        &digest, 32, bytes, UInt64(count), nil, 0, nil, personal)
      let piece = Array(bytes[..<count])
      #expect(ContentID(of: piece, kind: .block).bytes == digest)
      // In pieces that end before, at and behind the edges of the hash's own blocks.
      for step in [1, 127, 128, 129, 300] {
        var hasher = ContentHasher(kind: .block)
        for start in stride(from: 0, to: count, by: step) {
          hasher.update(Array(piece[start..<min(start + step, count)]))
        }
        #expect(hasher.finish().bytes == digest)
      }
    }
  }

  @Test func kindsFitThePersonalisation() {
    for kind in ContentID.Kind.allCases { #expect(kind.rawValue.utf8.count <= 16) }
  }

  @Test func idsComeBackFromTheirText() {
    let id = ContentID(of: [1, 2, 3], kind: .lab)
    #expect(id.description.count == 52)
    #expect(ContentID(text: id.description) == id)
    #expect(ContentID(text: id.description.uppercased()) == nil)
    #expect(ContentID(text: String(id.description.dropLast())) == nil)
    #expect(ContentID(bytes: id.bytes) == id)
    #expect(ContentID(bytes: id.bytes.dropLast()) == nil)
  }

  /// RFC 4648, section 10, in lower case without padding.
  @Test func base32FollowsTheStandard() {
    let cases = [
      ("", ""), ("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foob", "mzxw6yq"),
      ("fooba", "mzxw6ytb"), ("foobar", "mzxw6ytboi"),
    ]
    for (plain, coded) in cases {
      #expect(Base32.encode(Array(plain.utf8)) == coded)
      #expect(Base32.decode(coded) == Array(plain.utf8))
    }
    // Filler bits that are set, lengths that no encoding has, other alphabets.
    for wrong in ["mz", "a", "mzx", "MY", "m1"] { #expect(Base32.decode(wrong) == nil, "\(wrong)") }
  }

  /// RFC 8032, section 7.1, test 2.
  @Test func signaturesFollowTheStandard() {
    let key = SigningKey(
      seed: Self.bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))!
    #expect(
      Self.hex(key.publicKey.bytes)
        == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    let signature = key.sign([0x72])
    #expect(
      Self.hex(signature)
        == "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        + "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
    #expect(key.publicKey.verifies(signature, of: [0x72]))
    #expect(!key.publicKey.verifies(signature, of: [0x73]))
    #expect(!key.publicKey.verifies(signature.dropLast(), of: [0x72]))
  }

  @Test func keysOfSmallOrderAreRefused() {
    #expect(PublicKey(bytes: [UInt8](repeating: 0, count: 32)) == nil)
    #expect(PublicKey(bytes: [1] + [UInt8](repeating: 0, count: 31)) == nil)
    #expect(PublicKey(bytes: [UInt8](repeating: 0, count: 31)) == nil)
  }

  /// RFC 8439, appendix A.1, test vector 1: the key stream of an all-zero key.
  @Test func theStreamIsChaCha20() {
    var stream = DeterministicStream(seed: [UInt8](repeating: 0, count: 32))
    let words = (0..<4).map { _ in stream.next() }
    let bytes = words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
    }
    #expect(Self.hex(bytes) == "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7")
    // The second buffer goes on where the first ended.
    var long = DeterministicStream(seed: [UInt8](repeating: 0, count: 32))
    let drawn = (0..<1024).map { _ in long.next() }
    #expect(Set(drawn).count == 1024)
  }
}
