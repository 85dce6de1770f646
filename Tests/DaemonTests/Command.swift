import Foundation
import Testing

/// Runs the real binaries that were built beside the tests.
struct Command {
  struct Result {
    let code: Int32
    let output: String
    let errors: String
  }

  /// The folder of the built products.
  static let products: URL = {
    if let folder = ProcessInfo.processInfo.environment["HANSE_TEST_BINARIES"] {
      return URL(filePath: folder)
    }
    return URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: ".build/release")
  }()

  /// Runs a program to its end.
  static func run(
    _ program: String, _ arguments: [String], input: String = "",
    environment: [String: String] = [:]
  ) throws -> Result {
    let process = Process()
    process.executableURL = products.appending(path: program)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let scratch = FileManager.default.temporaryDirectory
      .appending(path: "hanse-command-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: scratch) }
    // Files, not pipes: no reader has to keep up, however much is said.
    for (name, text) in [("in", input), ("out", ""), ("err", "")] {
      try Data(text.utf8).write(to: scratch.appending(path: name))
    }
    process.standardInput = try FileHandle(forReadingFrom: scratch.appending(path: "in"))
    process.standardOutput = try FileHandle(forWritingTo: scratch.appending(path: "out"))
    process.standardError = try FileHandle(forWritingTo: scratch.appending(path: "err"))
    try process.run()
    process.waitUntilExit()
    func text(_ name: String) throws -> String {
      String(decoding: try Data(contentsOf: scratch.appending(path: name)), as: UTF8.self)
    }
    return Result(code: process.terminationStatus, output: try text("out"), errors: try text("err"))
  }
}
