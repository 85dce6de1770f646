import Adapters
import Identities

/// The fixed beginning of a packed delta. See Protocol/Delta.md, "Payload".
struct DeltaHeader: Equatable {
  static let byteCount = 56
  static let magic = Array("HANSEDLT".utf8)
  static let version: UInt8 = 1

  var tier: UInt8
  var coordinates: UInt32
  var blocks: UInt32
  var streamLength: UInt32
  var layout: ContentID

  func encoded() -> [UInt8] {
    var bytes = Self.magic + [Self.version, tier, 0, 0]
    bytes.reserveCapacity(Self.byteCount)
    for number in [coordinates, blocks, streamLength] {
      for shift in [0, 8, 16, 24] as [UInt32] {
        bytes.append(UInt8(truncatingIfNeeded: number >> shift))
      }
    }
    return bytes + layout.bytes
  }

  /// Reads the header; counts are not judged here.
  init(reading bytes: [UInt8]) throws {
    guard bytes.count > Self.byteCount else { throw DeltaError.tooShort(found: bytes.count) }
    guard bytes.starts(with: Self.magic) else { throw DeltaError.magic }
    guard bytes[8] == Self.version else { throw DeltaError.version(bytes[8]) }
    tier = bytes[9]
    guard bytes[10] == 0, bytes[11] == 0 else { throw DeltaError.reserved }
    func number(at offset: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
    }
    coordinates = number(at: 12)
    blocks = number(at: 16)
    streamLength = number(at: 20)
    layout = ContentID(bytes: bytes[24..<56])!
  }

  init(of delta: Delta, streamLength: Int) {
    tier = delta.tier.rawValue
    coordinates = UInt32(delta.layout.count)
    blocks = UInt32(delta.exponents.count)
    self.streamLength = UInt32(streamLength)
    layout = delta.layout.id
  }
}

extension Delta {
  /// Bytes that a packed delta of a layout may have at most.
  public static func maximumPackedSize(layout: AdapterLayout, tier: DeltaTier = .int4) -> Int {
    DeltaHeader.byteCount + Frame.maximumLength(content: tier.maximumStreamLength(of: layout))
  }

  /// The delta as bytes to send: header, then exponents and symbols in one zstd frame.
  ///
  /// Two versions of zstd may give different bytes; ``symbolsHash()`` does not depend on them.
  public func pack() -> [UInt8] {
    let stream = stream()
    let header = DeltaHeader(of: self, streamLength: stream.count)
    return Frame.compress(stream, after: header.encoded())
  }

  /// What the frame holds: the delta's parts, one kind after the other.
  package func stream() -> [UInt8] {
    tier.entriesPerBlock == nil ? packNibbles() : packSparse()
  }

  /// The delta that `bytes` hold, if they pass every check of Protocol/Delta.md, "Duties of
  /// readers".
  ///
  /// Takes no more memory than the layout calls for, whatever the bytes claim. Throws
  /// ``DeltaError``.
  public static func unpack(
    _ bytes: [UInt8], layout: AdapterLayout, tier: DeltaTier = .int4
  ) throws -> Delta {
    let header = try DeltaHeader(reading: bytes)
    try header.check(layout: layout, tier: tier)
    let limit = DeltaHeader.byteCount + Frame.maximumLength(content: Int(header.streamLength))
    guard bytes.count <= limit else { throw DeltaError.tooLong(limit: limit, found: bytes.count) }
    let stream = try Frame.decompress(
      bytes, from: DeltaHeader.byteCount, size: Int(header.streamLength))
    return try tier.entriesPerBlock == nil
      ? unpackNibbles(stream, layout: layout, tier: tier)
      : unpackSparse(stream, layout: layout, tier: tier)
  }
}

extension DeltaHeader {
  /// Whether the header is that of a delta of `layout` and `tier`.
  func check(layout: AdapterLayout, tier: DeltaTier) throws {
    guard self.tier == tier.rawValue else { throw DeltaError.tier(self.tier) }
    guard self.layout == layout.id else {
      throw DeltaError.layout(expected: layout.id, found: self.layout)
    }
    guard Int(coordinates) == layout.count else {
      throw DeltaError.coordinateCount(expected: layout.count, found: Int(coordinates))
    }
    let blockCount = tier.blockCount(of: layout)
    guard Int(blocks) == blockCount else {
      throw DeltaError.blockCount(expected: blockCount, found: Int(blocks))
    }
    let limit = tier.maximumStreamLength(of: layout)
    guard Int(streamLength) <= limit, Int(streamLength) == limit || tier.isStreamVariable else {
      throw DeltaError.streamLength(limit: limit, found: Int(streamLength))
    }
  }
}

extension DeltaTier {
  /// Whether the stream's length depends on the symbols.
  var isStreamVariable: Bool { entriesPerBlock != nil }

  /// Bytes of the streams before compression, at most.
  func maximumStreamLength(of layout: AdapterLayout) -> Int {
    entriesPerBlock == nil
      ? blockCount(of: layout) + (layout.count + 1) / 2 : maximumSparseLength(of: layout)
  }
}
