/// Swift or C source with everything taken out that is not code.
///
/// Comments and the insides of string literals become empty, so that a page may *name* what it
/// forbids. Line numbers stay. Interpolations inside a literal are dropped with it: the one place
/// where a forbidden call could hide.
struct Code {
  let lines: [String]

  init(_ text: String) {
    var reader = Reader(bytes: Array(text.utf8))
    reader.run()
    lines = String(decoding: reader.kept, as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
  }
}

private struct Reader {
  let bytes: [UInt8]
  var kept: [UInt8] = []
  var index = 0

  init(bytes: [UInt8]) {
    self.bytes = bytes
    kept.reserveCapacity(bytes.count)
  }

  mutating func run() {
    while index < bytes.count {
      if matches("//") {
        skip { $0.matches("\n") }
      } else if matches("/*") {
        skipBlockComment()
      } else if matches("\"\"\"") {
        skipLiteral(quote: "\"\"\"")
      } else if matches("\"") {
        skipLiteral(quote: "\"")
      } else if matches("'") && isCharacterLiteral {
        index += bytes[index + 1] == UInt8(ascii: "\\") ? 4 : 3
      } else {
        kept.append(bytes[index])
        index += 1
      }
    }
  }

  /// C's `'"'` would otherwise open a string.
  private var isCharacterLiteral: Bool {
    index + 2 < bytes.count && bytes[index + 1] != UInt8(ascii: "\n")
      && (bytes[index + 2] == UInt8(ascii: "'")
        || (bytes[index + 1] == UInt8(ascii: "\\") && index + 3 < bytes.count
          && bytes[index + 3] == UInt8(ascii: "'")))
  }

  private func matches(_ text: StaticString) -> Bool {
    let count = text.utf8CodeUnitCount
    guard index + count <= bytes.count else { return false }
    return (0..<count).allSatisfy { bytes[index + $0] == text.utf8Start[$0] }
  }

  private mutating func skip(until done: (Reader) -> Bool) {
    while index < bytes.count, !done(self) { step() }
  }

  /// Moves on by one byte and keeps newlines, so that line numbers stay true.
  private mutating func step() {
    if bytes[index] == UInt8(ascii: "\n") { kept.append(bytes[index]) }
    index += 1
  }

  private mutating func skipBlockComment() {
    var depth = 0
    repeat {
      if matches("/*") {
        depth += 1
        index += 2
      } else if matches("*/") {
        depth -= 1
        index += 2
      } else {
        step()
      }
    } while depth > 0 && index < bytes.count
  }

  private mutating func skipLiteral(quote: StaticString) {
    let raw = kept.last == UInt8(ascii: "#")
    index += quote.utf8CodeUnitCount
    kept.append(UInt8(ascii: "\""))
    while index < bytes.count {
      if !raw, matches("\\") {
        index += 1
        if index < bytes.count { step() }
      } else if matches(quote) {
        index += quote.utf8CodeUnitCount
        kept.append(UInt8(ascii: "\""))
        return
      } else if quote.utf8CodeUnitCount == 1, matches("\n") {
        return
      } else {
        step()
      }
    }
  }
}
