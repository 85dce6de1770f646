import Datasets
import Glibc
import Testing
import Training
import Transformers

@Suite struct EvaluationTests {
  @Test func theLastShorterWindowCounts() throws {
    let fixture = try Fixture("llama-tied")
    let decoder = try fixture.decoder(.f32)
    let tokens = Array(fixture.reference.training.stream.prefix(75))
    let windows = try Windows(stream: TokenStream(tokens: tokens), length: 32)
    let result = try evaluate(decoder, adapter: nil, on: windows)
    #expect(result.tokens == 31 + 31 + 10)
    var sum = LossSum()
    for range in [0..<32, 32..<64, 64..<75] {
      sum += decoder.loss(tokens: Array(tokens[range]), batch: 1, length: range.count)
    }
    #expect(abs(result.natsPerToken / sum.mean - 1) < 1e-6)
    #expect(abs(log(result.perplexity) - result.natsPerToken) < 1e-9)
    // A single token left over predicts nothing.
    let cut = try Windows(stream: TokenStream(tokens: Array(tokens.prefix(65))), length: 32)
    #expect(try evaluate(decoder, adapter: nil, on: cut).tokens == 62)
  }

  @Test func tooLittleTextIsSaid() throws {
    let fixture = try Fixture("llama-tied")
    let windows = try Windows(stream: TokenStream(tokens: [3]), length: 32)
    #expect(throws: TrainingError.nothingToEvaluate) {
      try evaluate(try fixture.decoder(.f32), adapter: nil, on: windows)
    }
  }

  @Test func progressReachesTheEnd() throws {
    let fixture = try Fixture("llama-tied")
    var last = (0, 0)
    _ = try evaluate(try fixture.decoder(.f32), adapter: nil, on: fixture.windows) {
      last = ($0, $1)
    }
    #expect(last == (40, 40))
  }
}
