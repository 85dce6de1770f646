import Determinism
import Glibc
import Testing
import Training
import Transformers

@Suite struct GenerationTests {
  @Test func greedyTakesTheLikeliestOfTheWholeText() throws {
    let fixture = try Fixture("llama-tied")
    let decoder = try fixture.decoder(.f32)
    let prompt = Array(fixture.reference.tokens.prefix(9))
    var settings = GenerationSettings()
    settings.maximumTokens = 12
    let answer = try generate(
      decoder, adapter: fixture.adapter, prompt: prompt, settings: settings
    ).tokens
    #expect(answer.count == 12)
    // The cache must not change the answer: the plain forward pass says the same.
    let vocabulary = decoder.configuration.vocabulary
    let text = prompt + answer
    let logits = decoder.logits(tokens: text, batch: 1, length: text.count)
    for (index, token) in answer.enumerated() {
      let row = logits[
        (prompt.count + index - 1) * vocabulary..<(prompt.count + index) * vocabulary]
      #expect(row.max() == row[row.startIndex + Int(token)])
    }
  }

  @Test func theSeedDecidesTheDraws() throws {
    let fixture = try Fixture("llama-untied")
    let decoder = try fixture.decoder(.f32)
    var settings = GenerationSettings()
    settings.choice.temperature = 1.5
    settings.maximumTokens = 20
    func answer(_ seed: UInt64) throws -> [Int32] {
      settings.seed = seed
      return try generate(decoder, adapter: nil, prompt: [5, 6], settings: settings).tokens
    }
    #expect(try answer(1) == answer(1))
    #expect(try answer(1) != answer(2))
  }

  @Test func aStopTokenEndsTheAnswer() throws {
    let fixture = try Fixture("llama-tied")
    let decoder = try fixture.decoder(.f32)
    var settings = GenerationSettings()
    settings.maximumTokens = 8
    let all = try generate(decoder, adapter: nil, prompt: [1, 2, 3], settings: settings)
    #expect(all.end == .length && all.promptTokens == 3 && all.tokensPerSecond > 0)
    let free = all.tokens
    settings.stops = [free[0]]
    let none = try generate(decoder, adapter: nil, prompt: [1, 2, 3], settings: settings)
    #expect(none.tokens.isEmpty && none.end == .stopToken(free[0]))
    settings.stops = []
    var heard: [Int32] = []
    let cut = try generate(decoder, adapter: nil, prompt: [1, 2, 3], settings: settings) {
      heard.append($0)
      return heard.count < 3
    }
    #expect(cut.tokens == Array(free.prefix(3)) && heard == cut.tokens && cut.end == .listener)
  }

  @Test func whatCannotBeContinuedIsSaid() throws {
    let fixture = try Fixture("llama-tied")
    let decoder = try fixture.decoder(.f32)
    var settings = GenerationSettings()
    #expect(throws: (any Error).self) {
      try generate(decoder, adapter: nil, prompt: [], settings: settings)
    }
    #expect(throws: TrainingError.tokenOutOfRange(token: 128, vocabulary: 128)) {
      try generate(decoder, adapter: nil, prompt: [128], settings: settings)
    }
    settings.maximumTokens = 255
    #expect(throws: TrainingError.tooLong(tokens: 257, limit: 256)) {
      try generate(decoder, adapter: nil, prompt: [1, 2], settings: settings)
    }
  }

  /// Ids, the likeliest first, worked out by hand from weights 1, 8, 2, 8, 1 of 20.
  @Test func theNucleusIsTheFewestThatHaveTheShare() throws {
    let weights = [1.0, 8, 2, 8, 1]
    func kept(topK: Int = 0, topP: Double = 1) -> [Int] {
      var choice = TokenChoice()
      choice.topK = topK
      choice.topP = topP
      return choice.candidates(weights)
    }
    #expect(kept() == [0, 1, 2, 3, 4])
    #expect(kept(topP: 0.01) == [1])
    #expect(kept(topP: 0.4) == [1])
    #expect(kept(topP: 0.41) == [1, 3])
    #expect(kept(topP: 0.9) == [1, 3, 2])
    #expect(kept(topP: 0.96) == [1, 3, 2, 0, 4])
    #expect(kept(topK: 1) == [1])
    #expect(kept(topK: 3) == [1, 3, 2])
    #expect(kept(topK: 9) == [0, 1, 2, 3, 4])
    // The share is one of what the first bound left: 8, 8, 2 of 18.
    #expect(kept(topK: 3, topP: 0.88) == [1, 3])
    #expect(kept(topK: 3, topP: 0.89) == [1, 3, 2])
  }

  @Test func drawsFollowTheProbabilitiesThatAreLeft() throws {
    var choice = TokenChoice()
    choice.temperature = 2
    choice.topK = 3
    // Softmax at temperature 2 of what is left: weights 4, 2, 1.
    let logits = [2 * log(4.0), -9, 2 * log(2.0), 0, -0.01].map { Float($0) }
    var generator = SeededGenerator(seed: 4)
    var counts = [Int](repeating: 0, count: logits.count)
    for _ in 0..<7000 { counts[Int(choice.draw(from: logits, generator: &generator))] += 1 }
    #expect(counts[1] == 0 && counts[4] == 0)
    for (index, wanted) in [(0, 4000), (2, 2000), (3, 1000)] {
      #expect(abs(counts[index] - wanted) < 150, "\(counts)")
    }
  }

  @Test func aChoiceOutOfBoundsIsNamed() {
    func fault(_ change: (inout TokenChoice) -> Void) -> String? {
      var choice = TokenChoice()
      change(&choice)
      do {
        try choice.validate()
        return nil
      } catch { return "\(error)" }
    }
    #expect(fault { $0.temperature = -1 }?.hasPrefix("temperature is") == true)
    #expect(fault { $0.temperature = .nan }?.hasPrefix("temperature is") == true)
    #expect(fault { $0.topK = -1 }?.hasPrefix("top-k is") == true)
    #expect(fault { $0.topP = 0 }?.hasPrefix("top-p is") == true)
    #expect(fault { $0.topP = 1.5 }?.hasPrefix("top-p is") == true)
    #expect(fault { $0.topP = .nan }?.hasPrefix("top-p is") == true)
    #expect(fault { $0.topP = 1 } == nil)
  }
}

@Suite struct AnswerTextTests {
  /// What is heard after each token, and at the end.
  private func heard(_ tokens: [String], stops: [String]) throws -> (
    pieces: [String], found: String?
  ) {
    var text = try AnswerText(stops: stops)
    var pieces: [String] = []
    for token in tokens where text.found == nil { pieces.append(text.append(Array(token.utf8))) }
    pieces.append(text.rest())
    return (pieces, text.found)
  }

  @Test func aStopMaySpanTokens() throws {
    let one = try heard(["Yes", ".\n", "\nQ", "uestion", "never"], stops: ["\n\nQuest"])
    #expect(one.pieces == ["Yes", ".", "", "", ""])
    #expect(one.found == "\n\nQuest")
    // What only looked like one is given back, in order.
    let none = try heard(["a\n", "\nQ", "xy"], stops: ["\n\nQuest"])
    #expect(none.pieces == ["a", "", "\n\nQxy", ""])
    #expect(none.found == nil)
    // At the end the beginning of a stop is text.
    #expect(try heard(["a\n"], stops: ["\n\n"]).pieces == ["a", "\n"])
    // The earliest stop counts, wherever it stands in a token.
    let first = try heard(["one two three"], stops: ["three", "two", "four"])
    #expect(first.pieces == ["one ", ""] && first.found == "two")
    // A beginning that repeats itself.
    #expect(try heard(["aa", "ab", "c"], stops: ["aab"]).pieces == ["", "a", ""])
  }

  @Test func charactersAreNeverCut() throws {
    var text = try AnswerText(stops: ["é"])
    let bytes = Array("ü€😀é".utf8)
    let pieces = bytes.map { text.append([$0]) }.joined()
    #expect(pieces == "ü€😀")
    #expect(text.found == "é")
    var broken = try AnswerText()
    #expect(broken.append([0x61, 0xE2, 0x82]) == "a")
    #expect(broken.rest() == "\u{FFFD}")
  }

  @Test func stopsHaveLimits() {
    #expect(throws: TrainingError.self) { try AnswerText(stops: [""]) }
    #expect(throws: TrainingError.self) {
      try AnswerText(stops: [String(repeating: "a", count: 1025)])
    }
    #expect(throws: TrainingError.self) {
      try AnswerText(stops: [String](repeating: "a", count: 65))
    }
  }
}
