/// What a person reads while an adapter is trained: one line about the step just made.
public struct ProgressText: Sendable {
  private let steps: Int
  private var smoothed: Double?
  private var pace: Double?

  /// Progress towards so many steps.
  public init(steps: Int) {
    self.steps = steps
  }

  /// The line for a step: number, loss with its moving mean, rate, speed, time that is left.
  public mutating func line(_ report: StepReport) -> String {
    smoothed = mix(smoothed, report.loss, weight: 0.1)
    pace = mix(pace, report.seconds, weight: 0.2)
    let speed = Double(report.tokens) / max(report.seconds, 1e-9)
    let width = "\(steps)".count
    return "step \(padded("\(report.step)", width))/\(steps)"
      + "  loss \(fixed(report.loss, 4)) (mean \(fixed(smoothed ?? 0, 4)))"
      + "  lr \(scientific(report.learningRate))"
      + "  \(fixed(speed, 0)) tokens/s"
      + "  \(duration(Double(steps - report.step) * (pace ?? 0))) left"
  }

  private func mix(_ old: Double?, _ new: Double, weight: Double) -> Double {
    guard let old else { return new }
    return old + weight * (new - old)
  }
}

/// A number with so many places after the point.
package func fixed(_ value: Double, _ places: Int) -> String {
  guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
  var unit = 1.0
  for _ in 0..<places { unit *= 10 }
  let scaled = Int64((abs(value) * unit).rounded())
  let sign = value < 0 && scaled != 0 ? "-" : ""
  let whole = scaled / Int64(unit)
  guard places > 0 else { return "\(sign)\(whole)" }
  let rest = "\(scaled % Int64(unit))"
  return "\(sign)\(whole).\(String(repeating: "0", count: places - rest.count))\(rest)"
}

/// A number with two digits and its power of ten, such as 2.0e-4.
package func scientific(_ value: Double) -> String {
  guard value != 0, value.isFinite else { return fixed(value, 1) }
  var (digits, exponent) = (abs(value), 0)
  while digits >= 9.95 { (digits, exponent) = (digits / 10, exponent + 1) }
  while digits < 0.995 { (digits, exponent) = (digits * 10, exponent - 1) }
  return "\(value < 0 ? "-" : "")\(fixed(digits, 1))e\(exponent)"
}

/// Seconds as 40 s, 3 min 20 s, 2 h 05 min.
package func duration(_ seconds: Double) -> String {
  let whole = Int(min(max(seconds, 0), 1e9).rounded())
  if whole < 60 { return "\(whole) s" }
  if whole < 3600 { return "\(whole / 60) min \(padded("\(whole % 60)", 2, "0")) s" }
  return "\(whole / 3600) h \(padded("\(whole / 60 % 60)", 2, "0")) min"
}

private func padded(_ text: String, _ width: Int, _ filler: Character = " ") -> String {
  String(repeating: filler, count: max(0, width - text.count)) + text
}
