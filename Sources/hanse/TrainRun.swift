import Adapters
import Checkpoints
import Containers
import Datasets
import Glibc
import Training
import Transformers

/// A training run and what it leaves in its folder: state, adapter, best adapter, curve.
struct TrainRun {
  let checkpoint: Checkpoint
  let baseModel: String
  let out: String
  let decoder: Decoder
  let trainer: Trainer
  /// What is judged, if anything.
  let heldOut: Windows?
  /// How the evaluations have gone so far.
  private(set) var judging: Judging?
  let curve: CurveFile
  let saveEvery: Int
  let json: Bool

  /// Whether patience ended the run before its last step.
  var stoppedEarly: Bool {
    judging?.isOver == true && trainer.stepsDone < trainer.settings.steps
  }

  /// Opens the run's curve. `judging` is the state of a run that goes on, or an empty one.
  init(
    checkpoint: Checkpoint, baseModel: String, out: String, decoder: Decoder, trainer: Trainer,
    heldOut: Windows?, judging: Judging?, saveEvery: Int, json: Bool
  ) throws {
    self.checkpoint = checkpoint
    self.baseModel = baseModel
    self.out = out
    self.decoder = decoder
    self.trainer = trainer
    self.heldOut = heldOut
    self.judging = judging
    self.saveEvery = saveEvery
    self.json = json
    curve = try CurveFile(folder: out, stepsDone: trainer.stepsDone)
  }

  /// Makes the steps that are left.
  mutating func run() throws -> TrainingReport {
    let steps = trainer.settings.steps
    var display = ProgressDisplay(steps: steps, quiet: json)
    defer { display.finish() }
    if trainer.stepsDone == 0, let loss = try judge(step: 0, &display) {
      try curve.append(CurvePoint(start: loss))
    }
    var reports: [StepReport] = []
    while trainer.stepsDone < steps, judging?.isOver != true {
      let report = try trainer.step()
      reports.append(report)
      display.show(report)
      let point = CurvePoint(report, heldOutLoss: try judge(step: report.step, &display))
      try curve.append(point)
      if json { try Speech.sayLine(point) }
      let last = report.step == steps || judging?.isOver == true
      if report.step % saveEvery == 0 || last || Interruption.isAsked { try save() }
      if Interruption.isAsked && !last { throw Interruption(step: report.step, folder: out) }
    }
    return TrainingReport(steps: reports)
  }

  /// The held-out loss behind a step if it is due; the best adapter so far is kept.
  private mutating func judge(step: Int, _ display: inout ProgressDisplay) throws -> Double? {
    guard let heldOut, var judging = judging,
      judging.settings.isDue(after: step, of: trainer.settings.steps)
    else { return nil }
    let best = judging.best
    let evaluation = try evaluate(decoder, adapter: trainer.adapter, on: heldOut) { done, all in
      display.judging(done, of: all)
    }
    let loss = evaluation.natsPerToken
    if judging.add(step: step, loss: loss) {
      try BestAdapter.write(
        trainer.adapter, step: step, evaluation: evaluation, baseModel: baseModel,
        dropout: trainer.settings.dropout, to: out)
    }
    self.judging = judging
    let comparison =
      best.map {
        ", " + (loss < $0.loss ? "below" : "not below")
          + " \(fixed($0.loss, 4)) after step \($0.step)"
      }
      ?? ""
    display.note("held-out loss \(fixed(loss, 4)) after step \(step)\(comparison)")
    return loss
  }

  /// Keeps the run. The curve comes first, so that a state never knows of a step that it lacks.
  private func save() throws {
    try curve.synchronise()
    try SavedRun(trainer: trainer, base: checkpoint, baseModel: baseModel, judging: judging)
      .write(to: out)
    try draw()
  }

  /// Writes the curve as a picture beside its numbers; none of a single step.
  private func draw() throws {
    let name = baseModel.split(separator: "/").last.map(String.init) ?? baseModel
    guard let picture = CurveSVG(curve.points, title: "Training loss, \(name)") else { return }
    try DurableFile.write(Array(picture.text().utf8), to: "\(out)/curve.svg")
  }

  /// Draws the curve on standard error.
  func drawInText() {
    var size = winsize()
    let known = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
    let asked = getenv("COLUMNS").flatMap { Int(String(cString: $0)) }
    let width = known ? Int(size.ws_col) : asked ?? 80
    for line in CurveDrawing(curve.points, width: width).lines() { Speech.note(line) }
  }
}

/// The last line of `hanse train --json`.
struct TrainEnd: Encodable {
  let report: TrainingReport
  let judging: Judging?
  let stoppedEarly: Bool

  private enum Key: String, CodingKey {
    case heldOut = "held_out"
    case stoppedEarly = "stopped_early"
  }

  private struct HeldOut: Encodable {
    let first, best, last: Judging.Point?
  }

  func encode(to encoder: any Encoder) throws {
    try report.encode(to: encoder)
    guard let judging else { return }
    var fields = encoder.container(keyedBy: Key.self)
    try fields.encode(
      HeldOut(first: judging.first, best: judging.best, last: judging.last), forKey: .heldOut)
    try fields.encode(stoppedEarly, forKey: .stoppedEarly)
  }
}
