import Foundation

/// One thing that is not as the house wants it: where, what, and what to do instead.
struct Finding: Equatable, CustomStringConvertible {
  var file: String
  var line: Int?
  var message: String

  var description: String { "\(file)\(line.map { ":\($0)" } ?? ""): \(message)" }
}

/// A file of the tree, read once.
struct HouseFile {
  /// Relative to the root, with forward slashes.
  let path: String
  let text: String
  let lines: [Substring]
  /// What is left of Swift or C without comments and literals; nothing for other files.
  let code: Code

  init(path: String, text: String) {
    self.path = path
    self.text = text
    lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let isCode = [".swift", ".c", ".h", ".proto"].contains { path.hasSuffix($0) }
    code = Code(isCode && !path.contains("/Generated/") ? text : "")
  }

  /// The room that the file belongs to: the folder below `Sources`.
  var room: String? {
    let parts = path.split(separator: "/")
    return parts.count > 2 && parts[0] == "Sources" ? String(parts[1]) : nil
  }
  var ending: String { path.split(separator: ".").last.map(String.init) ?? "" }
  var name: String { path.split(separator: "/").last.map(String.init) ?? path }
  var isGenerated: Bool { path.contains("/Generated/") }
}

/// The tree that these tests were built from.
struct House {
  let root: URL

  /// Found from this file's own place, links resolved, so that a build elsewhere reads this tree.
  static let here = House(
    root: URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent())

  func file(_ path: String) throws -> HouseFile {
    let text = try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    return HouseFile(path: path, text: text)
  }

  func exists(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: root.appendingPathComponent(path).path)
  }

  /// Every text file below a folder, sorted by path; files that are not UTF-8 are left out.
  func files(under folder: String, where wanted: (String) -> Bool = { _ in true }) -> [HouseFile] {
    let top = root.appendingPathComponent(folder)
    guard let walk = FileManager.default.enumerator(atPath: top.path) else { return [] }
    var paths: [String] = []
    // What a fuzzer kept is not what people wrote.
    for case let path as String in walk
    where !path.contains("__pycache__") && !path.contains("Fuzz/Corpus") {
      paths.append(folder + "/" + path)
    }
    return paths.filter(wanted).sorted().compactMap { try? file($0) }
  }

  /// Everything that people wrote: code, tests, specification, scripts and the pages at the top.
  func everything() -> [HouseFile] {
    let folders = ["Sources", "Tests", "Protocol", "Deploy", ".ci"]
    let top = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Package.swift"]
    return folders.flatMap { files(under: $0) } + top.compactMap { try? file($0) }
  }
}

extension StringProtocol {
  /// Whether the bytes of a literal occur. Regular expressions are slow; this asks first.
  func mentions(_ literal: String) -> Bool {
    let wanted = Array(literal.utf8)
    return utf8.withContiguousStorageIfAvailable { bytes in
      guard bytes.count >= wanted.count else { return false }
      for start in 0...(bytes.count - wanted.count) where bytes[start] == wanted[0] {
        if (1..<wanted.count).allSatisfy({ bytes[start + $0] == wanted[$0] }) { return true }
      }
      return false
    } ?? contains(literal)
  }
}
