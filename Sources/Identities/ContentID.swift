import CBlake2

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
    self = bytes.withUnsafeBytes { ContentID(of: $0, kind: kind) }
  }

  /// The id of bytes that lie anywhere, as a thing of `kind`.
  public init(of bytes: UnsafeRawBufferPointer, kind: Kind) {
    var hasher = ContentHasher(kind: kind)
    hasher.update(bytes)
    self = hasher.finish()
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
  private var hash = hanse_blake2()

  /// Begins a hash for a thing of `kind`.
  public init(kind: ContentID.Kind) {
    ContentID.withPersonal(kind) { hanse_blake2_begin(&hash, $0) }
  }

  /// Adds bytes.
  public mutating func update(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { update($0) }
  }

  /// Adds bytes without copying them.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress else { return }
    hanse_blake2_add(&hash, start.assumingMemoryBound(to: UInt8.self), bytes.count)
  }

  /// The id of everything added.
  public consuming func finish() -> ContentID {
    withUnsafeTemporaryAllocation(byteCount: ContentID.byteCount, alignment: 8) { digest in
      hanse_blake2_finish(&hash, digest.baseAddress!.assumingMemoryBound(to: UInt8.self))
      return ContentID(raw: UnsafeRawBufferPointer(digest))!
    }
  }
}
