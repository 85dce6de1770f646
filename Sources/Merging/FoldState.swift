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
  public let round: UInt32
  /// θ, the shared adapter, in units of 2⁻⁴⁰, within ±2⁵⁸.
  public let theta: [Int64]
  /// v, the outer momentum, in units of 2⁻⁴⁰, within ±2⁵⁸.
  public let velocity: [Int64]
  /// The remembered median norm of each factor in units of 2⁻⁴⁰; 0 where there is none yet.
  public let medianNorms: [UInt64]

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
    hasher.update(head())
    forEachPart { hasher.update($0) }
    return hasher.finish()
  }

  /// The snapshot that a late joiner loads.
  public func encoded() -> [UInt8] {
    var bytes = head()
    bytes.reserveCapacity(Self.byteCount(of: layout))
    forEachPart { bytes.append(contentsOf: $0) }
    return bytes
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
    guard bytes.starts(with: Self.magic) else { throw FoldError.stateMagic }
    let length = Self.byteCount(of: layout)
    guard bytes.count >= Self.headByteCount else {
      throw FoldError.stateLength(expected: length, found: bytes.count)
    }
    guard bytes[8] == Self.version else { throw FoldError.stateVersion(bytes[8]) }
    guard bytes[9..<16].allSatisfy({ $0 == 0 }) else { throw FoldError.stateReserved }
    let found = ContentID(bytes: bytes[16..<48])!
    guard found == layout.id else {
      throw FoldError.stateLayout(expected: layout.id, found: found)
    }
    guard bytes.count == length else {
      throw FoldError.stateLength(expected: length, found: bytes.count)
    }
    let medians = Self.headByteCount
    let theta = medians + 8 * layout.factors.count
    let velocity = theta + 8 * layout.count
    self.init(
      layout: layout, round: round,
      theta: bytes.littleEndianWords(at: theta, count: layout.count),
      velocity: bytes.littleEndianWords(at: velocity, count: layout.count),
      medianNorms: bytes.littleEndianWords(at: medians, count: layout.factors.count))
    try checkRange()
    if let root, self.root != root {
      throw FoldError.stateRoot(expected: root, found: self.root)
    }
  }

  private func head() -> [UInt8] {
    Self.magic + [Self.version, 0, 0, 0, 0, 0, 0, 0] + layout.id.bytes
  }

  /// The bytes after the head, part after part.
  private func forEachPart(_ body: (UnsafeRawBufferPointer) -> Void) {
    medianNorms.withLittleEndianBytes(body)
    theta.withLittleEndianBytes(body)
    velocity.withLittleEndianBytes(body)
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
}

extension [UInt8] {
  /// The words at an offset, little end first. The bytes must be there.
  func littleEndianWords<Word: FixedWidthInteger & BitwiseCopyable>(
    at offset: Int, count: Int
  ) -> [Word] {
    withUnsafeBytes { bytes in
      (0..<count).map {
        Word(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 8 * $0, as: Word.self))
      }
    }
  }
}
