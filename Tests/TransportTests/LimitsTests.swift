import Foundation
import Testing

/// Protocol/Limits.md says what the code says.
@Suite struct LimitsTests {
  private static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../..").standardizedFileURL

  @Test(arguments: [
    "Sources/Gossip/GossipLimits.swift", "Sources/Transport/TransportLimits.swift",
  ])
  func everyNumberOfTheCodeIsInTheTable(file: String) throws {
    let table = try String(
      contentsOf: Self.root.appending(path: "Protocol/Limits.md"), encoding: .utf8)
    let code = try String(contentsOf: Self.root.appending(path: file), encoding: .utf8)
    var count = 0
    for line in code.split(separator: "\n") {
      guard let match = line.wholeMatch(of: /\s\spublic (?:static let|var) (\w+)[^=]*= (.+)/) else {
        continue
      }
      count += 1
      #expect(table.contains("| `\(match.1)` | \(match.2) |"), "\(match.1) = \(match.2)")
    }
    #expect(count > 15)
  }
}
