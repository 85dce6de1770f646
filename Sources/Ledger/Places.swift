import Identities

/// A number for each contribution that this ledger has met, so that a set of them is a bit each.
///
/// Each contribution's base is a set of all that was before it. Written with their names, the bases
/// of a few thousand rounds would fill a machine; with bits they take some megabytes. The numbers
/// follow from the order in which entries came, mean nothing elsewhere and are never taken back.
struct Places: Sendable {
  private var places: [ContentID: Int] = [:]
  /// Names by place.
  private var ids: [ContentID] = []
  /// Places in the order of their names.
  private var inOrder: [Int] = []

  /// A contribution's place; nil when it was not met.
  func find(_ id: ContentID) -> Int? { places[id] }

  /// A contribution's place, a new one if it has none yet.
  mutating func place(of id: ContentID) -> Int {
    if let known = places[id] { return known }
    let place = ids.count
    ids.append(id)
    places[id] = place
    var low = 0
    var high = inOrder.count
    while low < high {
      let middle = (low + high) / 2
      if ids[inOrder[middle]] < id { low = middle + 1 } else { high = middle }
    }
    inOrder.insert(place, at: low)
    return place
  }

  /// The names of a set, sorted.
  func names(in set: PlaceSet) -> [ContentID] {
    var names: [ContentID] = []
    names.reserveCapacity(set.count)
    for place in inOrder where set.contains(place) { names.append(ids[place]) }
    return names
  }

  /// Whether every member of a set that is not in the other is such as described.
  func all(
    in set: PlaceSet, besides other: PlaceSet, are isMeant: (ContentID) -> Bool
  ) -> Bool {
    set.allSatisfy(besides: other) { isMeant(ids[$0]) }
  }
}

/// A set of places, a bit each.
package struct PlaceSet: Sendable, Equatable {
  package init() {}

  /// The last one is not 0, so that equal sets are equal.
  private var words: [UInt64] = []

  package var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

  package func contains(_ place: Int) -> Bool {
    let word = place >> 6
    return word < words.count && words[word] & 1 << UInt64(place & 63) != 0
  }

  package mutating func insert(_ place: Int) {
    let word = place >> 6
    while words.count <= word { words.append(0) }
    words[word] |= 1 << UInt64(place & 63)
  }

  package func isSubset(of other: PlaceSet) -> Bool {
    guard words.count <= other.words.count else { return false }
    for index in words.indices where words[index] & ~other.words[index] != 0 { return false }
    return true
  }

  /// Whether all places that are not in the other set are such as described; they are asked in
  /// ascending order.
  package func allSatisfy(
    besides other: PlaceSet = PlaceSet(), _ isMeant: (Int) -> Bool
  ) -> Bool {
    for index in words.indices {
      var left = index < other.words.count ? words[index] & ~other.words[index] : words[index]
      while left != 0 {
        if !isMeant(index << 6 + left.trailingZeroBitCount) { return false }
        left &= left - 1
      }
    }
    return true
  }
}
