import Foundation

/// The tables of bounds in the specification against the constants in the code.
///
/// A line that names a file of `Sources` begins a table; its rows are `| name | value | … |`.
enum LimitsTable {
  typealias Row = (name: String, expression: String)

  /// `public static let frameBytesMax: Int = 1 << 20` → `frameBytesMax: 1 << 20`; variables with a
  /// value and functions on one line count too.
  static func constants(in swift: String) -> [Row] {
    let value = /(?:let|var) (\w+)\s*(?::\s*[\w.]+)?\s*=\s*(.+)/
    let function = /static func (\w+)\(.*\{(.+)\}\s*$/
    return Code(swift).lines.compactMap { line in
      guard line.mentions("public ") else { return nil }
      let match = line.firstMatch(of: value) ?? line.firstMatch(of: function)
      return match.map { (String($0.1), $0.2.trimming(while: \.isWhitespace)) }
    }
  }

  /// The tables, by the file that they speak of. Rows whose value has no digit are headings.
  static func tables(in markdown: String) -> [String: [Row]] {
    var file = ""
    var tables: [String: [Row]] = [:]
    for line in markdown.split(separator: "\n") {
      guard line.hasPrefix("|") else {
        if let match = line.firstMatch(of: /Sources\/[\w\/+-]+\.swift/) { file = String(match.0) }
        continue
      }
      let cells = line.split(separator: "|", omittingEmptySubsequences: false).dropFirst()
        .map { $0.trimming { $0.isWhitespace || $0 == "`" } }
      guard cells.count >= 3, cells[0].wholeMatch(of: /[a-z]\w*/) != nil,
        cells[1].contains(where: { $0.isNumber || $0 == "." })
      else { continue }
      tables[file, default: []].append((cells[0], cells[1]))
    }
    return tables
  }

  /// Findings for one table and the file that it speaks of.
  ///
  /// - Parameter shared: constants of other files that expressions may name.
  static func findings(
    rows: [Row], of path: String, swift: String, shared: [Row] = []
  ) -> [Finding] {
    let constants = constants(in: swift)
    let code = names(shared + constants)
    let page = names(shared + rows)
    let listed = Set(rows.map(\.name))
    let declared = Set(constants.map(\.name))
    var findings: [Finding] = []
    func find(_ message: String) {
      findings.append(Finding(file: "Protocol/Limits.md", line: nil, message: message))
    }
    for (name, ours) in constants {
      guard listed.contains(name), let theirs = page[name] else {
        find("no row for \(name) of \(path)")
        continue
      }
      if squeezed(ours) == squeezed(theirs) { continue }
      let value = Arithmetic.value(of: ours, names: code)
      if value == nil || value != Arithmetic.value(of: theirs, names: page) {
        find("\(name) is \(theirs) here and \(ours) in \(path)")
      }
    }
    for (name, _) in rows where !declared.contains(name) { find("\(path) has no \(name)") }
    return findings
  }

  private static func names(_ rows: [Row]) -> [String: String] {
    Dictionary(rows.map { ($0.name, $0.expression) }) { _, last in last }
  }

  private static func squeezed(_ text: String) -> String { text.filter { !$0.isWhitespace } }
}

/// Evaluates the small expressions that limits are written in.
///
/// Integers with `_`, `,` or a narrow space in them; decimals; `+ - * / <<`, `×`, `·`, `^` and
/// superscript powers; parentheses; names of other limits; `.seconds(…)` and its like; a unit
/// `KiB`, `MiB` or `GiB` behind a number; the start of a Swift conversion such as `Int(…)`.
struct Arithmetic {
  private var tokens: [String]
  private var index = 0
  private let names: [String: String]
  private let depth: Int

  static func value(of expression: String, names: [String: String] = [:]) -> Decimal? {
    value(of: expression, names: names, depth: 0)
  }

  private static func value(of text: String, names: [String: String], depth: Int) -> Decimal? {
    guard depth < 8 else { return nil }
    var reader = Arithmetic(text, names: names, depth: depth)
    guard let value = reader.sum(), reader.index == reader.tokens.count else { return nil }
    return value
  }

  private init(_ text: String, names: [String: String], depth: Int) {
    self.names = names
    self.depth = depth
    var plain = text
    for (digits, digit) in zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789") {
      plain = plain.replacing(
        String(digits), with: "\u{1}\(digit)")
    }
    plain = plain.replacing(/(?:\u{1}\d)+/) { match in
      "^" + match.0.filter(\.isASCII).filter(\.isNumber)
    }
    plain = plain.replacing(/(\d)[_,\u{202F}\u{2009}\u{A0} ](?=\d)/) { String($0.1) }
    let pattern = /<<|[-+*\/×·^()−]|[\d.]*\d|\.?[A-Za-z_]\w*(?:\.\w+)*/
    tokens = plain.matches(of: pattern).map { String($0.0) }
  }

  private var next: String? { index < tokens.count ? tokens[index] : nil }

  private mutating func take(_ wanted: String...) -> String? {
    guard let next, wanted.contains(next) else { return nil }
    index += 1
    return next
  }

  private mutating func sum() -> Decimal? {
    guard var left = shift() else { return nil }
    while let sign = take("+", "-", "−") {
      guard let right = shift() else { return nil }
      left = sign == "+" ? left + right : left - right
    }
    return left
  }

  /// In Swift a shift binds more tightly than a product.
  private mutating func shift() -> Decimal? {
    guard var left = factor() else { return nil }
    while let sign = take("*", "×", "·", "/") {
      guard let right = factor() else { return nil }
      if sign == "/", right == 0 { return nil }
      left = sign == "/" ? left / right : left * right
    }
    return left
  }

  private mutating func factor() -> Decimal? {
    guard var left = power() else { return nil }
    while take("<<") != nil {
      guard let right = power(), let count = Self.small(right) else { return nil }
      left *= pow(2, count)
    }
    return left
  }

  private mutating func power() -> Decimal? {
    guard let left = atom() else { return nil }
    guard take("^") != nil else { return left }
    guard let right = atom(), let count = Self.small(right) else { return nil }
    return pow(left, count)
  }

  private mutating func atom() -> Decimal? {
    if take("(") != nil {
      guard let value = sum(), take(")") != nil else { return nil }
      return value
    }
    if take("-", "−") != nil { return atom().map { -$0 } }
    guard let word = next else { return nil }
    index += 1
    if word.first?.isNumber == true { return Decimal(string: word).map { $0 * unit() } }
    if next == "(" { return atom() }
    let name = String(word.split(separator: ".").last ?? "")
    return names[name].flatMap { Self.value(of: $0, names: names, depth: depth + 1) }
  }

  private mutating func unit() -> Decimal {
    switch take("KiB", "MiB", "GiB") {
    case "KiB": 1_024
    case "MiB": 1_048_576
    case "GiB": 1_073_741_824
    default: 1
    }
  }

  private static func small(_ value: Decimal) -> Int? {
    let number = (value as NSDecimalNumber).intValue
    return value >= 0 && value <= 120 && Decimal(number) == value ? number : nil
  }
}
