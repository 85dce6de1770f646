import Gossip
import Identities
import Records
import Synchronization

/// What a ``Switchboard`` reports. Of one connection the events come in order, on its event loop:
/// whoever receives them must not block.
public enum TransportEvent: Sendable {
  /// A connection to a member stands.
  case connected(ConnectionID, lab: LabID, address: String, dialledByUs: Bool)
  /// A frame came. Until the receipt is given back it counts as work not yet done; when too much is
  /// undone, nothing more is read from the connection.
  case frame(ConnectionID, Hanse_V1_Frame, Receipt)
  /// A connection that was reported as connected has ended.
  case disconnected(ConnectionID, reason: TransportError)
  /// A dial led to no connection.
  case dialFailed(LabID, address: String, reason: TransportError)
}

/// A frame's claim on the memory that its connection may use, given back when it is dealt with.
///
/// A receipt that is dropped gives it back too: a forgotten one does not stall a connection.
public final class Receipt: Sendable {
  private let giveBack: Mutex<(@Sendable () -> Void)?>

  init(_ giveBack: @escaping @Sendable () -> Void) {
    self.giveBack = Mutex(giveBack)
  }

  /// The frame has been dealt with.
  public func consumed() {
    giveBack.withLock { action in
      defer { action = nil }
      return action
    }?()
  }

  deinit { consumed() }
}

/// What has gone over a connection.
public struct ConnectionCounts: Hashable, Sendable {
  /// Bytes of frames received, lengths included, TLS left out.
  public var bytesReceived: UInt64 = 0
  /// Bytes of frames handed to the socket.
  public var bytesSent: UInt64 = 0
  /// Frames received.
  public var framesReceived: UInt64 = 0
  /// Frames handed to the socket.
  public var framesSent: UInt64 = 0

  /// Nothing yet.
  public init() {}
}

/// A stranger who asks to join.
public struct Guest: Sendable {
  /// The key that the guest's certificate shows.
  public let key: PublicKey
  /// Where it connects from.
  public let address: String
}
