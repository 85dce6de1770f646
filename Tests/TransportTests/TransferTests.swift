import Foundation
import Gossip
import Identities
import Records
import Synchronization
import Testing
import Transport

/// How fast blocks cross loopback; printed, and held only to what no machine misses.
@Suite struct TransferTests {
  @Test(.enabled(if: ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full"))
  func aHundredMebibytesCross() async throws {
    let (dialler, listener, _) = try await connectedPair()
    listener.counts.store(true, ordering: .relaxed)
    let frame = block(1, bytes: 256 * 1024)
    for _ in 0..<3 {
      listener.blockBytes.store(0, ordering: .relaxed)
      let start = ContinuousClock.now
      for index in 0..<400 {
        dialler.board.send(frame, on: dialler.connection!, bulk: true)
        // Sixteen on the way at once, as gossip keeps it.
        while listener.blockBytes.load(ordering: .relaxed) < (index - 16) * 256 * 1024 {
          try await Task.sleep(for: .microseconds(100))
        }
      }
      let isThere = await eventually(20) {
        listener.blockBytes.load(ordering: .relaxed) == 400 * 256 * 1024
      }
      #expect(isThere)
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      print("100 MiB over loopback TLS: \(seconds) s, \(Int(104.8576 / seconds)) MB/s")
    }
    await dialler.board.shutdown()
    await listener.board.shutdown()
  }

  @Test(.enabled(if: ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full"))
  func aPingDoesNotWaitBehindBlocksOnAThinLink() async throws {
    let roster = Roster()
    roster.add(1)
    roster.add(2)
    let dialler = try House(1, roster: roster, listens: false)
    let listener = try House(2, roster: roster)
    try await listener.board.start()
    let link = ThinLink(to: try Endpoint(listener.address), bytesPerSecond: 1_000_000)
    dialler.board.connect(
      to: listener.lab, address: "\(link.endpoint)", key: listener.key.publicKey)
    try #require(await eventually { listener.connection != nil })
    let id = listener.connection!
    for index in UInt32(0)..<16 {
      listener.board.send(block(index, bytes: 256 * 1024), on: id, bulk: true)
    }
    try await Task.sleep(for: .milliseconds(1500))
    // In the middle of the blocks: how long until a control frame of the same side is there?
    let start = ContinuousClock.now
    listener.board.send(ping(9), on: id)
    #expect(await eventually(20) { dialler.frames.contains { $0.ping.nonce == 9 } })
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    print("a control frame behind 4 MiB of blocks at 8 Mbit/s: \(seconds) s")
    #expect(seconds < 1)
    #expect(await eventually(20) { dialler.frames.count == 17 })
    await dialler.board.shutdown()
    await listener.board.shutdown()
    link.cut()
  }
}

/// What connections that do nothing cost: measured on the whole process, so to be run alone, with
/// HANSE_MEASURE=idle and `--filter IdleTests`.
@Suite struct IdleTests {
  private static func residentBytes() -> Int {
    let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
    return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
  }

  @Test(.enabled(if: ProcessInfo.processInfo.environment["HANSE_MEASURE"] == "idle"))
  func anIdlePeerCostsLessThan200KiB() async throws {
    let roster = Roster()
    roster.add(1)
    roster.add(2)
    let dialler = try House(1, roster: roster, listens: false)
    let listener = try House(2, roster: roster)
    try await listener.board.start()
    func connect(_ count: Int) async -> Bool {
      for _ in 0..<count {
        dialler.dial(listener)
        let before = listener.board.connections.count
        guard await eventually(5, { listener.board.connections.count > before }) else {
          return false
        }
      }
      return true
    }
    try #require(await connect(50))
    let before = Self.residentBytes()
    try #require(await connect(250))
    // Both ends of each are in this process.
    let each = (Self.residentBytes() - before) / 500
    print("an idle peer: \(each / 1024) KiB")
    #expect(each < 200 * 1024)
    await dialler.board.shutdown()
    await listener.board.shutdown()
  }
}
