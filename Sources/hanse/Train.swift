import Adapters
import ArgumentParser
import Checkpoints
import Containers
import Control
import Datasets
import Glibc
import Tokenizers
import Training
import Transformers

/// `hanse train`: trains a LoRA adapter on text.
struct Train: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train a LoRA adapter on text.",
    discussion: """
      The base stays as it is; --out becomes a folder that PEFT, vLLM and others load as a LoRA \
      adapter. It also holds the state of the run: after an interruption the same command with \
      --resume goes on exactly as if there had been none. The learning rate rises for --warmup, \
      then follows --schedule; gradients are clipped at norm --clip; AdamW with betas 0.9 and \
      0.999, no weight decay.

      With --evaluate-every held-out text is judged while the adapter learns, as hanse evaluate \
      judges; the adapter of the lowest loss is kept in --out/best, a PEFT folder that is replaced \
      as one, and --patience ends a run that no longer improves.

      --out/curve.jsonl has a line for each step: step, loss (of that step's windows, before the \
      update), learning_rate, gradient_norm, tokens, seconds, and held_out_loss (after the update) \
      where it was measured; step 0 is the start. --out/curve.svg draws it. With --json the same \
      lines are printed from step 1 on, and a last line with tokens_per_second (median of the \
      steps), peak_rss_bytes, and with --evaluate-every held_out and stopped_early.

      EXAMPLE
        $ hanse train --model base.gguf --data notes.txt --out adapter --steps 200
        $ hanse train --model base.gguf --data notes.txt --out adapter --steps 2000 \\
            --evaluate-every 50 --patience 4 --min-improvement 0.002

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 not found, 4 refused
      """)

  @OptionGroup var base: BaseOptions
  @OptionGroup var text: TextOptions
  @OptionGroup var learning: LearningOptions
  @OptionGroup var judging: JudgingOptions
  @OptionGroup var memory: MemoryOptions

  @Option(help: ArgumentHelp("Folder for the adapter.", valueName: "dir"))
  var out: String

  @Option(
    help: ArgumentHelp(
      "PEFT adapter to start from, factors and configuration.", valueName: "dir"))
  var adapter: String?

  @Flag(help: "Go on with the run in --out; begins one when there is none.")
  var resume = false

  @Option(help: ArgumentHelp("Save the run after so many steps, and at its end.", valueName: "n"))
  var saveEvery = 50

  @Flag(
    inversion: .prefixedNo,
    help: "Draw the curve on standard error at the end. (default: on a terminal)")
  var draw: Bool?

  @Flag(help: "Print one JSON line a step (version 1, see Protocol/Control.md).")
  var json = false

  func validate() throws {
    guard saveEvery > 0 else { throw ValidationError("--save-every is at least 1") }
    if let layers = learning.layers { _ = try LearningOptions.layers(layers) }
    _ = try learning.excluded()
    try asWrongUse {
      try learning.settings(length: text.length, computeType: base.dtype).validate()
    }
  }

  func run() async throws {
    var settings = learning.settings(length: text.length, computeType: base.dtype)
    settings.weights = base.weights
    let checkpoint = try Checkpoint.open(base.model)
    settings.targets = try learning.targetText(for: checkpoint.configuration)
    let start = try startingAdapter(checkpoint, &settings)
    try prepareOut()
    let (windows, heldOut) = try judging.windows(text, tokenizer: try checkpoint.tokenizer())
    let judged = judging.settings.flatMap { settings in
      heldOut.map { Judging(settings: settings, text: fingerprint(of: $0)) }
    }
    let saved = try savedRun(
      settings: settings, windows: windows, checkpoint: checkpoint, judging: judged)
    let plan = try MemoryPlan(
      configuration: checkpoint.configuration, settings: settings, layout: start.layout,
      judges: heldOut != nil, limit: memory.bytes)
    Speech.note(plan.text)
    let decoder = try checkpoint.decoder(
      computeType: settings.computeType, form: settings.weights)
    decoder.recomputesActivations = plan.recomputes
    let trainer = try Trainer(
      decoder: decoder,
      adapter: saved?.adapter ?? start, settings: settings, windows: windows,
      optimiser: saved?.optimiser, stepsDone: saved?.facts.stepsDone ?? 0)
    announce(trainer, windows, heldOut)
    Interruption.listen()
    var run = try TrainRun(
      checkpoint: checkpoint, baseModel: base.model, out: out, decoder: decoder, trainer: trainer,
      heldOut: heldOut, judging: saved?.facts.judging ?? judged, saveEvery: saveEvery, json: json)
    let report = try run.run()
    try conclude(run, report)
  }

  /// The adapter a run from nothing begins with; a given one rules the settings of its shape.
  private func startingAdapter(
    _ checkpoint: Checkpoint, _ settings: inout TrainingSettings
  ) throws -> Adapter {
    guard let adapter else {
      return try Trainer.freshAdapter(
        settings: settings, configuration: checkpoint.configuration)
    }
    let contents = try PEFTFolder.read(adapter, for: checkpoint.configuration)
    let layout = contents.adapter.layout
    try learning.requireNoContradiction(
      to: contents, of: checkpoint.configuration, path: adapter)
    settings.rank = layout.rank
    settings.alpha = layout.alpha
    settings.scaling = layout.scaling
    settings.dropout = learning.dropout ?? contents.dropout
    return contents.adapter
  }

  /// Makes sure before the long work that its result can be written.
  private func prepareOut() throws {
    try makeFolder(out)
    guard access(out, W_OK) == 0 else {
      throw CheckpointError.cannotWrite(path: out, reason: String(cString: strerror(errno)))
    }
    // A run that was killed while it wrote left half a file there, which is nobody's any more.
    DurableFile.removeLeftovers(in: out)
    BestAdapter.removeLeftovers(in: out)
  }

  private func savedRun(
    settings: TrainingSettings, windows: Windows, checkpoint: Checkpoint, judging: Judging?
  ) throws -> SavedRun? {
    guard SavedRun.exists(in: out) else {
      if resume { Speech.note("\(out) holds no run yet: starting at the first step") }
      return nil
    }
    guard resume else {
      if let steps = SavedRun.finishedSteps(in: out) {
        throw ControlError(
          .refused, "\(out) holds a finished run of \(steps) steps",
          hint: "give another --out; --resume goes on with a run that was interrupted")
      }
      // Hours of somebody's work may be in it, so an unfinished run is put aside, not replaced.
      if let aside = try SavedRun.putAsideIfUnfinished(in: out) {
        Speech.note("note: \(out) held an unfinished run, which is now \(aside)")
      }
      return nil
    }
    let saved = try SavedRun.read(from: out)
    try saved.requireContinuation(
      path: out, settings: settings, textFingerprint: fingerprint(of: windows), base: checkpoint,
      judging: judging)
    return saved
  }

  private func announce(_ trainer: Trainer, _ windows: Windows, _ heldOut: Windows?) {
    let layout = trainer.adapter.layout
    let judged = heldOut.map { ", judged on \($0.predictedTokens) tokens" } ?? ""
    Speech.note(
      "training \(layout.count) numbers in \(layout.modules.count) modules (rank \(layout.rank)) "
        + "on \(windows.fullCount) windows of \(windows.length) tokens\(judged), "
        + "steps \(trainer.stepsDone + 1) to \(trainer.settings.steps)")
  }

  private func conclude(_ run: TrainRun, _ report: TrainingReport) throws {
    if report.steps == 0 {
      Speech.note(
        run.stoppedEarly
          ? "the run had stopped early after step \(run.trainer.stepsDone)"
          : "all \(run.trainer.settings.steps) steps were made before")
    }
    if draw ?? (isatty(STDERR_FILENO) == 1) { run.drawInText() }
    if json {
      try Speech.sayLine(
        TrainEnd(report: report, judging: run.judging, stoppedEarly: run.stoppedEarly))
    } else {
      Speech.say(summary(run, report))
    }
  }

  private func summary(_ run: TrainRun, _ report: TrainingReport) -> [String] {
    var lines = ["adapter  \(out)"]
    if let first = report.firstLoss, let last = report.lastLoss {
      lines.append("loss     \(fixed(first, 4)) at the first step, \(fixed(last, 4)) at the last")
    }
    if let judging = run.judging, let first = judging.first, let last = judging.last,
      let best = judging.best
    {
      lines.append(
        "held out \(fixed(first.loss, 4)) at the start, \(fixed(last.loss, 4)) after step "
          + "\(last.step)")
      lines.append(
        "best     \(out)/\(BestAdapter.folderName), \(fixed(best.loss, 4)) "
          + (best.step == 0
            ? "at the start: training never lowered it" : "after step \(best.step)"))
      if run.stoppedEarly, let patience = judging.settings.patience {
        let least = judging.settings.minimumImprovement
        lines.append(
          "stopped  early: \(patience) evaluations without improvement"
            + (least > 0 ? " of more than \(least) nats" : ""))
      }
    }
    if report.steps > 0 {
      lines.append("speed    \(fixed(report.tokensPerSecond, 0)) tokens/s (median of the steps)")
    }
    lines.append("curve    \(out)/\(CurveFile.fileName), drawn in curve.svg")
    lines.append("memory   \(report.peakResidentBytes >> 20) MiB at most")
    return lines
  }
}
