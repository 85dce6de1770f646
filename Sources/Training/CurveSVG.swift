/// A training curve as a picture: SVG without script, legible on light and dark ground.
public struct CurveSVG {
  private static let (width, height) = (760.0, 420.0)
  private static let (left, right, top, bottom) = (64.0, 20.0, 44.0, 52.0)
  /// Points of a line: as many as the picture has columns, and no more.
  private static let mostPoints = 700

  private typealias Series = [(step: Int, value: Double)]

  private let title: String
  private let losses, smoothed, heldOut: Series
  private let steps: CurveScale
  private let values: CurveScale

  /// A picture of these points; nil when there are fewer than two steps.
  public init?(_ points: [CurvePoint], title: String) {
    guard points.losses.count > 1 else { return nil }
    self.title = title
    losses = Self.thin(points.losses)
    smoothed = Self.thin(points.smoothedLosses)
    heldOut = Self.thin(points.heldOutLosses)
    let all = points.losses + points.heldOutLosses
    steps = CurveScale(all.map { Double($0.step) }, ticks: 8, whole: true)
    values = CurveScale(all.map(\.value), ticks: 6)
  }

  /// The file's text.
  public func text() -> String {
    ([
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(n(Self.width)) \(n(Self.height))\""
        + " role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"12\">",
      "<title>\(escape(title))</title>", style,
      "<rect class=\"ground\" width=\"100%\" height=\"100%\"/>",
      label(Self.left, 22, title, "heading"),
    ] + grid + lines + key + ["</svg>", ""]).joined(separator: "\n")
  }

  // Dark by the reader's own choice; the colours keep their meaning and their contrast.
  private var style: String {
    """
    <style>
    .ground { fill: #ffffff } .heading { fill: #1b1f24; font-size: 14px; font-weight: 600 }
    .text { fill: #57606a } .grid { stroke: #d8dee4 } .axis { stroke: #8c959f }
    .raw { stroke: #0969da; stroke-opacity: .25; fill: none }
    .smooth { stroke: #0969da; stroke-width: 2; fill: none; stroke-linejoin: round }
    .held { stroke: #bc4c00; stroke-width: 2; fill: none; stroke-linejoin: round }
    .dot { fill: #bc4c00 } .best { stroke: #bc4c00; stroke-width: 2; fill: none }
    @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117 } .heading { fill: #e6edf3 } .text { fill: #9198a1 }
    .grid { stroke: #21262d } .axis { stroke: #6e7681 } .raw, .smooth { stroke: #58a6ff }
    .held, .best { stroke: #f0883e } .dot { fill: #f0883e }
    }
    </style>
    """
  }

  private var grid: [String] {
    let (end, base) = (Self.width - Self.right, Self.height - Self.bottom)
    var parts: [String] = []
    for tick in values.ticks {
      parts.append(rule("grid", Self.left, y(tick), end, y(tick)))
      parts.append(label(Self.left - 8, y(tick) + 4, values.text(tick), "text", anchor: "end"))
    }
    for tick in steps.ticks {
      parts.append(rule("axis", x(tick), base, x(tick), base + 5))
      parts.append(label(x(tick), base + 19, steps.text(tick), "text", anchor: "middle"))
    }
    parts.append(rule("axis", Self.left, base, end, base))
    parts.append(rule("axis", Self.left, Self.top, Self.left, base))
    parts.append(label((Self.left + end) / 2, base + 40, "step", "text", anchor: "middle"))
    parts.append(
      "<text class=\"text\" text-anchor=\"middle\" transform=\"translate(16 "
        + "\(n((Self.top + base) / 2))) rotate(-90)\">loss, nats per token</text>")
    return parts
  }

  private var lines: [String] {
    var parts = [path("raw", losses), path("smooth", smoothed)]
    guard let best = heldOut.min(by: { $0.value < $1.value }) else { return parts }
    if heldOut.count > 1 { parts.append(path("held", heldOut)) }
    for (step, value) in heldOut where heldOut.count <= 60 {
      parts.append(circle("dot", step, value, radius: 3))
    }
    parts.append(circle("best", best.step, best.value, radius: 6))
    return parts
  }

  /// What the lines mean, at the top right.
  private var key: [String] {
    var entries = [("smooth", "training, smoothed")]
    if let best = heldOut.min(by: { $0.value < $1.value }) {
      entries.append(("held", "held-out, lowest \(fixed(best.value, 4)) after step \(best.step)"))
    }
    var parts: [String] = []
    var place = Self.width - Self.right
    for (name, text) in entries.reversed() {
      parts.append(label(place, 38, text, "text", anchor: "end"))
      place -= Double(text.count) * 6.4 + 8
      parts.append(rule(name, place - 22, 34, place, 34))
      place -= 40
    }
    return parts
  }

  // MARK: parts

  private func x(_ step: Double) -> Double {
    Self.left + steps.place(step) * (Self.width - Self.left - Self.right)
  }

  private func y(_ value: Double) -> Double {
    Self.height - Self.bottom - values.place(value) * (Self.height - Self.top - Self.bottom)
  }

  private func path(_ name: String, _ series: Series) -> String {
    let places = series.filter(\.value.isFinite).map {
      "\(n(x(Double($0.step)))) \(n(y($0.value)))"
    }
    return "<path class=\"\(name)\" d=\"M\(places.joined(separator: "L"))\"/>"
  }

  private func circle(_ name: String, _ step: Int, _ value: Double, radius: Int) -> String {
    "<circle class=\"\(name)\" cx=\"\(n(x(Double(step))))\" cy=\"\(n(y(value)))\" r=\"\(radius)\"/>"
  }

  private func rule(
    _ name: String, _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double
  ) -> String {
    "<line class=\"\(name)\" x1=\"\(n(x1))\" y1=\"\(n(y1))\" x2=\"\(n(x2))\" y2=\"\(n(y2))\"/>"
  }

  private func label(
    _ x: Double, _ y: Double, _ text: String, _ name: String, anchor: String = "start"
  ) -> String {
    "<text class=\"\(name)\" x=\"\(n(x))\" y=\"\(n(y))\" text-anchor=\"\(anchor)\">"
      + "\(escape(text))</text>"
  }

  /// A number as SVG takes it, to a tenth of a unit.
  private func n(_ value: Double) -> String {
    let text = fixed(value, 1)
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  private func escape(_ text: String) -> String {
    String(text.unicodeScalars.filter { $0.value >= 0x20 }.map(Character.init))
      .replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
  }

  /// At most ``mostPoints``: of each stretch its lowest and its highest, so that no spike is lost.
  private static func thin(_ series: Series) -> Series {
    guard series.count > mostPoints else { return series }
    let parts = mostPoints / 2
    return (0..<parts).flatMap { part -> Series in
      let stretch = series[part * series.count / parts..<(part + 1) * series.count / parts]
      guard let low = stretch.min(by: { $0.value < $1.value }),
        let high = stretch.max(by: { $0.value < $1.value })
      else { return [] }
      return low.step == high.step ? [low] : low.step < high.step ? [low, high] : [high, low]
    }
  }
}
