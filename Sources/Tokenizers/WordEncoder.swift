import Synchronization

/// Merges the bytes of words into tokens. One encoder works for one thread at a time.
struct WordEncoder {
  /// Words longer than this are merged with a queue, in n·log n steps instead of n².
  private static let shortWord = 48

  private let vocabulary: Vocabulary
  private var cache: WordCache
  private var ids: [Int32] = []
  private var pairs: [PairTable.Merge] = []

  init(vocabulary: Vocabulary, cache: consuming WordCache) {
    self.vocabulary = vocabulary
    self.cache = cache
  }

  /// Ends the work and gives the cache back.
  consuming func finish() -> WordCache { cache }

  /// Appends the tokens of one word.
  @inline(__always)
  mutating func append(_ word: UnsafeBufferPointer<UInt8>, to result: inout [Int32]) {
    if word.count == 1, case .bytes = vocabulary.alphabet {
      vocabulary.append(word[0], to: &result)
      return
    }
    if word.count <= WordCache.wordBytes, cache.append(word, to: &result) { return }
    if let id = vocabulary.wholeWords?.value(of: word) {
      result.append(id)
      return
    }
    let start = result.count
    if word.count <= Self.shortWord {
      mergeShort(word, into: &result)
    } else {
      mergeLong(word, into: &result)
    }
    if word.count <= WordCache.wordBytes { cache.insert(word, result[start...]) }
  }

  /// The best pair is looked for in all pairs, again and again: fastest for words of normal length.
  private mutating func mergeShort(
    _ word: UnsafeBufferPointer<UInt8>, into result: inout [Int32]
  ) {
    ids.removeAll(keepingCapacity: true)
    vocabulary.begin(word, in: &ids)
    let merges = vocabulary.merges
    pairs.removeAll(keepingCapacity: true)
    for index in 0..<max(ids.count - 1, 0) {
      pairs.append(merges.merge(ids[index], ids[index + 1]))
    }
    while true {
      var best = PairTable.none
      var place = 0
      for index in 0..<pairs.count where pairs[index] < best {
        best = pairs[index]
        place = index
      }
      guard best != PairTable.none else { break }
      ids[place] = PairTable.result(of: best)
      ids.remove(at: place + 1)
      pairs.remove(at: place)
      if place > 0 { pairs[place - 1] = merges.merge(ids[place - 1], ids[place]) }
      if place < pairs.count { pairs[place] = merges.merge(ids[place], ids[place + 1]) }
    }
    result.append(contentsOf: ids)
  }

  private mutating func mergeLong(
    _ word: UnsafeBufferPointer<UInt8>, into result: inout [Int32]
  ) {
    ids.removeAll(keepingCapacity: true)
    vocabulary.begin(word, in: &ids)
    var list = TokenList(ids)
    list.merge(by: vocabulary.merges)
    list.append(to: &result)
  }
}

/// A linked list of tokens and a heap of pairs; a pair that is no longer there when it comes up is
/// passed over.
private struct TokenList {
  /// A token that was swallowed by its neighbour.
  private static let gone: Int32 = -1

  private var ids: [Int32]
  private var next: [Int32]
  private var previous: [Int32]
  private var queue: PairQueue

  init(_ ids: [Int32]) {
    self.ids = ids
    next = ids.indices.map { Int32($0 + 1) }
    previous = ids.indices.map { Int32($0 - 1) }
    queue = PairQueue(capacity: ids.count)
  }

  mutating func merge(by merges: PairTable) {
    for index in 0..<max(ids.count - 1, 0) { enqueue(index, index + 1, merges) }
    while let (merge, place) = queue.pop() {
      let left = Int(place)
      let right = Int(next[left])
      guard ids[left] != Self.gone, right < ids.count, merges.merge(ids[left], ids[right]) == merge
      else { continue }
      ids[left] = PairTable.result(of: merge)
      ids[right] = Self.gone
      next[left] = next[right]
      let after = Int(next[left])
      if after < ids.count {
        previous[after] = place
        enqueue(left, after, merges)
      }
      if previous[left] >= 0 { enqueue(Int(previous[left]), left, merges) }
    }
  }

  private mutating func enqueue(_ left: Int, _ right: Int, _ merges: PairTable) {
    let merge = merges.merge(ids[left], ids[right])
    if merge != PairTable.none { queue.push(merge, place: Int32(left)) }
  }

  func append(to result: inout [Int32]) {
    for id in ids where id != Self.gone { result.append(id) }
  }
}

/// A binary heap of pairs: lowest rank first, leftmost first among equals.
private struct PairQueue {
  private var items: [(merge: PairTable.Merge, place: Int32)] = []

  init(capacity: Int) { items.reserveCapacity(capacity) }

  private static func precedes(
    _ left: (merge: PairTable.Merge, place: Int32), _ right: (merge: PairTable.Merge, place: Int32)
  ) -> Bool {
    left.merge < right.merge || (left.merge == right.merge && left.place < right.place)
  }

  mutating func push(_ merge: PairTable.Merge, place: Int32) {
    let item = (merge, place)
    items.append(item)
    var index = items.count - 1
    while index > 0 {
      let parent = (index - 1) / 2
      guard Self.precedes(item, items[parent]) else { break }
      items[index] = items[parent]
      index = parent
    }
    items[index] = item
  }

  mutating func pop() -> (merge: PairTable.Merge, place: Int32)? {
    guard let top = items.first, let last = items.popLast() else { return nil }
    guard !items.isEmpty else { return top }
    var index = 0
    while true {
      var child = 2 * index + 1
      guard child < items.count else { break }
      if child + 1 < items.count, Self.precedes(items[child + 1], items[child]) { child += 1 }
      guard Self.precedes(items[child], last) else { break }
      items[index] = items[child]
      index = child
    }
    items[index] = last
    return top
  }
}

/// Words already merged. Text repeats itself; most words are found here.
struct WordCache: Sendable {
  /// Longer words are seldom seen again.
  static let wordBytes = 64
  /// Some 20 MB at most; then the cache stays as it is.
  private static let words = 200_000

  private var places = ByteStringTable(capacity: 4096)
  private var starts: [Int32] = [0]
  private var ids: [Int32] = []

  var count: Int { places.count }

  /// Appends the tokens of a word seen before; false when it was not.
  @inline(__always)
  func append(_ word: UnsafeBufferPointer<UInt8>, to result: inout [Int32]) -> Bool {
    guard let place = places.value(of: word) else { return false }
    let start = Int(starts[Int(place)])
    let end = Int(starts[Int(place) + 1])
    if end - start == 1 {
      result.append(ids[start])
    } else {
      result.append(contentsOf: ids[start..<end])
    }
    return true
  }

  mutating func insert(_ word: UnsafeBufferPointer<UInt8>, _ tokens: ArraySlice<Int32>) {
    guard places.count < Self.words, places.insert(word, Int32(places.count)) else { return }
    ids.append(contentsOf: tokens)
    starts.append(Int32(ids.count))
  }
}

/// Where a tokenizer keeps its cache between two texts. Whoever encodes takes it out and puts it
/// back; a second thread meanwhile starts with an empty one, and the fuller one is kept.
final class CacheShelf: Sendable {
  private let shelf = Mutex<WordCache?>(nil)

  func take() -> WordCache {
    shelf.withLock { cache in
      defer { cache = nil }
      return cache ?? WordCache()
    }
  }

  func put(_ cache: WordCache) {
    shelf.withLock { kept in
      if cache.count > (kept?.count ?? 0) { kept = cache }
    }
  }
}
