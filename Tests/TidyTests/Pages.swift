import Foundation

/// Rules for what people read: Markdown pages, comments, scripts.
enum Pages {
  /// A page has one title, on its first line.
  static func titles(in file: HouseFile) -> [Finding] {
    guard file.ending == "md" else { return [] }
    let titles = prose(of: file).filter { $0.text.hasPrefix("# ") }
    if titles.count != 1 {
      return [
        Finding(
          file: file.path, line: titles.dropFirst().first?.number,
          message: "\(titles.count) titles; a page has one")
      ]
    }
    return titles[0].number == 1
      ? [] : [Finding(file: file.path, line: titles[0].number, message: "the title comes first")]
  }

  /// A relative link leads to a file that exists.
  static func links(in file: HouseFile, exists: (String) -> Bool) -> [Finding] {
    guard file.ending == "md" else { return [] }
    let folder = file.path.split(separator: "/").dropLast().map(String.init)
    return prose(of: file).flatMap { line in
      !line.text.mentions("](")
        ? []
        : line.text.matches(of: /\]\(([^)#\s]+)(?:#[^)]*)?\)/).compactMap { match -> Finding? in
          let link = String(match.1)
          if link.contains(":") { return nil }
          var parts = folder
          for part in link.split(separator: "/") where part != "." {
            if part == ".." {
              if parts.isEmpty { return Finding(file: file.path, line: line.number, message: link) }
              parts.removeLast()
            } else {
              parts.append(String(part))
            }
          }
          return exists(parts.joined(separator: "/"))
            ? nil
            : Finding(file: file.path, line: line.number, message: "leads nowhere: \(link)")
        }
    }
  }

  /// Work that is left says so in an issue, not in the code.
  static func leftovers(in file: HouseFile) -> [Finding] {
    guard !isTidy(file), file.ending != "jsonl", file.ending != "json" else { return [] }
    return file.lines.enumerated().compactMap { number, line in
      ["FIXME", "TODO", "XXX"].contains(where: line.mentions)
        && line.contains(/(?:^|\W)(?:FIXME|TODO|XXX)(?:\W|$)/)
        ? Finding(file: file.path, line: number + 1, message: "unfinished: finish it") : nil
    }
  }

  /// The tree works anywhere: no path of one machine or one person in it.
  static func machinePaths(in file: HouseFile) -> [Finding] {
    guard !isTidy(file) else { return [] }
    let places = ["/root/", "/Users/", "/home/", "/srv/", "/mnt/", "/opt/"]
    let pattern =
      /(?:^|[^A-Za-z0-9_.$}])\/(?:(?:root|Users|home|srv|mnt)\/\w|opt\/swift-packages)/
    return file.lines.enumerated().compactMap { number, line in
      places.contains(where: line.mentions) && line.contains(pattern)
        ? Finding(file: file.path, line: number + 1, message: "a path of one machine") : nil
    }
  }

  /// Tests go through the front door.
  static func testableImports(in file: HouseFile) -> [Finding] {
    guard file.ending == "swift", !isTidy(file) else { return [] }
    return file.lines.enumerated().compactMap { number, line in
      line.mentions("@testable")
        ? Finding(
          file: file.path, line: number + 1,
          message: "@testable: instead, make it `package`; tests run on the release build") : nil
    }
  }

  /// These tests must be able to name what they forbid.
  private static func isTidy(_ file: HouseFile) -> Bool { file.path.hasPrefix("Tests/TidyTests/") }

  /// The lines of a page that are not inside a code fence.
  private static func prose(of file: HouseFile) -> [(number: Int, text: Substring)] {
    var fenced = false
    var kept: [(number: Int, text: Substring)] = []
    for (number, line) in file.lines.enumerated() {
      if line.drop(while: { $0 == " " }).hasPrefix("```") {
        fenced.toggle()
      } else if !fenced {
        kept.append((number + 1, line))
      }
    }
    return kept
  }
}
