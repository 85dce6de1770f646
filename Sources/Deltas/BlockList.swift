import Identities
import Records

/// How a payload is cut for transfer: its size and the content id of each 256 KiB of it.
///
/// An entry announces the list's id; whoever holds the list can check every block on arrival, from
/// any peer, in any order. See Protocol/Delta.md, "Block list".
public struct BlockList: Sendable, Hashable {
  /// Bytes in each block but the last.
  public static let blockByteCount = Limits.blockBytesMax
  /// Bytes in a payload, at most.
  public static let maximumPayload = Limits.payloadBytesMax

  /// Bytes in the payload.
  public let byteCount: Int
  /// The content id, of kind `block`, of each block.
  public let hashes: [ContentID]

  /// The list of a payload. Throws ``DeltaError/payloadSize(limit:found:)``.
  public init(of payload: [UInt8]) throws {
    try Self.check(size: UInt64(payload.count))
    byteCount = payload.count
    hashes = payload.withUnsafeBytes { payload in
      stride(from: 0, to: payload.count, by: Self.blockByteCount).map { start in
        var hasher = ContentHasher(kind: .block)
        let end = min(start + Self.blockByteCount, payload.count)
        hasher.update(UnsafeRawBufferPointer(rebasing: payload[start..<end]))
        return hasher.finish()
      }
    }
  }

  /// The list that `bytes` encode. Throws ``DeltaError`` unless they are exactly what ``encoded()``
  /// gives for some list.
  public init(decoding bytes: [UInt8]) throws {
    guard bytes.count >= 8 else {
      throw DeltaError.blockListLength(expected: 8, found: bytes.count)
    }
    let size = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[$1]) << UInt64(8 * $1) }
    try Self.check(size: size)
    let count = (Int(size) + Self.blockByteCount - 1) / Self.blockByteCount
    let length = 8 + ContentID.byteCount * count
    guard bytes.count == length else {
      throw DeltaError.blockListLength(expected: length, found: bytes.count)
    }
    byteCount = Int(size)
    hashes = (0..<count).map { index in
      let start = 8 + ContentID.byteCount * index
      return ContentID(bytes: bytes[start..<start + ContentID.byteCount])!
    }
  }

  /// Eight bytes of size, little end first, then each block's 32 bytes.
  public func encoded() -> [UInt8] {
    var bytes = (0..<8).map { UInt8(truncatingIfNeeded: byteCount >> (8 * $0)) }
    bytes.reserveCapacity(8 + ContentID.byteCount * hashes.count)
    for hash in hashes { bytes += hash.bytes }
    return bytes
  }

  /// The list's own name: the content id, of kind `object`, of ``encoded()``.
  public var id: ContentID { ContentID(of: encoded(), kind: .object) }

  /// Where block `index` sits in the payload; nil when there is no such block.
  public func range(ofBlock index: Int) -> Range<Int>? {
    guard hashes.indices.contains(index) else { return nil }
    let start = index * Self.blockByteCount
    return start..<min(start + Self.blockByteCount, byteCount)
  }

  /// Whether `block` is block `index` of the payload: its length first, then its hash.
  public func accepts(_ block: [UInt8], at index: Int) -> Bool {
    guard let range = range(ofBlock: index), block.count == range.count else { return false }
    return ContentID(of: block, kind: .block) == hashes[index]
  }

  private static func check(size: UInt64) throws {
    guard size >= 1, size <= UInt64(maximumPayload) else {
      throw DeltaError.payloadSize(limit: maximumPayload, found: size)
    }
  }
}
