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
}
