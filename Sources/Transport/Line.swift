import Gossip
import Identities
import NIOCore
import Records
import Synchronization

/// A connection as the rest of the process sees it: may be used from any thread.
final class Line: Sendable {
  let id: ConnectionID
  let address: String
  /// The lab that was dialled; nil for an accepted connection.
  let target: LabID?
  let channel: any Channel
  private let handler: NIOLoopBound<LineHandler>
  private let lab = Mutex<(lab: LabID, key: PublicKey)?>(nil)
  private let counts = Mutex(ConnectionCounts())

  init(
    id: ConnectionID, address: String, target: LabID?, channel: any Channel,
    handler: LineHandler
  ) {
    self.id = id
    self.address = address
    self.target = target
    self.channel = channel
    self.handler = NIOLoopBound(handler, eventLoop: channel.eventLoop)
  }

  /// Who is on the other side, once that is certain.
  var member: (lab: LabID, key: PublicKey)? { lab.withLock { $0 } }

  func identify(_ lab: LabID, _ key: PublicKey) {
    self.lab.withLock { $0 = (lab, key) }
  }

  func forget() { lab.withLock { $0 = nil } }

  var counters: ConnectionCounts { counts.withLock { $0 } }

  func countReceived(_ bytes: Int) {
    counts.withLock {
      $0.bytesReceived &+= UInt64(bytes)
      $0.framesReceived &+= 1
    }
  }

  func countSent(_ bytes: Int) {
    counts.withLock {
      $0.bytesSent &+= UInt64(bytes)
      $0.framesSent &+= 1
    }
  }

  func send(_ bytes: ByteBuffer, isBulk: Bool, written: (@Sendable (Bool) -> Void)?) {
    channel.eventLoop.execute { [handler] in
      handler.value.enqueue(OutboundQueue.Item(bytes: bytes, written: written), isBulk: isBulk)
    }
  }

  /// Ends the connection in order: what was sent before leaves first, blocks excepted.
  func end(_ reason: TransportError, farewell: String?) {
    channel.eventLoop.execute { [handler] in
      handler.value.end(reason, farewell: farewell)
    }
  }
}
