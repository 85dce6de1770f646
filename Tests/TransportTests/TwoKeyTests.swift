import Gossip
import Identities
import Testing
import Transport

/// A lab whose key is being replaced is met under either, and each side takes only what its roster
/// has.
@Suite struct TwoKeyTests {
  private let old = SigningKey(seed: [UInt8](repeating: 1, count: 32))!
  private let new = SigningKey(seed: [UInt8](repeating: 77, count: 32))!

  @Test func theOtherKeyIsShownToWhoeverDidNotTakeTheFirst() async throws {
    let theirs = Roster()
    theirs.add(2)
    // The listener knows the dialler under its new key alone.
    let known = Roster()
    known.add(new.publicKey, of: LabID(firstKey: old.publicKey))
    var patience = Patience()
    patience.guest = 0.3
    let dialler = try House(1, roster: theirs, listens: false)
    let listener = try House(2, roster: known, patience: patience)
    try await listener.board.start()
    try dialler.board.show([old, new])
    dialler.dial(listener)
    #expect(await eventually { dialler.dialFailure != nil })
    #expect(listener.connection == nil)
    dialler.dial(listener)
    try #require(await eventually { listener.connection != nil })
    #expect(listener.board.connections.map(\.lab) == [dialler.lab])
    await dialler.board.shutdown()
    await listener.board.shutdown()
  }

  @Test func aDiallerThatExpectsTheOtherKeyFindsItAtTheSecondTry() async throws {
    let roster = Roster()
    roster.add(1)
    roster.add(2)
    let listener = try House(1, roster: roster)
    try await listener.board.start()
    try listener.board.show([old, new])
    let dialler = try House(2, roster: roster, listens: false)
    dialler.dial(listener, key: new.publicKey)
    #expect(await eventually { dialler.dialFailure != nil })
    guard case .wrongKey(let expected, let found)? = dialler.dialFailure else {
      Issue.record("\(String(describing: dialler.dialFailure))")
      return
    }
    #expect(expected == new.publicKey && found == old.publicKey)
    #expect(await eventually { listener.board.connections.isEmpty })
    dialler.dial(listener, key: new.publicKey)
    try #require(await eventually { listener.connection != nil })
    await dialler.board.shutdown()
    await listener.board.shutdown()
  }

  @Test func connectionsOfAKeyThatIsNoLongerOnTheRosterAreCut() async throws {
    let (dialler, listener, roster) = try await connectedPair()
    roster.remove(dialler.key.publicKey)
    listener.board.recheckMembers()
    #expect(await eventually { listener.disconnection != nil && dialler.disconnection != nil })
    #expect(listener.board.connections.isEmpty)
    if case .goodbye(let reason)? = dialler.disconnection {
      #expect(reason.contains("roster"))
    } else {
      #expect(dialler.disconnection == .closedByPeer)
    }
    await dialler.board.shutdown()
    await listener.board.shutdown()
  }
}
