import Foundation
import Testing

@Suite struct CommandLineTests {
  @Test(arguments: [
    "train", "evaluate", "generate", "tokenize", "init", "join", "status", "log", "bench",
  ])
  func everyVerbExplainsItself(_ verb: String) throws {
    let result = try Command.run("hanse", [verb, "--help"])
    #expect(result.code == 0)
    for word in ["OVERVIEW", "EXAMPLE", "EXIT CODES", "USAGE"] {
      #expect(result.output.contains(word), "hanse \(verb) --help lacks \(word)")
    }
    #expect(!result.output.contains("\u{1B}["))
  }

  @Test func wrongUseEndsWithTwo() throws {
    for arguments in [
      ["frobnicate"], ["train"], ["bench", "train", "--steps", "0"], ["init", "--name"], ["join"],
    ] {
      let result = try Command.run("hanse", arguments)
      #expect(result.code == 2, "\(arguments) ended with \(result.code)")
      #expect(result.errors.hasPrefix("error: "), "\(result.errors)")
      #expect(result.output.isEmpty)
    }
  }

  /// The benchmarks run small, so that they never rot.
  @Test func benchmarksPrintFigures() throws {
    let train = try Command.run(
      "hanse",
      ["bench", "train", "--shape", "tiny", "--batch", "1", "--length", "16", "--steps", "1"])
    #expect(train.code == 0, "\(train.errors)")
    for word in ["tokens/s", "TFLOP/s", "MiB", "LoRA products", "optimiser"] {
      #expect(train.output.contains(word), "bench train does not say \(word)")
    }
    let codec = try Command.run(
      "hanse", ["bench", "codec", "--rank", "2", "--layers", "1", "--repeats", "1", "--json"])
    #expect(codec.code == 0, "\(codec.errors)")
    #expect(codec.output.contains("\"bits_per_number\":"))
    #expect(try Command.run("hanse", ["bench", "train", "--shape", "none"]).code == 2)
  }

  @Test func aMissingHomeIsNamed() throws {
    let home = "/tmp/hanse-no-such-home"
    for verb in ["status", "log", "roster", "pending"] {
      let result = try Command.run("hanse", [verb, "--home", home])
      #expect(result.code == 3, "\(verb) ended with \(result.code): \(result.errors)")
      #expect(result.errors.contains(home))
      #expect(result.errors.contains("hint: "))
    }
    let wrong = try Command.run("hansed", ["--stop-after-round", "-1"])
    #expect(wrong.code == 2)
    #expect(wrong.errors.hasPrefix("error: "))
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
