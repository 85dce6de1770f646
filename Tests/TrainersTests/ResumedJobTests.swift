import Adapters
import Checkpoints
import FoundationEssentials
import Testing
import Trainers
import Transformers

@Suite struct ResumedJobTests {
  private struct Killed: Error {}

  @Test func aJobThatComesASecondTimeGoesOnWhereItWasKilled() throws {
    let model = try ModelFolder()
    let jobs = try WorkerJobs(model: model.model, computeType: .f32, savingInterval: .zero)
    let file = try model.text("text.txt", String(repeating: "wind and salt and rope ", count: 60))
    func job(_ name: String, state: String?) throws -> TrainJob {
      TrainJob(
        adapter: try model.adapter("start"), output: model.folder + "/" + name,
        data: TextSource(files: [file], part: .all), steps: 8, batch: 2, length: 32,
        learningRate: 0.01, optimiserOut: model.folder + "/optimiser-" + name,
        state: state.map { model.folder + "/" + $0 })
    }
    var losses: [Int: Double] = [:]
    _ = try jobs.train(try job("whole", state: nil)) { progress in
      if progress.phase == "training" { losses[progress.done] = progress.loss }
    }
    #expect(throws: Killed.self) {
      _ = try jobs.train(try job("parts", state: "run-1")) { progress in
        if progress.phase == "training", progress.done == 5 { throw Killed() }
      }
    }
    var steps: [Int] = []
    let outcome = try jobs.train(try job("parts", state: "run-1")) { progress in
      guard progress.phase == "training" else { return }
      steps.append(progress.done)
      #expect(progress.loss == losses[progress.done])
    }
    #expect(steps == [6, 7, 8])
    #expect(outcome.steps == 8)
    #expect(outcome.tokens == 8 * 2 * 32)
    func adapter(_ name: String) throws -> [Float] {
      try PEFTFolder.read(model.folder + "/" + name).adapter.values
    }
    #expect(try adapter("parts") == adapter("whole"))

    // Another job does not go on with it, even in the same folder.
    var other = try job("other", state: "run-1")
    other.seed = 9
    steps = []
    _ = try jobs.train(other) { if $0.phase == "training" { steps.append($0.done) } }
    #expect(steps == Array(1...8))
  }

  /// What a node does that runs ahead, and is interrupted on the way.
  @Test func aJobThatWasRunAheadIsDoneAtOnce() throws {
    let model = try ModelFolder()
    // So long that only giving up and ending save.
    let jobs = try WorkerJobs(model: model.model, computeType: .f32, savingInterval: .seconds(600))
    let file = try model.text("text.txt", String(repeating: "wind and salt and rope ", count: 60))
    func job(_ name: String, ahead: Bool) throws -> TrainJob {
      var job = TrainJob(
        adapter: try model.adapter("start"), output: model.folder + "/" + name,
        data: TextSource(files: [file], part: .all), steps: 6, batch: 2, length: 32,
        learningRate: 0.01, optimiserOut: ahead ? nil : model.folder + "/optimiser-" + name,
        state: model.folder + "/run-" + (name == "whole" ? "2" : "1"))
      job.keepsState = ahead ? true : nil
      return job
    }
    _ = try jobs.train(try job("whole", ahead: false)) { _ in }
    #expect(throws: Killed.self) {
      _ = try jobs.train(try job("ahead", ahead: true)) { progress in
        if progress.phase == "training", progress.done == 2 { throw Killed() }
      }
    }
    var steps: [Int] = []
    _ = try jobs.train(try job("ahead", ahead: true)) {
      if $0.phase == "training" { steps.append($0.done) }
    }
    #expect(steps == [3, 4, 5, 6])
    steps = []
    let outcome = try jobs.train(try job("real", ahead: false)) {
      if $0.phase == "training" { steps.append($0.done) }
    }
    #expect(steps.isEmpty)
    #expect(outcome.steps == 6)
    func values(_ name: String) throws -> [Float] {
      try PEFTFolder.read(model.folder + "/" + name).adapter.values
    }
    #expect(try values("real") == values("whole"))
    let optimisers = try ["real", "whole"].map {
      try Data(contentsOf: URL(filePath: model.folder + "/optimiser-" + $0))
    }
    #expect(optimisers[0] == optimisers[1])
  }
}
