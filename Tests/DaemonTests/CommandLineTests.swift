import Foundation
import Testing

@Suite struct CommandLineTests {
  @Test(arguments: ["train", "evaluate", "generate", "tokenize", "init", "join", "status", "log"])
  func everyVerbExplainsItself(_ verb: String) throws {
    let result = try Command.run("hanse", [verb, "--help"])
    #expect(result.code == 0)
    for word in ["OVERVIEW", "EXAMPLE", "EXIT CODES", "USAGE"] {
      #expect(result.output.contains(word), "hanse \(verb) --help lacks \(word)")
    }
    #expect(!result.output.contains("\u{1B}["))
  }

  @Test func wrongUseEndsWithTwo() throws {
    for arguments in [["frobnicate"], ["train"], ["init", "--name"], ["join"]] {
      let result = try Command.run("hanse", arguments)
      #expect(result.code == 2, "\(arguments) ended with \(result.code)")
      #expect(result.errors.hasPrefix("error: "), "\(result.errors)")
      #expect(result.output.isEmpty)
    }
  }

  @Test func aMissingHomeIsNamed() throws {
    let home = "/tmp/hanse-no-such-home"
    for verb in ["status", "log", "roster", "pending"] {
      let result = try Command.run("hanse", [verb, "--home", home])
      #expect(result.code == 3, "\(verb) ended with \(result.code): \(result.errors)")
      #expect(result.errors.contains(home))
      #expect(result.errors.contains("hint: "))
    }
    let daemon = try Command.run("hansed", ["--home", home])
    #expect(daemon.code == 3)
    #expect(daemon.errors.contains(home))
  }

  @Test func aBrokenTicketIsRefusedAndLeavesNothingBehind() throws {
    let home = "/tmp/hanse-broken-ticket-\(UUID().uuidString)"
    for ticket in ["hello", "hanse1abc", "hanse1" + String(repeating: "a", count: 100_000)] {
      let result = try Command.run(
        "hanse", ["join", ticket, "--home", home, "--name", "x", "--model", "m", "--data", "d"])
      #expect(result.code == 2, "\(result.errors)")
      #expect(result.errors.contains("ticket"))
      #expect(!FileManager.default.fileExists(atPath: home))
    }
  }
}
