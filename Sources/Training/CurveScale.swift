import Glibc

/// A stretch of numbers along an axis, with round numbers to write beside it.
struct CurveScale: Equatable {
  let low: Double
  let high: Double
  /// Round numbers from `low` to `high`, rising.
  let ticks: [Double]
  /// Places behind the point that tell the ticks apart.
  let places: Int

  /// An axis around the values: about as many ticks as wanted, at 1, 2 or 5 times a power of ten.
  /// With `whole` ticks are whole numbers, and the ends are the values' own.
  init(_ values: some Sequence<Double>, ticks wanted: Int, whole: Bool = false) {
    let finite = values.filter(\.isFinite)
    var low = finite.min() ?? 0
    var high = finite.max() ?? 1
    if high - low < 1e-9 * max(1, abs(high)) {
      let room = whole ? 1 : max(0.05, abs(high) * 0.01)
      (low, high) = whole ? (low, low + room) : (low - room, high + room)
    }
    let rough = (high - low) / Double(max(1, wanted))
    let power = floor(log10(rough))
    let unit = pow(10, power)
    let factor = [1.0, 2, 5, 10].first { $0 * unit >= rough * 0.999 } ?? 10
    let step = whole ? max(1, (factor * unit).rounded()) : factor * unit
    places = max(0, Int(-floor(log10(step) + 1e-9)))
    let first = whole ? (low / step).rounded(.up) : (low / step).rounded(.down)
    let last = whole ? (high / step).rounded(.down) : (high / step).rounded(.up)
    ticks = (0...max(0, Int(last - first))).map { (first + Double($0)) * step }
    self.low = whole ? low : first * step
    self.high = whole ? high : last * step
  }

  /// Where a value lies: 0 at the low end, 1 at the high one.
  func place(_ value: Double) -> Double { (value - low) / (high - low) }

  /// A tick in figures.
  func text(_ tick: Double) -> String { fixed(tick, places) }
}

extension [CurvePoint] {
  /// Training losses with their steps.
  var losses: [(step: Int, value: Double)] {
    compactMap { point in point.loss.map { (point.step, $0) } }
  }

  /// Held-out losses with their steps.
  var heldOutLosses: [(step: Int, value: Double)] {
    compactMap { point in point.heldOutLoss.map { (point.step, $0) } }
  }

  /// The training losses, each mixed with those before it; about a fiftieth of the run counts.
  var smoothedLosses: [(step: Int, value: Double)] {
    let weight = 1 / Swift.max(5, Double(count) / 50)
    var (sum, share) = (0.0, 0.0)
    return losses.map { step, value in
      // Divided by what the weights come to, so that the beginning is not pulled to zero.
      sum = sum * (1 - weight) + value * weight
      share = share * (1 - weight) + weight
      return (step, sum / share)
    }
  }
}
