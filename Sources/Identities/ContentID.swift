import CSodium

/// The name of some bytes: their BLAKE2b-256 hash, separated by what kind of thing they are.
///
/// Two things of different kinds never share an id even when their bytes are equal, since the kind
/// goes into the hash as its personalisation. See Protocol/Identity.md, "Content ids".
public struct ContentID: Hashable, Comparable, Sendable {
  /// What the hashed bytes are. The raw value, padded with zeros to 16 bytes, personalises the
  /// hash.
  public enum Kind: String, Sendable, CaseIterable {
    case block = "hanse-block"
    case bundle = "hanse-bundle"
    case card = "hanse-card"
    case charter = "hanse-charter"
    case entry = "hanse-entry"
    case file = "hanse-file"
    case lab = "hanse-lab"
    case layout = "hanse-layout"
    case merge = "hanse-merge"
    case object = "hanse-object"
    case request = "hanse-request"
    case roster = "hanse-roster"
    case seal = "hanse-seal"
    case start = "hanse-start"
    case state = "hanse-state"
    case symbols = "hanse-symbols"
    case ticket = "hanse-ticket"
    case vote = "hanse-vote"
  }

  /// Bytes in an id.
  public static let byteCount = 32

  private let words: (UInt64, UInt64, UInt64, UInt64)

  /// The id of `bytes` as a thing of `kind`.
  public init(of bytes: [UInt8], kind: Kind) {
    Sodium.ready()
    var digest: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    let status = withUnsafeMutableBytes(of: &digest) { digest in
      Self.withPersonal(kind) { personal in
        bytes.withUnsafeBufferPointer { bytes in
          crypto_generichash_blake2b_salt_personal(
            digest.baseAddress!.assumingMemoryBound(to: UInt8.self), Self.byteCount,
            bytes.baseAddress, UInt64(bytes.count), nil, 0, nil, personal)
        }
      }
    }
    precondition(status == 0, "BLAKE2b refused its parameters")
    words = (
      digest.0.bigEndian, digest.1.bigEndian, digest.2.bigEndian, digest.3.bigEndian
    )
  }

  /// Lends the 16 bytes that personalise the hash for a kind.
  static func withPersonal<Result>(
    _ kind: Kind, _ body: (UnsafePointer<UInt8>) -> Result
  ) -> Result {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16) { personal in
      personal.initialize(repeating: 0)
      for (place, byte) in kind.rawValue.utf8.enumerated() { personal[place] = byte }
      return body(UnsafePointer(personal.baseAddress!))
    }
  }

  /// An id from its 32 bytes, wherever they lie; nil when there are more or fewer.
  public init?(raw bytes: UnsafeRawBufferPointer) {
    guard bytes.count == Self.byteCount else { return nil }
    words = Self.words(bytes)
  }

  /// An id from its 32 bytes; nil when there are more or fewer.
  public init?(bytes: some Collection<UInt8>) {
    guard bytes.count == Self.byteCount else { return nil }
    let read = bytes.withContiguousStorageIfAvailable { Self.words(UnsafeRawBufferPointer($0)) }
    words = read ?? Array(bytes).withUnsafeBytes(Self.words)
  }

  /// Four words, most significant byte first, of 32 bytes.
  private static func words(
    _ bytes: UnsafeRawBufferPointer
  ) -> (UInt64, UInt64, UInt64, UInt64) {
    func word(_ index: Int) -> UInt64 {
      UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self))
    }
    return (word(0), word(1), word(2), word(3))
  }

  /// An id from the 52 characters that `description` gives; nil for anything else.
  public init?(text: String) {
    guard let bytes = Base32.decode(text), let id = ContentID(bytes: bytes) else { return nil }
    self = id
  }

  /// The 32 bytes, as carried in records.
  public var bytes: [UInt8] {
    let big = (words.0.bigEndian, words.1.bigEndian, words.2.bigEndian, words.3.bigEndian)
    return withUnsafeBytes(of: big) { Array($0) }
  }

  /// The first ten characters of the text: enough to tell things apart on a screen.
  public var short: String { String(description.prefix(10)) }

  public static func == (left: ContentID, right: ContentID) -> Bool { left.words == right.words }

  public static func < (left: ContentID, right: ContentID) -> Bool {
    // The first words nearly always decide, in tables that are searched at every event.
    left.words.0 == right.words.0 ? left.words < right.words : left.words.0 < right.words.0
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.3)
  }
}

extension ContentID: CustomStringConvertible {
  /// Lower-case base32 without padding: 52 characters.
  public var description: String { Base32.encode(bytes) }
}

/// Hashes bytes that arrive in pieces into a ``ContentID``. Used once: `finish` ends it.
public struct ContentHasher: ~Copyable {
  // libsodium declares the state with an alignment that Swift cannot import, so it is raw memory.
  private let state: OpaquePointer
  private let memory: UnsafeMutableRawPointer

  /// Begins a hash for a thing of `kind`.
  public init(kind: ContentID.Kind) {
    Sodium.ready()
    memory = .allocate(byteCount: crypto_generichash_blake2b_statebytes(), alignment: 64)
    state = OpaquePointer(memory)
    let state = state
    let status = ContentID.withPersonal(kind) { personal in
      crypto_generichash_blake2b_init_salt_personal(
        state, nil, 0, ContentID.byteCount, nil, personal)
    }
    precondition(status == 0, "BLAKE2b refused its parameters")
  }

  deinit { memory.deallocate() }

  /// Adds bytes.
  public mutating func update(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { update($0) }
  }

  /// Adds bytes without copying them.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress else { return }
    crypto_generichash_blake2b_update(
      state, start.assumingMemoryBound(to: UInt8.self), UInt64(bytes.count))
  }

  /// The id of everything added.
  public consuming func finish() -> ContentID {
    var digest = [UInt8](repeating: 0, count: ContentID.byteCount)
    crypto_generichash_blake2b_final(state, &digest, digest.count)
    return ContentID(bytes: digest)!
  }
}
