import Adapters
import Checkpoints
import FoundationEssentials
import Glibc
import Testing
import Training
import Transformers

@Suite struct JudgingTests {
  private func judging(
    every: Int = 2, patience: Int? = nil, least: Double = 0, _ losses: [Double]
  ) -> (Judging, lowest: [Bool]) {
    var settings = JudgingSettings(every: every)
    settings.patience = patience
    settings.minimumImprovement = least
    var judging = Judging(settings: settings, text: 1)
    let lowest = losses.enumerated().map { judging.add(step: $0 * every, loss: $1) }
    return (judging, lowest)
  }

  @Test func theLowestIsKeptAndMissesAreCounted() {
    let (all, lowest) = judging([4, 3, 3.5, 3, 2.9])
    #expect(lowest == [true, true, false, false, true])
    #expect(all.first?.loss == 4 && all.last?.step == 8 && all.best?.step == 8)
    #expect(all.misses == 0 && !all.isOver)
    let (over, _) = judging(patience: 2, [4, 3, 3.5, 3])
    #expect(over.isOver && over.misses == 2 && over.best?.step == 2)
    #expect(!judging(patience: 3, [4, 3, 3.5, 3]).0.isOver)
    #expect(!judging([4, 5, 6, 7, 8, 9]).0.isOver)
  }

  /// Small steps down are kept as the best, but do not count until they come to the amount.
  @Test func smallImprovementsAddUp() {
    let (slow, lowest) = judging(patience: 2, least: 0.1, [4, 3.96, 3.92])
    #expect(slow.isOver && slow.best?.loss == 3.92 && lowest == [true, true, true])
    let (enough, _) = judging(patience: 2, least: 0.1, [4, 3.96, 3.89, 3.85])
    #expect(!enough.isOver && enough.misses == 1)
    // Exactly the amount is no more than it.
    #expect(judging(patience: 1, least: 0.5, [4, 3.5]).0.isOver)
  }

  @Test func itIsDueOftenAndAtTheEnd() {
    let settings = JudgingSettings(every: 4)
    #expect((0...10).filter { settings.isDue(after: $0, of: 10) } == [0, 4, 8, 10])
  }

  @Test func settingsOutOfBoundsAreNamed() {
    func fault(_ change: (inout JudgingSettings) -> Void) -> String {
      var settings = JudgingSettings(every: 1)
      change(&settings)
      do {
        try settings.validate()
        return ""
      } catch { return "\(error)" }
    }
    #expect(fault { $0.every = 0 }.hasPrefix("evaluate-every is 0"))
    #expect(fault { $0.patience = 0 }.hasPrefix("patience is 0"))
    #expect(fault { $0.minimumImprovement = -1 }.hasPrefix("min-improvement is"))
    #expect(fault { $0.minimumImprovement = .nan }.hasPrefix("min-improvement is"))
    #expect(fault { $0.patience = 3 }.isEmpty)
  }

  @Test func theBestIsReplacedAsOneFolder() throws {
    let fixture = try Fixture("llama-tied")
    let folder = Folder()
    let best = folder.path + "/best"
    func write(_ adapter: Adapter, step: Int) throws {
      let windows = try fixture.windows
      let evaluation = try evaluate(try fixture.decoder(.f32), adapter: adapter, on: windows)
      try BestAdapter.write(
        adapter, step: step, evaluation: evaluation, baseModel: "tiny", dropout: 0.1,
        to: folder.path)
    }
    // What a crash may have left behind is in nobody's way.
    try makeFolder(best + ".new")
    try write(fixture.adapter, step: 3)
    var other = fixture.adapter
    other.values[0] += 1
    try write(other, step: 5)
    let read = try PEFTFolder.read(best)
    #expect(read.adapter == other && read.dropout == 0.1)
    let record = try #require(FileManager.default.contents(atPath: best + "/evaluation.json"))
    #expect(String(decoding: record, as: UTF8.self).contains("\"step\" : 5"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["best"])
  }
}
