import Glibc
import Testing
import Transformers

@Suite struct BenchmarkTests {
  /// The benchmark itself must not rot: it runs small in every test run.
  @Test func runsSmallInEveryTestRun() throws {
    let shape = DecoderConfiguration(
      vocabulary: 96, hidden: 32, layers: 2, heads: 2, keyValueHeads: 1, headDimension: 16,
      intermediate: 64, ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: true,
      maximumPositions: 64)
    for type in ComputeType.allCases {
      let result = try DecoderBenchmark(configuration: shape, computeType: type, rank: 4)
        .run(batch: 2, length: 9, repeats: 1)
      #expect(result.trainingTokensPerSecond > 0 && result.lossTokensPerSecond > 0)
      #expect(result.phases.seconds.count == PhaseTimes.Phase.allCases.count)
    }
  }

  @Test(.enabled(if: getenv("HANSE_TESTS").map { String(cString: $0) } == "full"))
  func printsTheRateOfARealShape() throws {
    let named = getenv("HANSE_BENCH").map { String(cString: $0) } ?? "bf16 4x512"
    let parts = named.split(whereSeparator: { " x".contains($0) })
    let type = try #require(ComputeType(rawValue: String(parts[0])))
    let batch = try #require(Int(parts[1]))
    let length = try #require(Int(parts[2]))
    let result = try DecoderBenchmark(computeType: type).run(
      batch: batch, length: length, repeats: 3)
    print(
      named, Int(result.trainingTokensPerSecond), "tokens/s with gradient,",
      Int(result.lossTokensPerSecond), "loss only; a core-second:",
      Int(result.trainingTokensPerCoreSecond), Int(result.lossTokensPerCoreSecond))
    for phase in PhaseTimes.Phase.allCases {
      print("  ", phase.rawValue, result.phases.seconds[phase] ?? 0)
    }
    var usage = rusage()
    let ourselves: Int32 = 0  // RUSAGE_SELF, which is imported as a type that does not fit
    getrusage(ourselves, &usage)
    print("   peak MiB", usage.ru_maxrss >> 10)
    #expect(result.trainingTokensPerSecond > 0)
  }
}
