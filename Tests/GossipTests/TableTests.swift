import Determinism
import Gossip
import Testing

@Suite struct TableTests {
  @Test func aTableBehavesLikeASortedDictionary() {
    var generator = SeededGenerator(seed: 1)
    var table = OrderedTable<Int, Int>()
    var dictionary: [Int: Int] = [:]
    for step in 0..<5000 {
      let key = Int(generator.next() % 100)
      switch generator.next() % 4 {
      case 0: (table[key], dictionary[key]) = (nil, nil)
      case 1: (table[key], dictionary[key]) = (step, step)
      case 2:
        table[key, default: 0] += 1
        dictionary[key, default: 0] += 1
      default:
        table[key]? += 3
        dictionary[key]? += 3
      }
    }
    #expect(table.keys == dictionary.keys.sorted())
    #expect(table.values == dictionary.keys.sorted().map { dictionary[$0]! })
    #expect(dictionary.allSatisfy { table[$0.key] == $0.value && table.contains($0.key) })
  }

  @Test func aBlockSetGivesItsLowest() {
    var generator = SeededGenerator(seed: 2)
    var blocks = BlockSet(count: 300)
    var set: Set<UInt32> = []
    for _ in 0..<3000 {
      let index = UInt32(generator.next() % 310)
      if generator.next() % 2 == 0 {
        blocks.insert(index)
        // The room is for whole words; 300 rounds up to 320.
        set.insert(index)
      } else {
        #expect(blocks.remove(index) == (set.remove(index) != nil))
      }
      let start = UInt32(generator.next() % 310)
      #expect(blocks.next() == set.min())
      #expect(blocks.next(from: start) == set.filter { $0 >= start }.min())
      #expect(blocks.count == set.count)
    }
  }

  @Test func hostileTextIsShownEscaped() {
    #expect(printable("a\u{1b}[2J\nb\u{202e}c") == "a\\u{1b}[2J\\u{a}b\\u{202e}c")
    #expect(printable("Lübeck 東京") == "Lübeck 東京")
    #expect(printable(String(repeating: "x", count: 500)).unicodeScalars.count == 201)
  }
}
