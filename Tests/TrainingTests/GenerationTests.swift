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
    let answer = try generate(decoder, adapter: fixture.adapter, prompt: prompt, settings: settings)
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
    settings.temperature = 1.5
    settings.maximumTokens = 20
    func answer(_ seed: UInt64) throws -> [Int32] {
      settings.seed = seed
      return try generate(decoder, adapter: nil, prompt: [5, 6], settings: settings)
    }
    #expect(try answer(1) == answer(1))
    #expect(try answer(1) != answer(2))
  }

  @Test func aStopTokenEndsTheAnswer() throws {
    let fixture = try Fixture("llama-tied")
    let decoder = try fixture.decoder(.f32)
    var settings = GenerationSettings()
    settings.maximumTokens = 8
    let free = try generate(decoder, adapter: nil, prompt: [1, 2, 3], settings: settings)
    settings.stops = [free[0]]
    #expect(try generate(decoder, adapter: nil, prompt: [1, 2, 3], settings: settings).isEmpty)
    settings.stops = []
    var heard: [Int32] = []
    let cut = try generate(decoder, adapter: nil, prompt: [1, 2, 3], settings: settings) {
      heard.append($0)
      return heard.count < 3
    }
    #expect(cut == Array(free.prefix(3)) && heard == cut)
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
}
