import Foundation

/// The table of bounds in the specification against the constants in the code.
enum LimitsTable {
  /// `public static let frameBytesMax: Int = 1 << 20` → `frameBytesMax: 1 << 20`.
  static func constants(in swift: String) -> [(name: String, expression: String)] {
    let pattern = /public static let (\w+)\s*(?::\s*[\w.]+)?\s*=\s*(.+)/
    return Code(swift).lines.compactMap { line in
      line.firstMatch(of: pattern).map { (String($0.1), $0.2.trimming(while: \.isWhitespace)) }
    }
  }

  /// `| frameBytesMax | 2^20 | bytes | … |` → `frameBytesMax: 2^20`. Headings have no digit.
  static func rows(in markdown: String) -> [(name: String, expression: String)] {
    markdown.split(separator: "\n").compactMap { line in
      guard line.hasPrefix("|") else { return nil }
      let cells = line.split(separator: "|", omittingEmptySubsequences: false).dropFirst()
        .map { $0.trimming { $0.isWhitespace || $0 == "`" } }
      guard cells.count >= 4, cells[0].wholeMatch(of: /[a-z]\w*/) != nil,
        cells[1].contains(where: \.isNumber)
      else { return nil }
      return (cells[0], cells[1])
    }
  }

  static func findings(swift: String, markdown: String) -> [Finding] {
    let constants = constants(in: swift)
    let rows = rows(in: markdown)
    let code = Dictionary(constants.map { ($0.name, $0.expression) }) { first, _ in first }
    let page = Dictionary(rows.map { ($0.name, $0.expression) }) { first, _ in first }
    var findings: [Finding] = []
    func find(_ file: String, _ message: String) {
      findings.append(Finding(file: file, line: nil, message: message))
    }
    for (name, expression) in constants {
      guard let row = page[name] else {
        find("Protocol/Limits.md", "no row for \(name)")
        continue
      }
      let ours = Arithmetic.value(of: expression, names: code)
      let theirs = Arithmetic.value(of: row, names: page)
      if ours == nil { find("Sources/Records/Limits.swift", "\(name): cannot read \(expression)") }
      if theirs == nil { find("Protocol/Limits.md", "\(name): cannot read \(row)") }
      if let ours, let theirs, ours != theirs {
        find("Protocol/Limits.md", "\(name) is \(theirs) here and \(ours) in the code")
      }
    }
    for (name, _) in rows where code[name] == nil {
      find("Sources/Records/Limits.swift", "no constant for \(name)")
    }
    return findings
  }
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
