import Foundation
import Records
import Testing
import TinyModels

@Suite struct CommandLineTests {
  @Test(arguments: [
    "train", "evaluate", "generate", "tokenize", "init", "join", "status", "log", "bench",
    "doctor", "show", "roster", "rotate-key", "propose", "propose admit", "propose remove",
    "propose rotate", "propose recall", "propose rule", "bundle", "bundle export",
    "bundle import",
  ])
  func everyVerbExplainsItself(_ verb: String) throws {
    let result = try Command.run(
      "hanse", verb.split(separator: " ").map(String.init) + ["--help"])
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

  /// Signed entries, integers and a fixed seed: these roots are the same on every machine.
  @Test func aFoldIsTheSameEverywhere() throws {
    let done = try Command.run(
      "hanse",
      ["bench", "fold", "--labs", "3", "--layers", "1", "--repeats", "1", "--json"]
        + ["--orders", "100", "--threads", "8"])
    #expect(done.code == 0, "\(done.errors)")
    #expect(done.output.contains("\"orders\":100"))
    for root in [
      "76mnxwtk2pp5lrk6kpv2qvkr3hn2k6tb2c7leh4npqoftgnem27a",
      "o6u72z7pz7wibogr6wvolyzil44drsda74noldani4lepx6o3whq",
      "aqbs6wzejuqxos6vmsms7u5553ywxf6q4lcmvgyxabfazajc2j2q",
    ] {
      #expect(done.output.contains(root))
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

  @Test(arguments: [
    ("HANSE_MAX_ISA", "avx51", "portable, avx2, avx512, avx512_bf16, avx512_fp16, amx"),
    ("HANSE_MAX_ISA", "", "portable"), ("HANSE_THREADS", "two", "at least 1"),
    ("HANSE_THREADS", "0", "at least 1"),
  ])
  func aMachineSettingThatMeansNothingIsRefused(_ name: String, _ value: String, _ allowed: String)
    throws
  {
    for (program, arguments) in [
      ("hanse", ["tokenize", "--model", "/none"]), ("hansed", ["--home", "/none"]),
    ] {
      let result = try Command.run(program, arguments, environment: [name: value])
      #expect(result.code == 2, "\(result.errors)")
      #expect(result.errors.hasPrefix("error: the environment variable \(name) is “\(value)”"))
      #expect(result.errors.contains(allowed))
      #expect(result.output.isEmpty)
    }
    #expect(try Command.run("hanse", ["--help"], environment: [name: value]).code == 0)
  }

  /// A reader that has read enough ends the writer without a word, as `head` ends every program.
  @Test func aClosedPipeEndsQuietly() throws {
    let folder = "/tmp/hanse-pipe-\(UUID().uuidString)"
    try TinyModel.write(to: folder)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let line = String(repeating: "a b c ", count: 20_000) + "\n"
    for verb in ["tokenize --model \(folder)", "log --help", "generate --help"] {
      let process = Process()
      process.executableURL = URL(filePath: "/bin/bash")
      // The writer waits until the reader is gone, so that its first word meets a closed pipe.
      process.arguments = [
        "-c", "{ sleep 0.3; \"$1\" \(verb) <\"$0\"; echo $? >\"$0.code\"; } | true",
        folder + "/text", Command.products.appending(path: "hanse").path,
      ]
      try Data(line.utf8).write(to: URL(filePath: folder + "/text"))
      FileManager.default.createFile(atPath: folder + "/errors", contents: nil)
      process.standardError = try FileHandle(forWritingTo: URL(filePath: folder + "/errors"))
      try process.run()
      process.waitUntilExit()
      let errors = try String(contentsOfFile: folder + "/errors", encoding: .utf8)
      #expect(errors.isEmpty, "\(verb): \(errors)")
      let code = try String(contentsOfFile: folder + "/text.code", encoding: .utf8)
      #expect(code == "141\n", "\(verb): \(code)")
    }
  }

  @Test func whatCannotBeWrittenIsSaid() throws {
    let process = Process()
    process.executableURL = URL(filePath: "/bin/bash")
    let hanse = Command.products.appending(path: "hanse").path
    process.arguments = ["-c", "\"$0\" --version >/dev/full", hanse]
    let errors = Pipe()
    process.standardError = errors
    try process.run()
    let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 1)
    #expect(text.hasPrefix("error: cannot write standard output: "))
  }

  /// alpha / √rank with whole numbers: 8 / √4 is 16 / 4.
  @Test func aCharterCarriesRankStabilisedFactorsOfASquareRank() throws {
    let folder = "/tmp/hanse-rslora-\(UUID().uuidString)"
    try TinyModel.write(to: folder + "/model")
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try Data(String(repeating: "some text ", count: 200).utf8)
      .write(to: URL(filePath: folder + "/text.txt"))
    let found = [
      "init", "--home", folder + "/lab", "--name", "lab", "--federation", "labs", "--model",
      folder + "/model", "--data", folder + "/text.txt", "--length", "32", "--rslora",
    ]
    for (flags, named) in [
      (["--rank", "8", "--alpha", "8"], "--rank"),
      (["--rank", "1024", "--alpha", "4096"], "--alpha"),
    ] {
      let result = try Command.run("hanse", found + flags)
      #expect(result.code == 2 && result.errors.contains(named), "\(result.errors)")
    }
    let result = try Command.run("hanse", found + ["--rank", "4", "--alpha", "8"])
    #expect(result.code == 0, "\(result.errors)")
    let bytes = try Data(contentsOf: URL(filePath: folder + "/lab/charter.bin"))
    let shape = try Charter(bytes: [UInt8](bytes)).message.adapter
    #expect(shape.rank == 4 && shape.alpha == 16)
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

  /// The home of a federation that was just founded, with its model and text in the same folder.
  private static func newHome(in folder: String) throws -> String {
    try TinyModel.write(to: folder + "/model")
    try Data("ein Brief\n".utf8).write(to: URL(filePath: folder + "/text.txt"))
    let made = try Command.run(
      "hanse",
      ["init", "--home", folder + "/lab", "--name", "x", "--federation", "f"]
        + ["--model", folder + "/model", "--data", folder + "/text.txt"])
    #expect(made.code == 0, "\(made.errors)")
    return folder + "/lab"
  }

  @Test func aNewHomeIsAsTheLogsSay() throws {
    let folder = "/tmp/hanse-new-home-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let home = try Self.newHome(in: folder)
    let verified = try Command.run("hanse", ["verify", "--home", home])
    #expect(verified.code == 0, "\(verified.output)")
    #expect(verified.output.contains("never started"))
  }

  /// The unit does not start a daemon again that ended with 2, 3 or 4.
  @Test func aDaemonWithWrongSettingsEndsForGood() throws {
    let folder = "/tmp/hanse-new-home-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let home = try Self.newHome(in: folder)
    let settings = home + "/hanse.toml"
    let text = try String(contentsOfFile: settings, encoding: .utf8)
    try ("unknown = 1\n" + text).write(toFile: settings, atomically: true, encoding: .utf8)
    let result = try Command.run("hansed", ["--home", home])
    #expect(result.code == 4, "\(result.errors)")
    #expect(result.errors.contains("unknown"))
    let absent = try Command.run("hansed", ["--config", home + "/none.toml"])
    #expect(absent.code == 3, "\(absent.errors)")
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
