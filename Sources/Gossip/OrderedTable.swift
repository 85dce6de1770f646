/// Values by key, kept and visited in the order of their keys.
///
/// A dictionary's order differs from process to process; what a pure room visits must not. Lookup
/// is a binary search, which for the hundreds of labs of a federation costs no more than hashing.
package struct OrderedTable<Key: Comparable & Sendable, Value: Sendable>: Sendable {
  package private(set) var keys: [Key] = []
  private var slots: [Value?] = []

  package init() {}

  package var count: Int { keys.count }
  package var isEmpty: Bool { keys.isEmpty }

  /// The values, in the order of their keys.
  package var values: [Value] { slots.compactMap { $0 } }

  /// How many values are such as described.
  package func count(where isMeant: (Value) -> Bool) -> Int {
    slots.reduce(0) { sum, slot in slot.map(isMeant) == true ? sum + 1 : sum }
  }

  /// Whether any value is such as described.
  package func contains(where isMeant: (Value) -> Bool) -> Bool {
    slots.contains { $0.map(isMeant) == true }
  }

  /// The keys of values such as described, in order.
  package func keys(where isMeant: (Value) -> Bool) -> [Key] {
    keys.indices.compactMap { slots[$0].map(isMeant) == true ? keys[$0] : nil }
  }

  package func contains(_ key: Key) -> Bool { locate(key).found }

  /// The value of the key at this place among the keys.
  package func value(at place: Int) -> Value? { slots[place] }

  /// The value of a key; assigning nil takes the key out. Changes happen in place.
  package subscript(key: Key) -> Value? {
    get {
      let place = locate(key)
      return place.found ? slots[place.index] : nil
    }
    set {
      let place = locate(key)
      if place.found, newValue != nil {
        slots[place.index] = newValue
      } else if place.found {
        keys.remove(at: place.index)
        slots.remove(at: place.index)
      } else if newValue != nil {
        keys.insert(key, at: place.index)
        slots.insert(newValue, at: place.index)
      }
    }
    _modify {
      let place = locate(key)
      if !place.found {
        keys.insert(key, at: place.index)
        slots.insert(nil, at: place.index)
      }
      defer {
        if slots[place.index] == nil {
          keys.remove(at: place.index)
          slots.remove(at: place.index)
        }
      }
      yield &slots[place.index]
    }
  }

  /// The value of a key, or `start` for a key that has none yet, to be changed in place.
  package subscript(key: Key, default start: @autoclosure () -> Value) -> Value {
    get { self[key] ?? start() }
    _modify {
      let place = locate(key)
      if !place.found {
        keys.insert(key, at: place.index)
        slots.insert(start(), at: place.index)
      }
      yield &slots[place.index]!
    }
  }

  package mutating func removeAll() {
    keys.removeAll()
    slots.removeAll()
  }

  private func locate(_ key: Key) -> (index: Int, found: Bool) {
    var low = 0
    var high = keys.count
    while low < high {
      let middle = (low + high) / 2
      if keys[middle] < key { low = middle + 1 } else { high = middle }
    }
    return (low, low < keys.count && keys[low] == key)
  }
}
