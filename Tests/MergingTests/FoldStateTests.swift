import Adapters
import Determinism
import Identities
import Merging
import Testing

@Suite struct FoldStateTests {
  private func state() throws -> FoldState {
    var generator = SeededGenerator(seed: 2)
    let layout = try Samples.layout()
    return try Samples.round(2, count: 4, layout: layout, &generator)
      .folded(onto: .start(layout: layout, seed: [3]), round: 2, rules: try FoldRules())
  }

  @Test func comesBackFromItsSnapshot() throws {
    let state = try state()
    let bytes = state.encoded()
    #expect(bytes.count == FoldState.byteCount(of: state.layout))
    #expect(state.root == ContentID(of: bytes, kind: .state))
    let back = try FoldState(decoding: bytes, layout: state.layout, round: 2, root: state.root)
    #expect(back == state)
    #expect(back.adapter.units == state.theta)
  }

  @Test func everyBitOfASnapshotIsInTheRoot() throws {
    let state = try state()
    let bytes = state.encoded()
    var generator = SeededGenerator(seed: 4)
    for index in 0..<bytes.count where index < 80 || index % 53 == 0 {
      var other = bytes
      other[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      #expect(throws: FoldError.self) {
        try FoldState(decoding: other, layout: state.layout, round: 2, root: state.root)
      }
    }
  }

  @Test func refusesSnapshotsByTheCheckThatFails() throws {
    let state = try state()
    let layout = state.layout
    let bytes = state.encoded()
    func refuse(_ error: FoldError, _ edit: (inout [UInt8]) -> Void) {
      var bytes = bytes
      edit(&bytes)
      #expect(throws: error) {
        try FoldState(decoding: bytes, layout: layout, round: 2, root: nil)
      }
    }
    refuse(.stateMagic) { $0[0] = 0 }
    refuse(.stateMagic) { $0 = [] }
    refuse(.stateLength(expected: bytes.count, found: 47)) { $0 = Array($0[..<47]) }
    refuse(.stateLength(expected: bytes.count, found: bytes.count - 1)) { $0.removeLast() }
    refuse(.stateLength(expected: bytes.count, found: bytes.count + 1)) { $0.append(0) }
    refuse(.stateVersion(2)) { $0[8] = 2 }
    refuse(.stateReserved) { $0[15] = 1 }
    let theta = 48 + 8 * layout.factors.count
    refuse(.stateRange(coordinate: 0)) {
      $0.replaceSubrange(theta..<theta + 8, with: [1, 0, 0, 0, 0, 0, 0, 4])
    }
    refuse(.stateRange(coordinate: 2 * layout.count - 1)) { $0[$0.count - 1] = 0x80 }
    let other = ContentID(of: [], kind: .layout)
    refuse(.stateLayout(expected: layout.id, found: other)) {
      $0.replaceSubrange(16..<48, with: other.bytes)
    }
    #expect(throws: FoldError.stateRoot(expected: other, found: state.root)) {
      try FoldState(decoding: bytes, layout: layout, round: 2, root: other)
    }
  }

  @Test func theStartIsThatOfTheAdapter() throws {
    let layout = try Samples.layout()
    let start = FoldState.start(layout: layout, seed: [9])
    #expect(start.theta == CanonicalAdapter.start(layout: layout, seed: [9]).units)
    #expect(start.velocity.allSatisfy { $0 == 0 })
    #expect(start.round == 0)
    #expect(start.root != FoldState.start(layout: layout, seed: [8]).root)
  }
}
