/// A point on a monotonic clock that the caller moves: nanoseconds since an arbitrary start.
///
/// Pure rooms receive it as an argument; only the shell reads a real clock.
public struct Instant: Hashable, Comparable, Sendable {
  /// Nanoseconds since the clock's start.
  public var nanoseconds: UInt64

  /// An instant so many nanoseconds after the clock's start.
  public init(nanoseconds: UInt64) {
    self.nanoseconds = nanoseconds
  }

  /// This instant moved on; stays at the end of time rather than wrapping.
  public func adding(seconds: Double) -> Instant {
    let (sum, overflow) = nanoseconds.addingReportingOverflow(
      UInt64(min(max(seconds, 0), 1e9) * 1e9))
    return Instant(nanoseconds: overflow ? .max : sum)
  }

  /// Seconds from `earlier` to this instant; zero when `earlier` is later.
  public func seconds(since earlier: Instant) -> Double {
    nanoseconds > earlier.nanoseconds ? Double(nanoseconds - earlier.nanoseconds) / 1e9 : 0
  }

  public static func < (left: Instant, right: Instant) -> Bool {
    left.nanoseconds < right.nanoseconds
  }
}
