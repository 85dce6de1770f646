import Foundation
import Testing

/// The fold has to run on machines for which there is no Foundation and no Swift runtime.
@Suite struct EmbeddedTests {
  /// As Embedded Swift on this machine: what the run under emulation for arm64 compiles, too.
  @Test(
    .enabled(if: ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full", "HANSE_TESTS=full"))
  func theFoldCompilesWithoutTheRuntimeAndWritesTheVectors() throws {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let said = FileManager.default.temporaryDirectory
      .appending(path: "hanse-embedded-\(UUID().uuidString)")
    try Data().write(to: said)
    defer { try? FileManager.default.removeItem(at: said) }
    let file = try FileHandle(forWritingTo: said)
    let process = Process()
    process.executableURL = tests.appending(path: "Tools/fold_on_arm64")
    process.arguments = ["--here"]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = file
    process.standardError = file
    try process.run()
    process.waitUntilExit()
    let words = String(decoding: try Data(contentsOf: said), as: UTF8.self)
    #expect(process.terminationStatus == 0, "\(words)")
    #expect(words.contains("1 passed, 0 failed"), "\(words)")
  }
}
