import Gossip
import TOMLKit

/// The keys of a settings file and the lines on which they stand, which the parser does not tell.
struct SettingLines {
  /// A key with the tables around it, from the outside in.
  typealias Key = [String]

  /// The file.
  let path: String
  /// Every key in the order of the file, with the line on which its statement begins.
  private(set) var keys: [(key: Key, line: Int)] = []

  /// - Parameter text: TOML that the parser has taken.
  init(_ text: String, path: String) {
    self.path = path
    var section: Key = []
    for statement in Self.statements(of: text) {
      guard let table = try? TOMLTable(string: statement.text) else { continue }
      let found = Self.keys(of: table)
      let isHeader = statement.text.first == "["
      keys += found.map { ((isHeader ? [] : section) + $0, statement.line) }
      if isHeader { section = found.last ?? [] }
    }
  }

  /// Where a key stands, as `file:line`; the file alone for one that it does not have.
  func place(of key: Key) -> String {
    keys.first { $0.key == key }.map { "\(path):\($0.line)" } ?? path
  }

  /// Refuses every key that the daemon does not know, and names the one that may be meant.
  func refuse(butFor known: [Key]) throws {
    var unknown: [(key: Key, line: Int)] = []
    // Five show what is wrong; a file may hold a hundred thousand.
    for found in keys where unknown.count < Self.namedMax && !known.contains(found.key) {
      // A table that is unknown says it for all that it holds.
      if !unknown.contains(where: { found.key.starts(with: $0.key) }) { unknown.append(found) }
    }
    guard let first = unknown.first else { return }
    let texts = unknown.map { key, line in
      (line == first.line ? "" : "line \(line): ") + "unknown key \(Self.name(key))"
        + (Self.nearest(to: key, among: known).map { ", the nearest is \(Self.name($0))" } ?? "")
    }
    throw NodeError.configuration(
      path: "\(path):\(first.line)", reason: texts.joined(separator: "; "))
  }

  /// Unknown keys that are named at a time.
  private static let namedMax = 5

  /// A key as people write it.
  static func name(_ key: Key) -> String {
    printable(key.joined(separator: "."), limit: 80)
  }

  /// The known key that takes the fewest changes of a letter, one in the same table before others;
  /// nil when more than half of the letters would change.
  private static func nearest(to key: Key, among known: [Key]) -> Key? {
    func far(_ other: Key) -> Int {
      2 * distance(key.last ?? "", other.last ?? "")
        + (other.dropLast() == key.dropLast() ? 0 : 1)
    }
    guard let best = known.min(by: { far($0) < far($1) }) else { return nil }
    return far(best) / 2 <= (key.last ?? "").count / 2 ? best : nil
  }

  /// Letters to change, add or take away.
  private static func distance(_ from: String, _ to: String) -> Int {
    // A key has no reason to be longer; what is cut off is a change of its own.
    let (from, to) = (Array(from.prefix(64)), Array(to))
    var row = Array(0...to.count)
    for (place, letter) in from.enumerated() {
      var diagonal = row[0]
      row[0] = place + 1
      for (column, other) in to.enumerated() {
        let change = diagonal + (letter == other ? 0 : 1)
        diagonal = row[column + 1]
        row[column + 1] = min(change, row[column] + 1, diagonal + 1)
      }
    }
    return row[to.count]
  }

  /// Every key of a table, each table before what it holds, as deep as one may be named: no known
  /// key is deeper than two.
  private static func keys(of table: TOMLTable, deep: Int = 4) -> [Key] {
    table.keys.flatMap { name in
      let within = deep > 1 ? table[name]?.table : nil
      return [[name]] + (within.map { keys(of: $0, deep: deep - 1) } ?? []).map { [name] + $0 }
    }
  }

  /// The statements of a page: what ends with a line outside of brackets and strings.
  private static func statements(of text: String) -> [(text: String, line: Int)] {
    let bytes = Array(text.utf8)
    var result: [(text: String, line: Int)] = []
    var (index, start, line, first, depth) = (0, 0, 1, 1, 0)
    func end() {
      let statement = String(decoding: bytes[start..<index], as: UTF8.self)
      result.append((String(statement.drop(while: \.isWhitespace)), first))
    }
    while index < bytes.count {
      switch bytes[index] {
      case UInt8(ascii: "\n"):
        line += 1
        if depth == 0 {
          end()
          (start, first) = (index + 1, line)
        }
      case UInt8(ascii: "#"):
        while index + 1 < bytes.count, bytes[index + 1] != UInt8(ascii: "\n") { index += 1 }
      case UInt8(ascii: "\""), UInt8(ascii: "'"):
        let last = endOfString(bytes, from: index)
        line += bytes[index...last].count { $0 == UInt8(ascii: "\n") }
        index = last
      case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
      case UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
      default: break
      }
      index += 1
    }
    end()
    return result
  }

  /// The place of a string's last quote.
  private static func endOfString(_ bytes: [UInt8], from start: Int) -> Int {
    let quote = bytes[start]
    func isTriple(at place: Int) -> Bool {
      place + 2 < bytes.count && bytes[place...place + 2].allSatisfy { $0 == quote }
    }
    let isLong = isTriple(at: start)
    var index = start + (isLong ? 3 : 1)
    while index < bytes.count {
      if bytes[index] == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
        index += 2
        continue
      }
      if bytes[index] == quote, !isLong { return index }
      if isLong, isTriple(at: index) {
        index += 2
        // Up to two quotes may stand before the three that end it.
        while index + 1 < bytes.count, bytes[index + 1] == quote { index += 1 }
        return index
      }
      index += 1
    }
    return bytes.count - 1
  }
}
