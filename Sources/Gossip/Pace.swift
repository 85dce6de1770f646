import Determinism

/// How fast objects may move, in bytes a second; nil where nothing is held back.
///
/// Each direction has the rates for itself. Entries and other control frames are never held back:
/// they are small, and everything waits for them.
public struct Pace: Hashable, Sendable {
  /// To or from all peers together.
  public var bytesPerSecond: Double?
  /// To or from any one peer.
  public var bytesPerSecondPerPeer: Double?

  /// A pace; nothing is held back unless said.
  public init(bytesPerSecond: Double? = nil, bytesPerSecondPerPeer: Double? = nil) {
    self.bytesPerSecond = bytesPerSecond
    self.bytesPerSecondPerPeer = bytesPerSecondPerPeer
  }
}

/// A token bucket: what may still be moved now. Taking more than there is leaves a debt, so that
/// blocks of any size pass and the rate holds all the same.
struct Bucket: Sendable {
  private var tokens = 0.0
  private var filled: Instant?

  /// Whether something may be moved now.
  mutating func isOpen(at rate: Double?, _ now: Instant) -> Bool {
    guard let rate else {
      filled = nil
      return true
    }
    let most = rate * GossipLimits.bucketSeconds
    if let filled {
      tokens = min(most, tokens + rate * now.seconds(since: filled))
    } else {
      tokens = most
    }
    filled = now
    return tokens > 0
  }

  mutating func take(_ bytes: Int) {
    if filled != nil { tokens -= Double(bytes) }
  }
}
