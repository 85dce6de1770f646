/// How pages look on a terminal: colour or none.
public struct PageStyle: Sendable {
  /// Whether to use colour.
  public var colour: Bool

  /// With or without colour.
  public init(colour: Bool) { self.colour = colour }

  /// Without colour.
  public static let plain = PageStyle(colour: false)

  func strong(_ text: String) -> String { code("1", text) }
  func faint(_ text: String) -> String { code("2", text) }
  func good(_ text: String) -> String { code("32", text) }
  func warn(_ text: String) -> String { code("33", text) }
  func bad(_ text: String) -> String { code("31", text) }

  private func code(_ number: String, _ text: String) -> String {
    colour ? "\u{1B}[\(number)m\(text)\u{1B}[0m" : text
  }
}

/// Numbers as people read them.
public enum Figures {
  /// Bytes with a binary unit: `1.4 GiB`.
  public static func bytes(_ count: UInt64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    var value = Double(count)
    var unit = 0
    while value >= 1024, unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    return unit == 0 ? "\(count) B" : "\(fixed(value, value < 10 ? 1 : 0)) \(units[unit])"
  }

  /// A count with a decimal unit: `12.3k`, `4.5M`.
  public static func count(_ count: UInt64) -> String {
    let units = ["", "k", "M", "G", "T", "P", "E"]
    var value = Double(count)
    var unit = 0
    while value >= 1000, unit < units.count - 1 {
      value /= 1000
      unit += 1
    }
    return unit == 0 ? "\(count)" : fixed(value, value < 100 ? 1 : 0) + units[unit]
  }

  /// A number with so many digits behind the point.
  public static func fixed(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite else { return "\(value)" }
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = (value.magnitude * scale).rounded()
    guard scaled < 1e15 else { return "\(value)" }
    let whole = Int64(scaled)
    let sign = value < 0 && whole > 0 ? "-" : ""
    guard digits > 0 else { return sign + "\(whole)" }
    let text = String(repeating: "0", count: max(0, digits + 1 - "\(whole)".count)) + "\(whole)"
    return sign + text.dropLast(digits) + "." + text.suffix(digits)
  }

  /// A loss in nats per token.
  public static func loss(_ value: Double?) -> String { value.map { fixed($0, 4) } ?? "–" }

  /// A length of time in its largest two units: `3 d 4 h`, `12 s`.
  public static func seconds(_ value: Double?) -> String {
    guard let value, value.isFinite, value < 1e12 else { return "–" }
    let total = Int64(max(0, value))
    let (days, hours) = (total / 86_400, total / 3600 % 24)
    let (minutes, seconds) = (total / 60 % 60, total % 60)
    if days > 0 { return "\(days) d \(hours) h" }
    if hours > 0 { return "\(hours) h \(minutes) min" }
    return minutes > 0 ? "\(minutes) min \(seconds) s" : "\(seconds) s"
  }

  /// A Unix time as `2026-03-01 12:00:00Z`.
  public static func time(_ unix: UInt64) -> String {
    guard unix < 253_402_300_800 else { return "\(unix)" }
    let (days, rest) = (Int(unix / 86_400), Int(unix % 86_400))
    // Howard Hinnant's civil_from_days, for days since 1970.
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let month = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * month + 2) / 5 + 1
    let year = yearOfEra + era * 400 + (month >= 10 ? 1 : 0)
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(year)-\(two(month < 10 ? month + 3 : month - 9))-\(two(day)) "
      + "\(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60))Z"
  }

  /// The beginning of an id that is enough on a screen.
  public static func short(_ id: String?) -> String {
    id.map { PlainText.escape(String($0.prefix(10))) } ?? "–"
  }
}
