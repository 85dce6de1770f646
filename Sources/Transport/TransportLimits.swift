import Records

/// Every number that the transport goes by, each with its reason; listed in Protocol/Limits.md.
public enum TransportLimits {
  /// Seconds that a certificate is valid: it is made at each start, so ten years outlast a run.
  public static let certificateSeconds: Int64 = 10 * 365 * 86_400
  /// Seconds that two clocks may differ: a wrong clock must not cut a lab off. What is trusted is
  /// the key on the roster, not the date.
  public static let clockToleranceSeconds: Int64 = 2 * 86_400
  /// Bytes of a certificate: one with an Ed25519 key and no extensions has about 250.
  public static let certificateBytes = 4096

  /// Seconds for a TCP connection to be made: three retransmissions of the first packet.
  public static let connectSeconds: Int64 = 10
  /// Bytes a second below which a frame's sender is too slow: a modem sends more.
  public static let slowestBytesPerSecond = 4096.0

  /// Bytes of frames handed up and not yet dealt with, beyond which nothing more is read.
  public static let inboundBytes = 4 * Limits.frameBytesMax
  /// Frames handed up and not yet dealt with: tiny ones cost more than their bytes.
  public static let inboundFrames = 256
  /// Bytes that may wait to be sent to one peer: far above what gossip puts on the way.
  public static let outboundBytes = 16 * Limits.frameBytesMax
  /// Frames that may wait to be sent to one peer.
  public static let outboundFrames = 16_384
  /// Bytes handed to the socket ahead of need: what a control frame has to wait behind.
  public static let socketBytes = 128 * 1024

  /// Connections accepted at once: a full roster twice over, and room.
  public static let acceptedConnections = 1024
  /// Connections accepted at once whose key is not known yet, or is a guest's.
  public static let strangers = 256
  /// The same from one address; a whole institute may stand behind one.
  public static let strangersPerAddress = 32
  /// Requests to join answered in a minute.
  public static let joinsPerMinute = 60
  /// Requests to join answered in a minute to one address; a lab asks twice.
  public static let joinsPerMinutePerAddress = 12
  /// Refused strangers that the log names in a minute: a lab that is kept out by mistake tries
  /// again.
  public static let refusalsToldPerMinute = 12
  /// Bytes of a join answer: it carries the charter.
  public static let joinAnswerBytes = Limits.charterBytesMax + Limits.entryBytesMax

  /// Milliseconds for a last word and for TLS to be closed in order.
  public static let farewellMilliseconds: Int64 = 500
  /// Milliseconds after which a shutdown no longer waits.
  public static let shutdownMilliseconds: Int64 = 2500
}

/// How long a connection is waited for, in seconds.
public struct Patience: Sendable {
  /// From the connection to the end of the TLS handshake, on a machine that trains.
  public var handshake = 15.0
  /// From the handshake to the other side's first frame.
  public var firstFrame = 15.0
  /// For a guest to ask; less than a client waits, so that it learns why nothing is said to it.
  public var guest = 10.0
  /// For the node to answer a guest.
  public var answer = 15.0
  /// For any frame, to which its length at the slowest rate is added.
  public var frame = 30.0
  /// In which a peer that has frames waiting takes in nothing before it is dropped: as long as a
  /// machine may be stopped without being given up.
  public var stalled = 90.0
  /// Between two looks at what a connection is waiting for.
  public var watch = 5.0

  /// The usual patience.
  public init() {}
}
