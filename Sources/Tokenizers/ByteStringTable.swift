/// A hash table from byte strings to numbers, flat: no object per entry, no copy per look-up.
///
/// Open addressing with linear probing at no more than half full.
struct ByteStringTable: Sendable {
  private struct Slot {
    var hash: UInt32 = 0
    var length: UInt32 = 0
    var offset: UInt32 = 0
    /// -1 marks a free slot.
    var value: Int32 = -1
  }

  private var slots: [Slot]
  private var arena: [UInt8] = []
  private(set) var count = 0

  /// A table that holds `capacity` entries before it grows.
  init(capacity: Int) {
    var size = 64
    while size < capacity * 2 { size *= 2 }
    slots = [Slot](repeating: Slot(), count: size)
  }

  /// The number stored for `key`.
  @inline(__always)
  func value(of key: UnsafeBufferPointer<UInt8>) -> Int32? {
    let hash = Self.hash(key)
    let mask = slots.count - 1
    var index = Int(hash) & mask
    while slots[index].value >= 0 {
      if slots[index].hash == hash, holds(slots[index], key) { return slots[index].value }
      index = (index + 1) & mask
    }
    return nil
  }

  /// The number stored for `key`.
  func value(of key: [UInt8]) -> Int32? {
    key.withUnsafeBufferPointer { value(of: $0) }
  }

  /// Stores `value` (not negative) for a key that must not be there yet.
  ///
  /// - Returns: false, and changes nothing, when it is.
  mutating func insert(_ key: UnsafeBufferPointer<UInt8>, _ value: Int32) -> Bool {
    precondition(value >= 0)
    if (count + 1) * 2 > slots.count { grow() }
    let hash = Self.hash(key)
    let mask = slots.count - 1
    var index = Int(hash) & mask
    while slots[index].value >= 0 {
      if slots[index].hash == hash, holds(slots[index], key) { return false }
      index = (index + 1) & mask
    }
    // Offsets are 32 bits wide: vocabularies and caches stay far below four gigabytes.
    slots[index] = Slot(
      hash: hash, length: UInt32(key.count), offset: UInt32(arena.count), value: value)
    arena.append(contentsOf: key)
    count += 1
    return true
  }

  /// Stores `value` for a key that must not be there yet; false when it is.
  mutating func insert(_ key: [UInt8], _ value: Int32) -> Bool {
    key.withUnsafeBufferPointer { insert($0, value) }
  }

  private mutating func grow() {
    let old = slots
    slots = [Slot](repeating: Slot(), count: old.count * 2)
    let mask = slots.count - 1
    for slot in old where slot.value >= 0 {
      var index = Int(slot.hash) & mask
      while slots[index].value >= 0 { index = (index + 1) & mask }
      slots[index] = slot
    }
  }

  @inline(__always)
  private func holds(_ slot: Slot, _ key: UnsafeBufferPointer<UInt8>) -> Bool {
    guard Int(slot.length) == key.count else { return false }
    let offset = Int(slot.offset)
    return arena.withUnsafeBufferPointer { arena in
      for index in 0..<key.count where arena[offset + index] != key[index] { return false }
      return true
    }
  }

  /// Eight bytes at a time, multiplied and folded (the scheme of wyhash, shortened).
  @inline(__always)
  private static func hash(_ key: UnsafeBufferPointer<UInt8>) -> UInt32 {
    let raw = UnsafeRawBufferPointer(key)
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15 ^ UInt64(key.count)
    var position = 0
    while position + 8 <= raw.count {
      state = fold(state ^ raw.loadUnaligned(fromByteOffset: position, as: UInt64.self))
      position += 8
    }
    var tail: UInt64 = 0
    while position < raw.count {
      tail = tail << 8 | UInt64(raw[position])
      position += 1
    }
    state = fold(state ^ tail)
    return UInt32(truncatingIfNeeded: state ^ state >> 32)
  }

  @inline(__always)
  private static func fold(_ value: UInt64) -> UInt64 {
    let product = value.multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
    return product.high ^ product.low
  }
}
