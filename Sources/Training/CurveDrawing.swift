/// A training curve in plain text, for a terminal.
public struct CurveDrawing {
  /// The narrowest drawing, in columns; narrower terminals get none.
  public static let leastWidth = 32
  /// The widest: beyond it lines only grow apart.
  public static let mostWidth = 120

  private let points: [CurvePoint]
  private let width: Int
  private let height: Int

  /// A drawing of these points in so many columns, and so many rows of plot.
  public init(_ points: [CurvePoint], width: Int, height: Int = 12) {
    self.points = points
    self.width = min(width, Self.mostWidth)
    self.height = max(4, height)
  }

  /// The lines, none longer than the width; none at all when there is too little to draw or room.
  public func lines() -> [String] {
    let (losses, heldOut) = (points.losses, points.heldOutLosses)
    guard losses.count > 1, width >= Self.leastWidth else { return [] }
    let first = min(losses[0].step, heldOut.first?.step ?? .max)
    let last = max(losses[losses.count - 1].step, first + 1)
    // The widest label decides the margin, and the margin the columns: two goes are enough.
    var margin = 8
    var scale = CurveScale([0, 1], ticks: 1)
    var columns: [Double?] = []
    for _ in 0..<2 {
      columns = means(losses, first: first, last: last, count: width - margin - 2)
      scale = CurveScale(
        columns.compactMap(\.self) + heldOut.map(\.value), ticks: max(2, height / 3))
      margin = scale.ticks.map { scale.text($0).count }.max() ?? margin
    }
    var rows = [[Character]](
      repeating: [Character](repeating: " ", count: columns.count), count: height)
    func row(_ value: Double) -> Int {
      height - 1 - Int((scale.place(value) * Double(height - 1)).rounded())
    }
    for (column, value) in columns.enumerated() {
      if let value { rows[row(value)][column] = "·" }
    }
    for (step, value) in heldOut {
      rows[row(value)][
        Self.column(of: step, first: first, last: last, count: columns.count)] = "●"
    }
    var labels = [String](repeating: "", count: height)
    for tick in scale.ticks { labels[row(tick)] = scale.text(tick) }
    var lines = zip(labels, rows).map { label, row in
      let text = String(row).trimmingBlanks
      return pad(label, margin) + (label.isEmpty ? " │" : " ┤") + text
    }
    lines.append(pad("", margin) + " └" + String(repeating: "─", count: columns.count))
    lines.append(caption(margin, columns.count, first, last, judged: !heldOut.isEmpty))
    return lines
  }

  /// First and last step at the ends of the axis, and what the marks mean between them.
  private func caption(_ margin: Int, _ count: Int, _ first: Int, _ last: Int, judged: Bool)
    -> String
  {
    let (left, right) = ("step \(first)", "\(last)")
    let key = "· training loss" + (judged ? "   ● held-out" : "")
    let room = count - left.count - right.count
    guard room >= key.count + 4 else {
      return pad("", margin + 2) + left + pad(right, max(right.count + 1, count - left.count))
    }
    let before = (room - key.count) / 2
    return pad("", margin + 2) + left + String(repeating: " ", count: before) + key
      + String(repeating: " ", count: room - key.count - before) + right
  }

  private static func column(of step: Int, first: Int, last: Int, count: Int) -> Int {
    min(count - 1, (step - first) * (count - 1) / (last - first))
  }

  /// The mean of the losses that fall into each column; nil where none does.
  private func means(
    _ losses: [(step: Int, value: Double)], first: Int, last: Int, count: Int
  ) -> [Double?] {
    var sums = [(sum: Double, count: Int)](repeating: (0, 0), count: count)
    for (step, value) in losses {
      let column = Self.column(of: step, first: first, last: last, count: count)
      sums[column].sum += value
      sums[column].count += 1
    }
    return sums.map { $0.count > 0 ? $0.sum / Double($0.count) : nil }
  }
}

private func pad(_ text: String, _ width: Int) -> String {
  String(repeating: " ", count: max(0, width - text.count)) + text
}

extension String {
  /// Without blanks at the end.
  fileprivate var trimmingBlanks: String {
    var text = self
    while text.last == " " { text.removeLast() }
    return text
  }
}
