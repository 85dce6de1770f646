/// Text that came from somewhere else, made safe for a terminal or a log.
public enum PlainText {
  /// The text with everything escaped that could move a cursor, change a colour, turn the writing
  /// direction, hide, or break a line; at most `limit` characters, then an ellipsis.
  ///
  /// A backslash is doubled, so that what is shown can be told from an escape.
  public static func escape(_ text: String, limit: Int = 200) -> String {
    var result = ""
    var count = 0
    var marks = 0
    for scalar in text.unicodeScalars {
      if count == limit { return result + "…" }
      count += 1
      marks = isMark(scalar) ? marks + 1 : 0
      if scalar == "\\" {
        result += "\\\\"
      } else if isSafe(scalar) && marks <= marksMax {
        result.unicodeScalars.append(scalar)
      } else {
        result += "\\u{" + String(scalar.value, radix: 16) + "}"
      }
    }
    return result
  }

  /// JSON text in which everything that ``escape(_:limit:)`` would escape, but the line ends that
  /// lay it out, is written as `\uXXXX`. It means the same: outside ASCII, and at DEL, JSON has
  /// only strings.
  public static func escapeInJSON(_ json: String) -> String {
    var result = ""
    for scalar in json.unicodeScalars {
      // JSON itself escapes what is below a space, but not DEL.
      if scalar.isASCII && scalar.value != 0x7F || (isSafe(scalar) && !isMark(scalar)) {
        result.unicodeScalars.append(scalar)
      } else {
        for unit in String(scalar).utf16 {
          let digits = String(unit, radix: 16)
          result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        }
      }
    }
    return result
  }

  /// Written languages stack no more; a tower of marks climbs over the lines around it.
  private static let marksMax = 2

  private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
    let category = scalar.properties.generalCategory
    return category == .nonspacingMark || category == .enclosingMark
  }

  private static func isSafe(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII { return scalar.value >= 0x20 && scalar.value != 0x7F }
    switch scalar.properties.generalCategory {
    // Format holds the marks of direction and the joiners that hide; the last ones have no glyph.
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse,
      .unassigned:
      return false
    case .spaceSeparator: return false
    default: return !scalar.properties.isDefaultIgnorableCodePoint
    }
  }

  /// The columns that a text takes, counting wide East Asian characters and emoji as two, and the
  /// codes of a ``PageStyle`` as none.
  public static func width(_ text: String) -> Int {
    var isCode = false
    return text.unicodeScalars.reduce(0) { sum, scalar in
      if scalar == "\u{1B}" { isCode = true }
      if isCode {
        if scalar == "m" { isCode = false }
        return sum
      }
      return sum + width(scalar)
    }
  }

  private static func width(_ scalar: Unicode.Scalar) -> Int {
    scalar.properties.isEmojiPresentation || isWide(scalar) ? 2 : 1
  }

  /// The columns that a terminal has at least.
  static let columns = 80

  /// Parts of a line beside each other, with two spaces between them, on as many lines as they
  /// need. A part that fits on a line stands on one; a longer one is broken between its words.
  ///
  /// - Parameters:
  ///   - first: what the first line begins with.
  ///   - rest: what every other line begins with.
  static func flow(_ parts: [String], first: String = "", rest: String = "    ") -> [String] {
    // Beside a drawing that takes all columns the text goes on in a narrow one.
    let room = max(32, columns - width(rest))
    var lines: [String] = []
    var line = ""
    func put(_ text: String, after gap: String) {
      let used = width(line)
      let end = lines.isEmpty ? max(room, columns - width(first)) : room
      if used > 0, used + gap.count + width(text) <= end {
        line += gap + text
      } else {
        if used > 0 { lines.append(line) }
        line = text
      }
    }
    for part in parts where !part.isEmpty {
      guard width(part) > room else {
        put(part, after: "  ")
        continue
      }
      for (place, word) in part.split(separator: " ").enumerated() {
        for (index, piece) in pieces(of: String(word), upTo: room).enumerated() {
          put(piece, after: index > 0 ? "" : place > 0 ? " " : "  ")
        }
      }
    }
    lines.append(line)
    return lines.enumerated().map { ($0.offset == 0 ? first : rest) + $0.element }
  }

  /// A word in pieces of at most so many columns.
  private static func pieces(of word: String, upTo room: Int) -> [String] {
    guard width(word) > room else { return [word] }
    var result = [""]
    for character in word {
      let longer = result[result.count - 1] + String(character)
      if width(longer) > room {
        result.append(String(character))
      } else {
        result[result.count - 1] = longer
      }
    }
    return result
  }

  private static func isWide(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF,
      0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x20000...0x3FFFD:
      true
    default: false
    }
  }
}

/// Columns of text under each other.
public struct TextTable: Sendable {
  /// Where a column's text stands.
  public enum Side: Sendable { case left, right }

  private let heads: [(title: String, side: Side)]
  private var rows: [[String]] = []

  /// A table with these columns.
  public init(_ heads: [(title: String, side: Side)]) { self.heads = heads }

  /// Adds a row. Precondition: as many cells as there are columns.
  public mutating func add(_ cells: [String]) {
    precondition(cells.count == heads.count, "a row has \(heads.count) cells, not \(cells.count)")
    rows.append(cells)
  }

  /// Whether there are rows.
  public var isEmpty: Bool { rows.isEmpty }

  /// The lines, head first; nothing stands behind the last column's text.
  ///
  /// - Parameter limit: columns of the first cell; one that takes more has a line of its own, above
  ///   the rest of its row.
  public func lines(firstUpTo limit: Int = .max) -> [String] {
    var all = [heads.map(\.title)]
    var above: [Int: String] = [:]
    for var row in rows {
      if PlainText.width(row[0]) > limit {
        above[all.count] = row[0]
        row[0] = ""
      }
      all.append(row)
    }
    let widths = heads.indices.map { column in
      all.map { PlainText.width($0[column]) }.max() ?? 0
    }
    return all.enumerated().flatMap { place, cells in
      var line = ""
      for (index, cell) in cells.enumerated() {
        if index > 0 { line += "  " }
        let gap = String(repeating: " ", count: widths[index] - PlainText.width(cell))
        line += heads[index].side == .right ? gap + cell : cell + gap
      }
      while line.last == " " { line.removeLast() }
      return (above[place].map { PlainText.flow([$0], rest: "  ") } ?? []) + [line]
    }
  }
}
