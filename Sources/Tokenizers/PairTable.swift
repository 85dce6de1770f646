/// Merges: from two neighbouring tokens to the rank of their merge and the token it makes.
struct PairTable: Sendable {
  /// A merge's rank and result in one word, ordered by rank; `.max` when there is none.
  typealias Merge = UInt64

  static let none = Merge.max

  private struct Slot {
    /// Ids are not negative, so all ones is no pair.
    var key: UInt64 = .max
    var merge: Merge = PairTable.none
  }

  private var slots: [Slot]

  /// A table with room for `capacity` merges.
  init(capacity: Int) {
    var size = 64
    while size < capacity * 2 { size *= 2 }
    slots = [Slot](repeating: Slot(), count: size)
  }

  @inline(__always)
  static func result(of merge: Merge) -> Int32 { Int32(truncatingIfNeeded: merge & 0xFFFF_FFFF) }

  @inline(__always)
  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  @inline(__always)
  private func start(_ key: UInt64) -> Int {
    let mixed = key &* 0x9E37_79B9_7F4A_7C15
    return Int(truncatingIfNeeded: mixed >> 24 ^ mixed >> 40) & (slots.count - 1)
  }

  /// The merge of two tokens, or `none`.
  @inline(__always)
  func merge(_ left: Int32, _ right: Int32) -> Merge {
    let key = Self.key(left, right)
    var index = start(key)
    while true {
      let slot = slots[index]
      if slot.key == key { return slot.merge }
      if slot.key == .max { return Self.none }
      index = (index + 1) & (slots.count - 1)
    }
  }

  /// Adds a merge; false when the pair has one already.
  mutating func insert(_ left: Int32, _ right: Int32, rank: Int32, result: Int32) -> Bool {
    let key = Self.key(left, right)
    var index = start(key)
    while slots[index].key != .max {
      if slots[index].key == key { return false }
      index = (index + 1) & (slots.count - 1)
    }
    slots[index] = Slot(key: key, merge: UInt64(rank) << 32 | UInt64(UInt32(bitPattern: result)))
    return true
  }
}
