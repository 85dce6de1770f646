import Foundation
import Glibc
import Testing
import TinyModels

/// `hanse train` as labs use it, with the real program on a model of some thousand weights.
@Suite struct TrainTests {
  private let folder: String

  init() throws {
    folder = "/tmp/hanse-train-\(UUID().uuidString)"
    try TinyModel.write(to: folder + "/model")
    var text = ""
    for line in 0..<40 {
      let words = (0..<12).map { "word\((line * 7 + $0 * 3) % 23)" }.joined(separator: " ")
      text += "{\"text\": \"\(words)\"}\n"
    }
    try Data(text.utf8).write(to: URL(filePath: folder + "/text.jsonl"))
  }

  private func arguments(_ out: String, _ more: [String] = []) -> [String] {
    [
      "train", "--model", folder + "/model", "--data", folder + "/text.jsonl", "--out",
      folder + "/" + out, "--steps", "24", "--batch", "2", "--length", "32", "--dtype", "f32",
      "--learning-rate", "0.02", "--evaluate-every", "3", "--save-every", "5", "--seed", "4",
      "--dropout", "0.1",
    ] + more
  }

  private func train(_ out: String, _ more: [String] = []) throws -> Command.Result {
    try Command.run("hanse", arguments(out, more))
  }

  /// The curve without what depends on the machine.
  private func curve(_ out: String) throws -> [[String: Double]] {
    let text = try String(contentsOfFile: folder + "/\(out)/curve.jsonl", encoding: .utf8)
    return try text.split(separator: "\n").map { line in
      var point = try JSONDecoder().decode([String: Double].self, from: Data(line.utf8))
      point["seconds"] = nil
      return point
    }
  }

  private func bytes(_ path: String) throws -> Data {
    try Data(contentsOf: URL(filePath: folder + "/" + path))
  }

  @Test func aRunKilledAtAnyInstantGoesOnAsIfItHadNotBeen() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let whole = try train("whole")
    #expect(whole.code == 0, "\(whole.errors)")
    let wanted = try curve("whole")
    #expect(wanted.map { $0["step"] } == (0...24).map { Double($0) })
    #expect(wanted.filter { $0["held_out_loss"] != nil }.count == 9)
    #expect(wanted.filter { $0["loss"] != nil }.count == 24)
    // Killed again and again, each time a few steps further, until it is done.
    var kills = 0
    for stop in [4, 7, 11, 12, 16, 19, 23] {
      let process = Process()
      process.executableURL = Command.products.appending(path: "hanse")
      process.arguments = arguments("killed", ["--resume", "--json"])
      let output = Pipe()
      process.standardOutput = output
      process.standardError = FileHandle.nullDevice
      try process.run()
      // Each line is a step; the kill comes as soon as that step was made.
      var heard = Data()
      while process.isRunning {
        let part = output.fileHandleForReading.availableData
        if part.isEmpty { break }
        heard += part
        if String(decoding: heard, as: UTF8.self).contains("\"step\":\(stop),") {
          kill(process.processIdentifier, SIGKILL)
          kills += 1
          break
        }
      }
      process.waitUntilExit()
    }
    #expect(kills >= 5)
    // Killed in the middle of writing: half a file, and a best adapter that was just replaced.
    for name in ["adapter_model.safetensors.new-999999999", "best.new/adapter_config.json"] {
      let path = folder + "/killed/" + name
      try FileManager.default.createDirectory(
        atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
      try Data([1]).write(to: URL(filePath: path))
    }
    let last = try train("killed", ["--resume"])
    #expect(last.code == 0, "\(last.errors)")
    #expect(try curve("killed") == wanted)
    for file in [
      "adapter_model.safetensors", "best/adapter_model.safetensors", "best/evaluation.json",
    ] {
      #expect(try bytes("killed/" + file) == bytes("whole/" + file), "\(file)")
    }
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder + "/killed").sorted()
        == FileManager.default.contentsOfDirectory(atPath: folder + "/whole").sorted())
  }

  @Test func theBestIsKeptAndSaid() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let result = try train("out")
    #expect(result.code == 0, "\(result.errors)")
    let judged = try curve("out").compactMap { point in
      point["held_out_loss"].map { (step: point["step"] ?? -1, loss: $0) }
    }
    let best = try #require(judged.min { $0.loss < $1.loss })
    #expect(result.output.contains("after step \(Int(best.step))") || best.step == 0)
    #expect(result.output.contains("\(folder)/out/best"))
    // What is called best is best, measured by the verb that measures.
    try Data(heldOut().utf8).write(to: URL(filePath: folder + "/held.jsonl"))
    let held = try Command.run(
      "hanse",
      [
        "evaluate", "--model", folder + "/model", "--data", folder + "/held.jsonl", "--length",
        "32", "--dtype", "f32", "--adapter", folder + "/out/best", "--json",
      ])
    let text = try JSONDecoder().decode([String: Double].self, from: Data(held.output.utf8))
    #expect(abs((text["nats_per_token"] ?? 0) - best.loss) < 1e-6)
    let picture = try String(contentsOfFile: folder + "/out/curve.svg", encoding: .utf8)
    #expect(picture.contains("held-out, lowest") && XMLDocumentCheck.isWellFormed(picture))
    // No drawing without a terminal, unless asked for.
    #expect(!result.errors.contains("└"))
    let asked = try train("asked", ["--draw", "--json"])
    #expect(asked.errors.contains("└──") && !asked.output.contains("└"))
    let end = try #require(asked.output.split(separator: "\n").last)
    #expect(end.contains("\"held_out\":{\"best\":{\"loss\":") && end.contains("\"stopped_early\":"))
  }

  /// The documents that are held out without `--held-out`: every tenth.
  private func heldOut() throws -> String {
    let lines = try String(contentsOfFile: folder + "/text.jsonl", encoding: .utf8)
      .split(separator: "\n")
    return stride(from: 9, to: lines.count, by: 10).map { lines[$0] + "\n" }.joined()
  }

  @Test func patienceEndsARunAndAResumeKnowsIt() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let more = ["--patience", "2", "--min-improvement", "9", "--held-out", folder + "/text.jsonl"]
    let result = try train("out", more)
    #expect(result.code == 0, "\(result.errors)")
    #expect(result.output.contains("stopped  early: 2 evaluations without improvement"))
    #expect(try curve("out").last?["step"] == 6)
    let again = try train("out", more + ["--resume"])
    #expect(again.code == 0 && again.errors.contains("stopped early after step 6"))
    #expect(try curve("out").count == 7)
    let anew = try train("out", more)
    #expect(anew.code == 4 && anew.errors.contains("a finished run of 6 steps"))
    for (flags, named) in [
      (["--patience", "3", "--min-improvement", "9"], "--patience"),
      (["--patience", "2", "--min-improvement", "8"], "--min-improvement"),
    ] {
      let other = try train(
        "out", flags + ["--held-out", folder + "/text.jsonl", "--resume"])
      #expect(other.code == 4 && other.errors.contains(named), "\(other.errors)")
    }
    let text = try train("out", Array(more.prefix(4)) + ["--resume"])
    #expect(text.code == 4, "\(text.errors)")
  }

  @Test(arguments: [
    (["--evaluate-every", "0"], "--evaluate-every"), (["--patience", "0"], "--patience"),
    (["--patience", "1", "--min-improvement", "-1"], "--min-improvement"),
    (["--min-improvement", "1"], "--patience"), (["--layers", "5-3"], "--layers"),
    (["--layers", ""], "--layers"), (["--layers", "-1"], "--layers"),
    (["--layers", "2"], "0 to 1"),
    (["--layers", "0,,1"], "--layers"), (["--exclude", "!q_proj"], "--exclude"),
    (["--exclude", ""], "--exclude"),
  ])
  func flagsThatMeanNothingAreNamed(_ flags: [String], _ named: String) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let result = try train("out", flags)
    #expect(result.code == 2, "\(result.errors)")
    #expect(result.errors.hasPrefix("error: ") && result.errors.contains(named), "\(result.errors)")
  }

  @Test func judgingFlagsNeedTheirInterval() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for flags in [["--held-out", "x.txt"], ["--patience", "2"], ["--min-improvement", "1"]] {
      let result = try Command.run(
        "hanse",
        ["train", "--model", "m", "--data", "d.txt", "--out", "o", "--steps", "1"] + flags)
      #expect(result.code == 2 && result.errors.contains("\(flags[0]) needs --evaluate-every"))
    }
  }

  @Test func layersAndModulesCanBeLeftOut() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let result = try train("out", ["--layers", "1", "--exclude", "k_proj,*.mlp.*"])
    #expect(result.code == 0, "\(result.errors)")
    let config = try String(
      contentsOfFile: folder + "/out/adapter_config.json", encoding: .utf8)
    for module in ["q_proj", "v_proj", "o_proj"] {
      #expect(config.contains("\"model.layers.1.self_attn.\(module)\""))
    }
    for absent in ["layers.0", "k_proj", "mlp"] { #expect(!config.contains(absent)) }
    let none = try train("none", ["--exclude", "no_such_proj"])
    #expect(none.code == 2 && none.errors.contains("no_such_proj"), "\(none.errors)")
  }
}

/// As much of XML's rules as our own pictures can break: tags close in order.
enum XMLDocumentCheck {
  static func isWellFormed(_ text: String) -> Bool {
    var open: [Substring] = []
    var rest = Substring(text)
    while let start = rest.firstIndex(of: "<") {
      guard let end = rest[start...].firstIndex(of: ">") else { return false }
      let tag = rest[rest.index(after: start)..<end]
      let name = tag.split(separator: " ").first ?? ""
      if tag.hasPrefix("/") {
        guard open.popLast() == tag.dropFirst() else { return false }
      } else if !tag.hasSuffix("/") {
        open.append(name)
      }
      rest = rest[end...].dropFirst()
    }
    return open.isEmpty
  }
}
