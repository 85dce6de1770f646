import Foundation
import Testing
import TinyModels

/// `hanse generate` as its users call it, on a model that reads bytes.
@Suite struct GenerateTests {
  private struct Answer: Decodable {
    let version: Int
    let text: String
    let tokens: Int
    let tokenIds: [Int32]
    let promptTokens: Int
    let stopReason: String
    let stop: String?
    let tokensPerSecond: Double
    let promptTokensPerSecond: Double
  }

  private let folder: String

  init() throws {
    folder = "/tmp/hanse-generate-\(UUID().uuidString)"
    try TinyModel.write(to: folder)
  }

  private func generate(_ arguments: [String], input: String = "") throws -> Command.Result {
    try Command.run(
      "hanse", ["generate", "--model", folder, "--dtype", "f32"] + arguments, input: input)
  }

  private func answer(_ arguments: [String], input: String = "") throws -> Answer {
    let result = try generate(arguments + ["--json"], input: input)
    #expect(result.code == 0, "\(result.errors)")
    #expect(result.output.split(separator: "\n").count == 1)
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(Answer.self, from: Data(result.output.utf8))
  }

  @Test func jsonTellsTheWholeAnswer() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let whole = try answer(["--prompt", "Hello", "--max-tokens", "20"])
    #expect(whole.version == 1 && whole.promptTokens == 5)
    #expect(whole.tokens == whole.tokenIds.count && whole.tokensPerSecond > 0)
    #expect(whole.stopReason == "length" ? whole.tokens == 20 : whole.stop == "<|endoftext|>")
    #expect(whole.promptTokensPerSecond > 0)
    // The same by standard input, without the end of its last line.
    let piped = try answer(["--prompt", "-", "--max-tokens", "20"], input: "Hello\n")
    #expect(piped.tokenIds == whole.tokenIds && piped.text == whole.text)
    // Text goes to standard output alone, and speed to standard error only when asked for.
    let plain = try generate(["--prompt", "Hello", "--max-tokens", "20", "--timing"])
    #expect(plain.output == whole.text + "\n")
    #expect(plain.errors.contains("prompt 5 tokens, ") && plain.errors.contains("tokens/s"))
    #expect(try generate(["--prompt", "Hello", "--max-tokens", "1"]).errors.isEmpty)
  }

  @Test func aStopTextEndsTheAnswerAndIsNotPrinted() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let draw = ["--prompt", "x", "--max-tokens", "60", "--temperature", "3", "--seed", "3"]
    let whole = try answer(draw)
    let scalars = whole.text.unicodeScalars
    // Two characters in a row that are two tokens here, first met somewhere behind the beginning.
    let ascii = scalars.indices.dropFirst(5).first {
      scalars[$0].isASCII && scalars[scalars.index(after: $0)].isASCII
        && !whole.text.prefix(4).unicodeScalars.contains(scalars[$0])
    }
    let start = try #require(ascii)
    let end = scalars.index(start, offsetBy: 2)
    let stop = String(scalars[start..<end])
    let before = String(
      whole.text[..<(try #require(whole.text.range(of: stop))).lowerBound])
    let cut = try answer(draw + ["--stop", "never to be seen", "--stop", stop])
    #expect(cut.text == before)
    #expect(cut.stopReason == "text" && cut.stop == stop)
    #expect(cut.tokens < whole.tokens && Array(whole.tokenIds.prefix(cut.tokens)) == cut.tokenIds)
    #expect(try generate(draw + ["--stop", stop]).output == before + "\n")
  }

  @Test func theSeedAndTheBoundsDecideTheDraws() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let draw = ["--prompt", "x", "--max-tokens", "16"]
    let greedy = try answer(draw).tokenIds
    let hot = draw + ["--temperature", "2", "--seed", "5"]
    let free = try answer(hot).tokenIds
    #expect(try answer(hot).tokenIds == free && free != greedy)
    #expect(try answer(hot + ["--top-k", "1"]).tokenIds == greedy)
    #expect(try answer(hot + ["--top-p", "0.000001"]).tokenIds == greedy)
    #expect(try answer(hot + ["--top-p", "1"]).tokenIds == free)
  }

  @Test(arguments: [
    (["--top-p", "0"], "--top-p is"), (["--top-p", "1.1"], "--top-p is"),
    (["--top-k", "-1"], "--top-k is"), (["--temperature", "-1"], "--temperature is"),
    (["--temperature", "nan"], "--temperature is"), (["--max-tokens", "0"], "--max-tokens is"),
    (["--stop", ""], "--stop is"), (["--system", "be kind"], "--chat"),
    (["--chat"], "no chat template"),
  ])
  func whatCannotBeIsRefusedByName(_ arguments: [String], _ words: String) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var all = ["--prompt", "x"] + arguments
    if arguments[0].hasPrefix("--top") { all += ["--temperature", "1"] }
    let result = try generate(all)
    #expect(result.code == (arguments == ["--chat"] ? 1 : 2), "\(result.errors)")
    #expect(result.errors.hasPrefix("error: ") && result.errors.contains(words), "\(result.errors)")
    #expect(result.output.isEmpty)
  }

  @Test func boundsWithoutATemperatureAreRefused() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let result = try generate(["--prompt", "x", "--top-p", "0.9"])
    #expect(result.code == 2 && result.errors.contains("--temperature"))
  }
}
