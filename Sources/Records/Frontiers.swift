import FoundationEssentials
import Identities

extension ContentID {
  /// An id from a record's field; nil when it has another length.
  public init?(bytes: Data) {
    guard let id = bytes.withUnsafeBytes({ ContentID(raw: $0) }) else { return nil }
    self = id
  }
}

extension LabID {
  /// A lab id from a record's field; nil when it has another length.
  public init?(bytes: Data) {
    guard let lab = bytes.withUnsafeBytes({ LabID(raw: $0) }) else { return nil }
    self = lab
  }
}

extension Hanse_V1_Seal {
  /// The seal's name: content id of its canonical bytes, not of its protobuf encoding.
  public var id: ContentID {
    var bytes: [UInt8] = []
    bytes.append(contentsOf: rosterVersion.littleEndianBytes)
    bytes.reserveCapacity(4 + prefixes.count * (2 * ContentID.byteCount + 8))
    let isSorted = zip(prefixes, prefixes.dropFirst()).allSatisfy { before, next in
      !next.lab.lexicographicallyPrecedes(before.lab)
    }
    let inOrder =
      isSorted ? prefixes : prefixes.sorted { $0.lab.lexicographicallyPrecedes($1.lab) }
    for prefix in inOrder {
      bytes.append(contentsOf: prefix.lab)
      withUnsafeBytes(of: prefix.sequence.littleEndian) { bytes.append(contentsOf: $0) }
      bytes.append(contentsOf: prefix.entry)
    }
    return ContentID(of: bytes, kind: .seal)
  }
}

extension Hanse_V1_Merge {
  /// The merge's name: content id of its roster version, round and members.
  ///
  /// It does not depend on which seal the frontier was written over, so that two nodes that folded
  /// the same contributions name the same merge.
  public var id: ContentID {
    let bytes =
      rosterVersion.littleEndianBytes + frontier.round.littleEndianBytes
      + Array(frontier.members)
    return ContentID(of: bytes, kind: .merge)
  }
}

extension Hanse_V1_Merge {
  /// Whether another merge has the same name: its roster version, round and members are the same.
  public func isSame(as other: Self) -> Bool {
    rosterVersion == other.rosterVersion && frontier.round == other.frontier.round
      && frontier.members == other.frontier.members
  }
}

extension ContentID {
  /// What a frontier's `members` holds: the id of the sorted contribution ids.
  public static func members(_ contributions: some Sequence<ContentID>) -> ContentID {
    var hasher = ContentHasher(kind: .merge)
    for contribution in contributions.sorted() { hasher.update(contribution.bytes) }
    return hasher.finish()
  }
}

extension FixedWidthInteger {
  /// The integer's bytes, least significant first.
  public var littleEndianBytes: [UInt8] {
    withUnsafeBytes(of: littleEndian) { Array($0) }
  }
}
