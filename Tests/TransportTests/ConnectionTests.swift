import Foundation
import Gossip
import Identities
import Logging
import Records
import Synchronization
import Testing
import Transport

@Suite struct ConnectionTests {
  @Test func twoMembersConnectAndTalk() async throws {
    let (dialler, listener, _) = try await connectedPair()
    guard case .connected(_, let lab, _, let dialledByUs)? = dialler.events.withLock({ $0.first })
    else {
      Issue.record("connected is not the first event")
      return
    }
    #expect(lab == listener.lab)
    #expect(dialledByUs)
    #expect(dialler.frames.first?.hello.protocol == 1)
    #expect(dialler.board.send(ping(7), on: dialler.connection!))
    #expect(await eventually { listener.frames.first?.ping.nonce == 7 })
    let counts = try #require(dialler.board.counts(of: dialler.connection!))
    #expect(counts.framesReceived == 1 && counts.bytesReceived > 4)
    #expect(await eventually { dialler.board.counts(of: dialler.connection!)?.framesSent == 1 })
    await dialler.board.shutdown()
    #expect(await eventually { listener.disconnection != nil })
    #expect(listener.frames.last?.goodbye.reason == "shutting down")
    await listener.board.shutdown()
  }

  @Test func theDialledLabMustShowItsKey() async throws {
    let (dialler, listener, _) = try await connectedPair()
    let third = try House(3, roster: Roster(), listens: false)
    third.dial(listener, key: dialler.key.publicKey)
    #expect(await eventually { third.dialFailure != nil })
    #expect(
      third.dialFailure
        == .wrongKey(expected: dialler.key.publicKey, found: listener.key.publicKey))
    await listener.board.shutdown()
    await dialler.board.shutdown()
  }

  @Test func aNodeNoticesThatItDialsItself() async throws {
    let roster = Roster()
    roster.add(2)
    let house = try House(2, roster: roster)
    try await house.board.start()
    let other = SigningKey(seed: [UInt8](repeating: 8, count: 32))!.publicKey
    house.board.connect(to: LabID(firstKey: other), address: house.address, key: other)
    #expect(await eventually { house.dialFailure == .dialledItself })
    await house.board.shutdown()
  }

  @Test func whoIsNotOnTheRosterThereLearnsIt() async throws {
    var patience = Patience()
    patience.guest = 0.2
    let roster = Roster()
    roster.add(2)
    let listener = try House(2, roster: roster, patience: patience)
    try await listener.board.start()
    let stranger = try House(1, roster: roster, listens: false)
    stranger.dial(listener)
    #expect(await eventually { stranger.dialFailure != nil })
    guard case .goodbye(let reason)? = stranger.dialFailure else {
      Issue.record("\(String(describing: stranger.dialFailure))")
      return
    }
    #expect(reason.contains("roster"))
    await listener.board.shutdown()
  }

  @Test func whatCannotBeReachedSaysWhy() async throws {
    let house = try House(1, roster: Roster(), listens: false)
    let closed = try House(2, roster: Roster(), listens: false)
    let port = try DeafPort()
    let address = port.address
    house.board.connect(to: closed.lab, address: address, key: closed.key.publicKey)
    #expect(await eventually { house.dialFailure != nil })
    #expect(house.dialFailure?.description.contains("Connection refused") == true)
    #expect(house.dialFailure?.description.contains(address) == true)
  }

  @Test func aTakenPortIsNamedWithTheWayOut() async throws {
    let first = try House(1, roster: Roster())
    try await first.board.start()
    let endpoint = try Endpoint(first.address)
    let second = try Switchboard(
      key: first.key, listen: endpoint, membership: { _ in nil },
      guests: { _, _ in Hanse_V1_JoinAnswer() }, logger: .init(label: "test"), events: { _ in })
    do {
      try await second.start()
      Issue.record("the port was given twice")
    } catch {
      #expect(error.description.contains(first.address))
      #expect(error.description.contains("in use"))
      #expect(error.hint?.contains("another port") == true)
    }
    await first.board.shutdown()
  }

  @Test func framesOfAMebibytePass() async throws {
    let (dialler, listener, _) = try await connectedPair()
    let room = Limits.frameBytesMax - 12
    #expect(dialler.board.send(block(1, bytes: room), on: dialler.connection!, bulk: true))
    #expect(await eventually { listener.frames.first?.block.bytes.count == room })
    // One byte more than a frame may have is not sent at all.
    #expect(!dialler.board.send(block(1, bytes: room + 12), on: dialler.connection!, bulk: true))
    await dialler.board.shutdown()
    await listener.board.shutdown()
  }

  @Test func controlFramesOvertakeBlocksAndReadingStopsWhenWorkPilesUp() async throws {
    let (dialler, listener, _) = try await connectedPair()
    let id = dialler.connection!
    listener.hoards.withLock { $0 = true }
    // The sockets of loopback take in some mebibytes; what comes after that waits here.
    var blocks: UInt32 = 0
    var sent: UInt64 = 0
    var quiet = 0
    while blocks < 400, quiet < 60 {
      let now = dialler.board.counts(of: id)?.bytesSent ?? 0
      quiet = now == sent && Int(blocks) * 262_144 - Int(now) >= 8 << 20 ? quiet + 1 : 0
      sent = now
      if Int(blocks) * 262_144 - Int(now) < 9 << 20 {
        #expect(dialler.board.send(block(blocks, bytes: 256 * 1024), on: id, bulk: true))
        blocks += 1
      }
      try await Task.sleep(for: .milliseconds(10))
    }
    // Four mebibytes are handed up and then no more, however much the sockets hold.
    let held = listener.frames.reduce(0) { $0 + $1.block.bytes.count }
    #expect(held >= 3 << 20 && held <= TransportLimits.inboundBytes + 512 * 1024)
    #expect(dialler.board.send(ping(5), on: id))
    listener.release()
    #expect(await eventually(20) { listener.frames.count == Int(blocks) + 1 })
    let place = listener.frames.firstIndex { $0.ping.nonce == 5 }
    #expect(
      place.map { $0 < Int(blocks) - 8 } == true,
      "the ping came in place \(String(describing: place))")
    let indexes = listener.frames.filter { $0.ping.nonce != 5 }.map(\.block.index)
    #expect(indexes == Array(0..<blocks))
    await dialler.board.shutdown()
    await listener.board.shutdown()
  }

  @Test func aPeerThatReadsNothingIsDropped() async throws {
    var patience = Patience()
    patience.stalled = 0.5
    patience.watch = 0.1
    let (dialler, listener, _) = try await connectedPair(patience: patience)
    listener.hoards.withLock { $0 = true }
    for index in 0..<300 where dialler.disconnection == nil {
      let frame = block(UInt32(index), bytes: 256 * 1024)
      dialler.board.send(frame, on: dialler.connection!, bulk: true)
      try await Task.sleep(for: .milliseconds(5))
    }
    #expect(await eventually { dialler.disconnection == .notReading })
    await dialler.board.shutdown()
    listener.release()
    await listener.board.shutdown()
  }

  @Test func tooMuchQueuedDropsThePeerRatherThanTheMemory() async throws {
    let (dialler, listener, _) = try await connectedPair()
    listener.hoards.withLock { $0 = true }
    for index in 0..<200 {
      dialler.board.send(
        block(UInt32(index), bytes: 256 * 1024), on: dialler.connection!, bulk: true)
    }
    #expect(await eventually { dialler.disconnection == .notReading })
    await dialler.board.shutdown()
    listener.release()
    await listener.board.shutdown()
  }

  @Test func manyTinyFramesAllArrive() async throws {
    let (dialler, listener, _) = try await connectedPair()
    for nonce in 1...5000 { dialler.board.send(ping(UInt64(nonce)), on: dialler.connection!) }
    #expect(await eventually { listener.frames.count == 5000 })
    #expect(listener.frames.map(\.ping.nonce) == Array(1...5000))
    await dialler.board.shutdown()
    await listener.board.shutdown()
  }

  @Test func aRemovedMemberIsCut() async throws {
    let (dialler, listener, roster) = try await connectedPair()
    roster.remove(dialler.key.publicKey)
    listener.board.recheckMembers()
    #expect(await eventually { dialler.disconnection != nil })
    #expect(dialler.frames.last?.goodbye.reason.contains("roster") == true)
    #expect(await eventually { listener.disconnection != nil })
    await dialler.board.shutdown()
    await listener.board.shutdown()
  }

  @Test func aClosedConnectionTellsWhyAndWrittenIsAlwaysAnswered() async throws {
    let (dialler, listener, _) = try await connectedPair()
    listener.board.close(listener.connection!, reason: "enough\u{1b}[2J")
    #expect(await eventually { dialler.disconnection != nil })
    #expect(dialler.frames.last?.goodbye.reason.hasPrefix("enough") == true)
    #expect(!dialler.board.send(ping(1), on: dialler.connection!))
    await dialler.board.shutdown()
    await listener.board.shutdown()
  }

  @Test func shutdownUnderLoadTakesLessThanThreeSeconds() async throws {
    let (dialler, listener, _) = try await connectedPair()
    listener.hoards.withLock { $0 = true }
    let load = Task {
      var index: UInt32 = 0
      while !Task.isCancelled {
        dialler.board.send(block(index, bytes: 200_000), on: dialler.connection!, bulk: true)
        listener.board.send(block(index, bytes: 200_000), on: listener.connection!, bulk: true)
        index += 1
        try? await Task.sleep(for: .milliseconds(2))
      }
    }
    try await Task.sleep(for: .milliseconds(300))
    let start = ContinuousClock.now
    await listener.board.shutdown()
    await dialler.board.shutdown()
    #expect(ContinuousClock.now - start < .seconds(3))
    load.cancel()
    listener.release()
    #expect(listener.disconnection != nil && dialler.disconnection != nil)
  }

  @Test(arguments: [0, 1, 2])
  func aBurstOfConnectionsAndShutdown(round: Int) async throws {
    let roster = Roster()
    for number in 0..<40 { roster.add(UInt8(number + 1)) }
    let house = try House(40, roster: roster)
    try await house.board.start()
    let address = house.address
    // Members by TLS and strangers without, some of them still in the kernel's queue.
    let members = try (0..<20).map { try House(UInt8($0 + 1), roster: roster, listens: false) }
    for index in 0..<200 {
      members[index % 20].board.connect(
        to: house.lab, address: address, key: house.key.publicKey)
    }
    try await Task.sleep(for: .milliseconds(20 * round))
    let start = ContinuousClock.now
    await house.board.shutdown()
    // Six hundred handshakes share the machine with it.
    #expect(ContinuousClock.now - start < .seconds(10))
    for member in members { await member.board.shutdown() }
    #expect(house.board.connections.isEmpty)
    let outcomes = members.reduce(0) { sum, member in
      sum + member.events.withLock { $0.count { if case .dialFailed = $0 { true } else { false } } }
    }
    #expect(outcomes == 200)
  }

  @Test func addressesAreReadExactly() throws {
    for text in ["lab.example:7447", "192.0.2.1:1", "[::1]:65535", "[fe80::1%eth0]:80", "a_b-c:0"] {
      #expect(try Endpoint(text).description == text)
    }
    for text in [
      "", ":", "host", "host:", ":80", "host:65536", "host:+1", "host: 1", "::1:80", "[host]:80x",
      "[]:1", "ho st:1", "host\n:1", "[::1]", "host:0x50", "ü:1",
      String(repeating: "a", count: 300),
    ] {
      #expect(throws: TransportError.badAddress(text)) { try Endpoint(text) }
    }
  }
}
