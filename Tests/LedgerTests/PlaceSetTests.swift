import Determinism
import Ledger
import Testing

/// Sets of places answer as sets of numbers do.
@Suite struct PlaceSetTests {
  @Test(arguments: UInt64(1)...20)
  func answersAsASetOfNumbers(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    func some(of bound: UInt64, _ count: Int) -> Set<Int> {
      Set((0..<count).map { _ in Int(generator.next() % bound) })
    }
    let bound = 1 + generator.next() % 400
    let one = some(of: bound, 40)
    // Now and then a part of the first, or all of it, or nothing.
    let kept = generator.next() % 3
    let other = kept == 0 ? one.filter { $0 % 3 > 0 } : kept == 1 ? one : some(of: bound, 60)
    let (first, second) = (places(one), places(other))
    #expect(first.count == one.count)
    #expect((0..<600).allSatisfy { first.contains($0) == one.contains($0) })
    #expect(second.isSubset(of: first) == other.isSubset(of: one))
    #expect(first.isSubset(of: second) == one.isSubset(of: other))
    #expect((first == second) == (one == other))
    var asked: [Int] = []
    let all = first.allSatisfy(besides: second) { place in
      asked.append(place)
      return true
    }
    #expect(all)
    #expect(asked == one.subtracting(other).sorted())
    #expect(first.allSatisfy { $0 % 2 == 0 } == one.allSatisfy { $0 % 2 == 0 })
  }

  private func places(_ numbers: Set<Int>) -> PlaceSet {
    var set = PlaceSet()
    for number in numbers.sorted(by: >) { set.insert(number) }
    return set
  }
}
