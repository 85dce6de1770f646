import Adapters
import Identities

/// Everything that the fold carries from round to round.
///
/// The model is ``adapter``; the rest decides how the next round moves it. Two members with the
/// same logs have the same ``root``. See Protocol/Merge.md, "State".
public struct FoldState: Sendable, Equatable {
  static let magic = Array("HANSESTA".utf8)
  static let version: UInt8 = 1
  static let headByteCount = 48

  /// Where each coordinate sits.
  public let layout: AdapterLayout
  /// The landing round folded last; 0 before any. Not part of the root: the merge names it.
  public internal(set) var round: UInt32
  /// θ, the shared adapter, in units of 2⁻⁴⁰, within ±2⁵⁸.
  public internal(set) var theta: [Int64]
  /// v, the outer momentum, in units of 2⁻⁴⁰, within ±2⁵⁸.
  public internal(set) var velocity: [Int64]
  /// The remembered median norm of each factor in units of 2⁻⁴⁰; 0 where there is none yet.
  public internal(set) var medianNorms: [UInt64]

  init(
    layout: AdapterLayout, round: UInt32, theta: [Int64], velocity: [Int64],
    medianNorms: [UInt64]
  ) {
    self.layout = layout
    self.round = round
    self.theta = theta
    self.velocity = velocity
    self.medianNorms = medianNorms
  }

  /// The state of round 0, which everybody derives from the charter.
  public static func start(layout: AdapterLayout, seed: [UInt8]) -> FoldState {
    FoldState(
      layout: layout, round: 0, theta: CanonicalAdapter.start(layout: layout, seed: seed).units,
      velocity: [Int64](repeating: 0, count: layout.count),
      medianNorms: [UInt64](repeating: 0, count: layout.factors.count))
  }

  /// The shared adapter.
  public var adapter: CanonicalAdapter { CanonicalAdapter(layout: layout, filled: theta) }

  /// The state root: the content id, of kind `state`, of ``encoded()``.
  ///
  /// Takes time in proportion to the coordinates, about a second for a gigabyte.
  public var root: ContentID {
    var hasher = ContentHasher(kind: .state)
    encode { hasher.update($0) }
    return hasher.finish()
  }

  /// The snapshot that a late joiner loads.
  public func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.byteCount(of: layout))
    encode { bytes.append(contentsOf: $0) }
    return bytes
  }

  /// Calls `append` with one piece of ``encoded()`` after the other, so that no second copy of a
  /// large state has to fit into memory.
  public func encode(to append: (UnsafeRawBufferPointer) -> Void) {
    let head = Self.magic + [Self.version, 0, 0, 0, 0, 0, 0, 0] + layout.id.bytes
    head.withUnsafeBytes(append)
    medianNorms.withLittleEndianBytes(append)
    theta.withLittleEndianBytes(append)
    velocity.withLittleEndianBytes(append)
  }

  /// Bytes in a snapshot of a layout.
  public static func byteCount(of layout: AdapterLayout) -> Int {
    headByteCount + 8 * (layout.factors.count + 2 * layout.count)
  }

  /// The state that a snapshot holds, if its root is the attested one.
  ///
  /// - Parameters:
  ///   - bytes: what ``encoded()`` gave.
  ///   - round: the round of the merge that the root was attested for.
  ///   - root: the attested root; nil for a snapshot that never left this machine's care.
  /// - Throws: ``FoldError`` naming the check that failed, in the order of Protocol/Merge.md.
  public init(
    decoding bytes: [UInt8], layout: AdapterLayout, round: UInt32, root: ContentID?
  ) throws(FoldError) {
    var offset = 0
    try self.init(decoding: bytes.count, layout: layout, round: round, root: root) { buffer in
      bytes.withUnsafeBytes { bytes in
        buffer.copyMemory(from: .init(rebasing: bytes[offset..<offset + buffer.count]))
      }
      offset += buffer.count
      return true
    }
  }

  /// The same of bytes that arrive as they are asked for: a large state fits into memory once, but
  /// hardly twice.
  ///
  /// - Parameters:
  ///   - byteCount: how many bytes there are; never more are asked for.
  ///   - next: fills a buffer with the next bytes; false when it cannot.
  public init(
    decoding byteCount: Int, layout: AdapterLayout, round: UInt32, root: ContentID?,
    next: (UnsafeMutableRawBufferPointer) -> Bool
  ) throws(FoldError) {
    let length = Self.byteCount(of: layout)
    let short = FoldError.stateLength(expected: length, found: byteCount)
    var head = [UInt8](repeating: 0, count: min(byteCount, Self.headByteCount))
    guard head.isEmpty || head.withUnsafeMutableBytes(next) else { throw short }
    guard head.starts(with: Self.magic) else { throw FoldError.stateMagic }
    guard head.count == Self.headByteCount else { throw short }
    guard head[8] == Self.version else { throw FoldError.stateVersion(head[8]) }
    guard head[9..<16].allSatisfy({ $0 == 0 }) else { throw FoldError.stateReserved }
    let found = ContentID(bytes: head[16..<48])!
    guard found == layout.id else {
      throw FoldError.stateLayout(expected: layout.id, found: found)
    }
    guard byteCount == length,
      let medianNorms = [UInt64](littleEndian: layout.factors.count, next),
      let theta = [Int64](littleEndian: layout.count, next),
      let velocity = [Int64](littleEndian: layout.count, next)
    else { throw short }
    self.init(
      layout: layout, round: round, theta: theta, velocity: velocity, medianNorms: medianNorms)
    try checkRange()
    if let root, self.root != root {
      throw FoldError.stateRoot(expected: root, found: self.root)
    }
  }

  private func checkRange() throws(FoldError) {
    let range = -CanonicalAdapter.maximumUnits...CanonicalAdapter.maximumUnits
    if let index = theta.firstIndex(where: { !range.contains($0) }) {
      throw FoldError.stateRange(coordinate: index)
    }
    if let index = velocity.firstIndex(where: { !range.contains($0) }) {
      throw FoldError.stateRange(coordinate: layout.count + index)
    }
  }
}

extension Array where Element: FixedWidthInteger {
  /// Calls `body` with the words' bytes, little end first, whatever the machine's order.
  func withLittleEndianBytes(_ body: (UnsafeRawBufferPointer) -> Void) {
    if UInt64(1).littleEndian == 1 {
      withUnsafeBytes(body)
    } else {
      map { $0.littleEndian }.withUnsafeBytes(body)
    }
  }

  /// So many words from bytes with the little end first; nil when `next` cannot fill them.
  init?(littleEndian count: Int, _ next: (UnsafeMutableRawBufferPointer) -> Bool) {
    self = [Element](repeating: 0, count: count)
    guard withUnsafeMutableBytes(next) else { return nil }
    if UInt64(1).littleEndian != 1 {
      for index in indices { self[index] = Element(littleEndian: self[index]) }
    }
  }
}
