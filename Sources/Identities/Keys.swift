import CSodium

/// A lab's lasting name: the content id of the first public key it ever had.
///
/// Keys are rotated; the lab id never changes.
public struct LabID: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The hash behind the name.
  public let content: ContentID

  /// The lab whose first key is `key`.
  public init(firstKey key: PublicKey) {
    content = ContentID(of: key.bytes, kind: .lab)
  }

  /// A lab id from its 32 bytes; nil when there are more or fewer.
  public init?(bytes: some Collection<UInt8>) {
    guard let content = ContentID(bytes: bytes) else { return nil }
    self.content = content
  }

  /// A lab id from its 32 bytes, wherever they lie; nil when there are more or fewer.
  public init?(raw bytes: UnsafeRawBufferPointer) {
    guard let content = ContentID(raw: bytes) else { return nil }
    self.content = content
  }

  /// A lab id from its text; nil when it is none.
  public init?(text: String) {
    guard let content = ContentID(text: text) else { return nil }
    self.content = content
  }

  /// The 32 bytes, as carried in records.
  public var bytes: [UInt8] { content.bytes }
  /// The first ten characters.
  public var short: String { content.short }
  public var description: String { content.description }

  public static func < (left: LabID, right: LabID) -> Bool { left.content < right.content }
}

/// An Ed25519 public key.
public struct PublicKey: Hashable, Sendable, CustomStringConvertible {
  /// Bytes in a key.
  public static let byteCount = 32
  /// Bytes in a signature.
  public static let signatureByteCount = 64

  /// The key's 32 bytes.
  public let bytes: [UInt8]

  /// A key from its 32 bytes; nil for another length or a point of small order, under which
  /// signatures prove nothing.
  public init?(bytes: some Collection<UInt8>) {
    guard bytes.count == Self.byteCount else { return nil }
    Sodium.ready()
    let copy = Array(bytes)
    // The conversion refuses points of small order and points off the main subgroup.
    var curve = [UInt8](repeating: 0, count: 32)
    guard crypto_sign_ed25519_pk_to_curve25519(&curve, copy) == 0 else { return nil }
    self.bytes = copy
  }

  /// Whether `signature` is this key's under exactly these bytes.
  public func verifies(_ signature: some Collection<UInt8>, of message: [UInt8]) -> Bool {
    let copy = Array(signature)
    guard copy.count == Self.signatureByteCount else { return false }
    return crypto_sign_ed25519_verify_detached(copy, message, UInt64(message.count), bytes) == 0
  }

  /// The key as people compare it aloud: four groups of five characters of its content id.
  public var fingerprint: String {
    let text = Array(ContentID(of: bytes, kind: .lab).description)
    return stride(from: 0, to: 20, by: 5).map { String(text[$0..<$0 + 5]) }.joined(separator: "-")
  }

  public var description: String { Base32.encode(bytes) }
}

/// An Ed25519 signing key, kept as its 32-byte seed.
public struct SigningKey: Sendable {
  /// Bytes in a seed.
  public static let byteCount = 32

  /// The secret. Written only to the key file.
  public let seed: [UInt8]
  /// The key that others check with.
  public let publicKey: PublicKey
  private let secret: [UInt8]

  /// The key of a seed; nil unless it has 32 bytes.
  public init?(seed: [UInt8]) {
    guard seed.count == Self.byteCount else { return nil }
    Sodium.ready()
    var publicBytes = [UInt8](repeating: 0, count: PublicKey.byteCount)
    var secret = [UInt8](repeating: 0, count: 64)
    crypto_sign_ed25519_seed_keypair(&publicBytes, &secret, seed)
    guard let publicKey = PublicKey(bytes: publicBytes) else { return nil }
    self.seed = seed
    self.publicKey = publicKey
    self.secret = secret
  }

  /// A fresh key from the system's randomness.
  public static func generate() -> SigningKey {
    Sodium.ready()
    var seed = [UInt8](repeating: 0, count: byteCount)
    randombytes_buf(&seed, byteCount)
    return SigningKey(seed: seed)!
  }

  /// The 64-byte signature under exactly these bytes.
  public func sign(_ message: [UInt8]) -> [UInt8] {
    var signature = [UInt8](repeating: 0, count: PublicKey.signatureByteCount)
    crypto_sign_ed25519_detached(&signature, nil, message, UInt64(message.count), secret)
    return signature
  }
}

/// Random bytes from the system, for keys and nonces; never for anything peers must agree on.
public func systemRandomBytes(_ count: Int) -> [UInt8] {
  Sodium.ready()
  var bytes = [UInt8](repeating: 0, count: count)
  randombytes_buf(&bytes, count)
  return bytes
}
