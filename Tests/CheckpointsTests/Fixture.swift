import FoundationEssentials
import Glibc
import Testing

/// The files that Tests/Tools/make_fixtures.py wrote.
enum Fixture {
  static let root: String = {
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return parts.dropLast(2).joined(separator: "/") + "/Fixtures"
  }()

  static let tied = root + "/llama-tied"
  static let untied = root + "/llama-untied"
}

/// An empty folder that is gone when the test is over.
final class Folder {
  let path: String

  init() {
    var template = Array("/tmp/hanse-checkpoints-XXXXXX".utf8CString)
    path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path)
  }

  /// A copy of a fixture's folder whose files a test may change.
  func copy(_ source: String) throws -> String {
    let target = path + "/copy"
    try FileManager.default.copyItem(atPath: source, toPath: target)
    return target
  }
}

/// Replaces text in a file, which must be there.
func edit(_ path: String, replace old: String, with new: String) throws {
  let data = try #require(FileManager.default.contents(atPath: path))
  let text = String(decoding: data, as: UTF8.self)
  #expect(text.contains(old))
  let edited = text.replacing(old, with: new)
  _ = FileManager.default.createFile(atPath: path, contents: Data(edited.utf8))
}
