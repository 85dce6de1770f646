import FoundationEssentials

/// A folder that is gone when the test is.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/containers-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file and gives its path.
  func file(_ name: String, _ bytes: [UInt8]) throws -> String {
    let target = path + "/" + name
    try Data(bytes).write(to: URL(filePath: target))
    return target
  }
}

/// The path of a committed file.
func fixture(_ name: String) -> String {
  let folder = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
  return "/\(folder)/Fixtures/containers/\(name)"
}

/// The bytes of a file.
func contents(_ path: String) throws -> [UInt8] {
  [UInt8](try Data(contentsOf: URL(filePath: path)))
}

/// How much work a test may make of itself.
enum Slow {
  /// So many rounds, or ten times as many where tests may take minutes.
  static func rounds(_ quick: Int) -> Int {
    ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full" ? quick * 10 : quick
  }
}
