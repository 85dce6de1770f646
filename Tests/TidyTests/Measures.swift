/// Sizes: of files, lines and functions.
enum Measures {
  static let fileLinesMax = 600
  static let lineColumnsMax = 100
  static let functionLinesMax = 70

  /// Files that may be longer than `fileLinesMax`, each with its reason.
  static let longFiles: [String: String] = [
    "Protocol/Vectors/replay.py":
      "a second reading of two chapters that shares no code with anything, in one file to take"
  ]

  /// Functions past `functionLinesMax` when the rule came, with the length they may not cross.
  static let longFunctions: [String: Int] = [:]

  private static let measured: Set<String> = ["swift", "c", "h", "proto", "sh", "py"]

  static func findings(in file: HouseFile) -> [Finding] {
    guard !file.isGenerated, measured.contains(file.ending) || !file.name.contains(".") else {
      return []
    }
    var findings: [Finding] = []
    let lines = file.lines
    let count = lines.last == "" ? lines.count - 1 : lines.count
    if count > fileLinesMax, longFiles[file.path] == nil {
      findings.append(
        Finding(
          file: file.path, line: nil,
          message: "\(count) lines; a file ends at \(fileLinesMax): divide it"))
    }
    for (number, line) in lines.enumerated() where line.utf8.count > lineColumnsMax {
      guard line.count > lineColumnsMax else { continue }
      findings.append(
        Finding(
          file: file.path, line: number + 1,
          message: "\(line.count) columns; a line ends at \(lineColumnsMax)"))
    }
    return findings
  }

  /// Functions of a Swift file that are longer than they may be.
  static func longFunctions(in file: HouseFile) -> [Finding] {
    guard file.ending == "swift", !file.isGenerated else { return [] }
    return functions(in: file.code).compactMap { function in
      let key = "\(file.path) \(function.name)"
      guard function.lines > longFunctions[key] ?? functionLinesMax else { return nil }
      return Finding(
        file: file.path, line: function.line,
        message: "\(function.name) has \(function.lines) lines; past \(functionLinesMax), split")
    }
  }

  struct Function: Equatable {
    var name: String
    var line: Int
    var lines: Int
  }

  /// Finds functions and initialisers by their braces: from the line of `func` to the closing one.
  static func functions(in code: Code) -> [Function] {
    var open: [(name: String, line: Int, depth: Int, entered: Bool)] = []
    var found: [Function] = []
    var depth = 0
    for (number, line) in code.lines.enumerated() {
      if line.mentions("func "), let name = line.firstMatch(of: /(?:^|\s)func\s+([^\s(<]+)/)?.1 {
        open.append((String(name), number + 1, depth, false))
      } else if line.mentions("init"), line.contains(/^\s*(?:\w+\s+)*init[?]?[(<]/) {
        open.append(("init", number + 1, depth, false))
      }
      for character in line.utf8 {
        if character == UInt8(ascii: "{") {
          depth += 1
          if let last = open.indices.last, !open[last].entered, depth == open[last].depth + 1 {
            open[last].entered = true
          }
        } else if character == UInt8(ascii: "}") {
          depth -= 1
          if let last = open.last, last.entered, depth == last.depth {
            found.append(
              Function(name: last.name, line: last.line, lines: number + 2 - last.line))
            open.removeLast()
          }
          // A protocol's requirement has no body: its scope's end takes it along.
          while let last = open.last, !last.entered, depth < last.depth { open.removeLast() }
        }
      }
      // A requirement on the line before another declaration never opens a body either.
      if let last = open.last, !last.entered, number + 1 > last.line + 20 { open.removeLast() }
    }
    return found
  }
}
