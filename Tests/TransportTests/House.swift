import Foundation
import Gossip
import Identities
import Logging
import Records
import Synchronization
import Testing
import Transport

/// A lab with a switchboard on loopback, whose events are kept to be looked at.
final class House: Sendable {
  let key: SigningKey
  let lab: LabID
  let board: Switchboard
  let events = Mutex<[TransportEvent]>([])
  /// Bytes of blocks received; counted, while `counts` is set, instead of kept.
  let blockBytes = Atomic<Int>(0)
  let counts = Atomic<Bool>(false)
  /// Receipts are kept, which stops reading, instead of being given back.
  let hoards = Mutex(false)
  private let receipts = Mutex<[Receipt]>([])

  /// Who was refused and why, as the log has it.
  let refusals = Mutex<[String]>([])

  /// Keeps the reason of each refusal that is logged where people see it.
  private struct Listener: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info
    let sink: Sink

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      guard let reason = event.metadata?["reason"], let address = event.metadata?["address"] else {
        return
      }
      let line = "\(event.message), \(address): \(reason)"
      sink.house.withLock { $0 }?.refusals.withLock { $0.append(line) }
    }
  }

  private final class Sink: Sendable {
    let house = Mutex<House?>(nil)
  }

  /// `roster` gives the labs of keys; `answer` what guests are told.
  init(
    _ number: UInt8, roster: Roster, listens: Bool = true, patience: Patience = Patience(),
    answer: @escaping Switchboard.GuestHandler = { _, _ in Hanse_V1_JoinAnswer() }
  ) throws {
    key = SigningKey(seed: [UInt8](repeating: number, count: 32))!
    lab = LabID(firstKey: key.publicKey)
    let sink = Sink()
    board = try Switchboard(
      key: key, listen: listens ? Endpoint(host: "127.0.0.1", port: 0) : nil,
      membership: { roster.lab(of: $0) }, guests: answer,
      logger: Logger(label: "test") { _ in Listener(sink: sink) }, patience: patience,
      events: { event in sink.house.withLock { $0 }?.take(event) })
    sink.house.withLock { $0 = self }
  }

  private func take(_ event: TransportEvent) {
    if case .frame(_, let frame, _) = event, counts.load(ordering: .relaxed) {
      blockBytes.wrappingAdd(frame.block.bytes.count, ordering: .relaxed)
    } else {
      events.withLock { $0.append(event) }
    }
    guard case .frame(_, _, let receipt) = event else { return }
    if hoards.withLock({ $0 }) {
      receipts.withLock { $0.append(receipt) }
    } else {
      receipt.consumed()
    }
  }

  /// Gives all kept receipts back and keeps no more.
  func release() {
    hoards.withLock { $0 = false }
    let kept = receipts.withLock { receipts in
      defer { receipts = [] }
      return receipts
    }
    for receipt in kept { receipt.consumed() }
  }

  var address: String { "\(board.boundAddress!)" }

  func dial(_ other: House, key: PublicKey? = nil) {
    board.connect(to: other.lab, address: other.address, key: key ?? other.key.publicKey)
  }

  var connection: ConnectionID? {
    events.withLock { events in
      for case .connected(let id, _, _, _) in events { return id }
      return nil
    }
  }

  var frames: [Hanse_V1_Frame] {
    events.withLock { events in
      events.compactMap { if case .frame(_, let frame, _) = $0 { frame } else { nil } }
    }
  }

  var dialFailure: TransportError? {
    events.withLock { events in
      for case .dialFailed(_, _, let reason) in events { return reason }
      return nil
    }
  }

  var disconnection: TransportError? {
    events.withLock { events in
      for case .disconnected(_, let reason) in events { return reason }
      return nil
    }
  }
}

/// Which keys are whose, changeable while connections stand.
final class Roster: Sendable {
  private let labs = Mutex<[PublicKey: LabID]>([:])

  func add(_ number: UInt8) {
    let key = SigningKey(seed: [UInt8](repeating: number, count: 32))!.publicKey
    labs.withLock { $0[key] = LabID(firstKey: key) }
  }

  /// Knows a lab under another key than its first.
  func add(_ key: PublicKey, of lab: LabID) { labs.withLock { $0[key] = lab } }

  func remove(_ key: PublicKey) { labs.withLock { $0[key] = nil } }

  func lab(of key: PublicKey) -> LabID? { labs.withLock { $0[key] } }
}

/// Waits until a condition holds; false when it does not within the time.
func eventually(_ seconds: Double = 20, _ condition: () -> Bool) async -> Bool {
  let end = ContinuousClock.now + .milliseconds(Int(seconds * 1000))
  while ContinuousClock.now < end {
    if condition() { return true }
    try? await Task.sleep(for: .milliseconds(5))
  }
  return condition()
}

func hello() -> Hanse_V1_Frame {
  var frame = Hanse_V1_Frame()
  frame.hello.protocol = 1
  return frame
}

func ping(_ nonce: UInt64) -> Hanse_V1_Frame {
  var frame = Hanse_V1_Frame()
  frame.ping.nonce = nonce
  return frame
}

func block(_ index: UInt32, bytes: Int) -> Hanse_V1_Frame {
  var frame = Hanse_V1_Frame()
  frame.block.index = index
  frame.block.bytes = Data(repeating: UInt8(truncatingIfNeeded: index), count: bytes)
  return frame
}

/// Two houses that know each other and are connected, hello said by the one that listens.
func connectedPair(
  patience: Patience = Patience()
) async throws -> (dialler: House, listener: House, roster: Roster) {
  let roster = Roster()
  roster.add(1)
  roster.add(2)
  let dialler = try House(1, roster: roster, listens: false, patience: patience)
  let listener = try House(2, roster: roster, patience: patience)
  try await listener.board.start()
  dialler.dial(listener)
  try #require(await eventually { listener.connection != nil })
  #expect(listener.board.send(hello(), on: listener.connection!))
  try #require(await eventually { dialler.connection != nil })
  return (dialler, listener, roster)
}
