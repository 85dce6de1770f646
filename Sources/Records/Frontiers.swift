import Identities

extension Hanse_V1_Seal {
  /// The seal's name: content id of its canonical bytes, not of its protobuf encoding.
  public var id: ContentID {
    var bytes: [UInt8] = []
    bytes.append(contentsOf: rosterVersion.littleEndianBytes)
    for prefix in prefixes.sorted(by: { $0.lab.lexicographicallyPrecedes($1.lab) }) {
      bytes += Array(prefix.lab)
      bytes += prefix.sequence.littleEndianBytes
      bytes += Array(prefix.entry)
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
