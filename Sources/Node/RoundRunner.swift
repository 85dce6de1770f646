import Adapters
import Checkpoints
import Deltas
import FoundationEssentials
import Glibc
import Identities
import Ledger
import Logging
import Merging
import Participation
import Records
import Storage
import Trainers

/// Walks a node through its rounds: judge what others contributed, train, publish, fold, adopt.
///
/// One thing at a time, since one worker does the computing. Everything that it finds out goes
/// through the core as an entry, so a kill at any moment costs at most the job under way.
actor RoundRunner {
  private let core: NodeCore
  private let folding: Folding
  private let trainer: TrainerProcess
  private let log: Logger
  /// Held-out loss by merge: one measurement serves training, judging and the status page.
  private var losses: [(merge: ContentID, report: LossReport)] = []
  private static let lossesMax = 8
  private var failures = 0
  /// Whether what takes long is over.
  private var isOver = false
  /// Whether the base was found to be the charter's. Until then nothing is computed with it.
  private var baseIsChecked = false

  init(core: NodeCore, folding: Folding, trainer: TrainerProcess, log: Logger) {
    self.core = core
    self.folding = folding
    self.trainer = trainer
    self.log = log
  }

  /// Runs until the node stops, or until round `last` is over and shown to the others.
  ///
  /// - Throws: an operating error that the node cannot live with.
  func run(last: UInt32?) async throws {
    while await !core.stopping {
      // Another service may have failed and taken the rest down with it.
      try Task.checkCancellation()
      if let failure = await core.failure { throw failure }
      do {
        if try await !advance(last: last) { return }
        failures = 0
      } catch is CancellationError {
        return
      } catch let error as TrainerError {
        try await bear(error)
      } catch NodeError.missingPayload(let contribution) {
        await core.handle(.payloadMissing(contribution))
        await core.set(
          .waiting, "the payload of contribution \(contribution.short) is fetched again")
        _ = await core.change()
      } catch let error as NodeError {
        try await bear(error)
      } catch let error as LedgerError {
        // What was to be folded no longer counts, since somebody signed two entries at one place.
        try await bear(error)
      } catch let error as CheckpointError {
        try await bear(error)
      } catch let error as StorageError {
        guard case .damaged = error, await core.mendObjects() else { throw error }
        try await bear(error)
      }
    }
  }

  /// One step; false when the last round is over.
  private func advance(last: UInt32?) async throws -> Bool {
    if !baseIsChecked {
      await core.set(.waiting, "comparing the base model with the charter")
      let (model, charter) = (core.configuration.model, core.charter)
      try await folding.off { try BaseFiles.check(Checkpoint.open(model), against: charter) }
      baseIsChecked = true
    }
    switch await core.nextStep(last: last) {
    case .wait(let waiting):
      await core.wait(for: waiting)
      _ = await core.change()
    case .judge(let contribution): try await judge(contribution)
    case .train(let round, let attempt, let rejections):
      let work = Task {
        defer { over() }
        try await self.train(round: round, attempt: attempt, rejections: rejections)
      }
      try await finish(work, last: last, unless: { $0.interrupts(trainingFor: round) })
    case .ahead(let merge):
      let work = Task {
        defer { over() }
        try await self.prepare(merge)
      }
      try await finish(work, last: last, unless: { !$0.isAhead(of: merge) })
    case .adopt(let merge): try await adopt(merge)
    case .measure:
      let merge = await core.head
      await core.set(.judging, "the model of round \(merge.frontier.round)")
      let report = try await loss(of: merge)
      try await core.noteLoss(report.natsPerToken, of: merge.id)
    case .finish:
      await core.set(.idle, "round \(await core.round) was the last one")
      return false
    }
    return true
  }

  /// A job that failed is tried again after a while that grows: the worker may have been killed, a
  /// payload may still be on its way. The node lives on and says so.
  private func bear(_ error: any Error) async throws {
    failures += 1
    let seconds = min(60, 1 << min(failures, 6))
    log.error("\(error)")
    await core.set(.waiting, "trying again in \(seconds) s: \(oneLine(error))")
    try? await Task.sleep(for: .seconds(seconds))
  }

  /// Waits for something that takes long, and leaves it when what is to be done next says so.
  private func finish(
    _ work: Task<Void, any Error>, last: UInt32?, unless interrupts: @Sendable (Step) -> Bool
  ) async throws {
    isOver = false
    var seen = await core.wakes
    await withTaskCancellationHandler {
      while !isOver, !Task.isCancelled {
        seen = await core.change(since: seen)
        if isOver { break }
        guard interrupts(await core.nextStep(last: last)) else { continue }
        work.cancel()
        break
      }
    } onCancel: {
      work.cancel()
    }
    do { try await work.value } catch is CancellationError { try Task.checkCancellation() }
  }

  private func over() {
    isOver = true
    Task { await core.wake() }
  }

  // MARK: merging

  private func adopt(_ merge: Hanse_V1_Merge) async throws {
    await core.set(.merging, "round \(merge.frontier.round)")
    let recipe = try await core.recipe(for: merge)
    let folded = try await folding.fold(recipe)
    // The state first: what the node rests on must be there when it says so.
    try await folding.keep(recipe, folded)
    await core.handle(.folded(merge, root: folded.root))
  }

  private func state(of merge: Hanse_V1_Merge) async throws -> Folding.Folded {
    try await folding.fold(core.recipe(for: merge))
  }

  // MARK: measuring

  private var length: Int { Int(core.charter.message.round.length) }

  /// The text that this lab judges with and never trains on.
  private var heldOut: TextSource {
    let settings = core.configuration
    let limit = settings.training?.heldOutTokens ?? 4096
    if let files = settings.heldOut, !files.isEmpty {
      return TextSource(files: files, part: .all, tokensMax: limit)
    }
    return TextSource(files: settings.data, part: .heldOut, tokensMax: limit)
  }

  private func folder(_ name: String) -> String { core.home.work + "/" + name }

  // No state and no adapter is kept while the trainer works: they can be as large as what it needs.

  private func loss(of merge: Hanse_V1_Merge) async throws -> LossReport {
    if let known = losses.first(where: { $0.merge == merge.id }) { return known.report }
    let adapter = try await state(of: merge).state.adapter.rounded()
    let report = try await measure(adapter, "merge-\(merge.id.short)")
    losses.append((merge.id, report))
    if losses.count > Self.lossesMax { losses.removeFirst() }
    try await core.noteLoss(report.natsPerToken, of: merge.id)
    return report
  }

  private func measure(_ adapter: consuming Adapter, _ name: String) async throws -> LossReport {
    let folder = folder(name)
    defer { Self.remove(folder) }
    try PEFTFolder.write(adapter, baseModel: core.configuration.model, to: folder)
    let core = core
    return try await trainer.evaluate(
      EvaluateJob(adapter: folder, data: heldOut, length: length)
    ) { progress in
      Task { await core.show(progress) }
    }
  }

  // MARK: judging

  private func judge(_ contribution: ContributionState) async throws {
    let author = await core.name(of: contribution.author)
    await core.set(.judging, "round \(contribution.round) by \(author)")
    // First: a payload that is not what was announced costs no evaluation.
    let delta: Delta
    do {
      delta = try core.payloads.delta(contribution.message, of: contribution.id)
    } catch let fault as Payloads.Fault {
      log.warning("\(fault)")
      return await core.handle(.judged(contribution.id, Judgement(reason: .undecodable)))
    }
    let base = contribution.message.base
    let before = try await loss(of: base)
    let changed = try await state(of: base).state.adapter.rounded(adding: delta)
    let after = try await measure(changed, "judge-\(contribution.id.short)")
    let tolerance = await core.tolerance(for: contribution)
    let reason: Hanse_V1_Reason
    if !after.natsPerToken.isFinite {
      reason = .notFinite
    } else {
      reason = after.natsPerToken <= before.natsPerToken + tolerance ? .accepted : .lossRose
    }
    await core.handle(
      .judged(
        contribution.id,
        Judgement(
          reason: reason, before: Self.micronats(before.natsPerToken),
          after: Self.micronats(after.natsPerToken), tokens: UInt64(after.tokens))))
  }

  // MARK: training

  private func train(round: UInt32, attempt: UInt32, rejections: [ContentID]) async throws {
    let merge = await core.head
    await core.set(.training, attempt == 1 ? "round \(round)" : "round \(round), try \(attempt)")
    let before = try await loss(of: merge)
    let state = Self.run(from: merge, attempt: attempt)
    removeRuns(but: state)
    let rules = await core.logbook.roster.rules.round
    let job = trainJob(rules, round: round, attempt: attempt, state: folder(state))
    defer { for path in [job.adapter, job.output] { Self.remove(path) } }
    try await write(merge, to: job.adapter)
    let core = core
    let outcome = try await trainer.train(job) { progress in
      Task { await core.show(progress) }
    }
    let after = try await measure(result(of: job), "trained-\(round)")
    let (delta, left) = try await Delta.quantise(
      trained: result(of: job), base: self.state(of: merge).state.adapter.rounded(),
      feedback: core.feedback())
    guard !delta.isZero else {
      log.warning("round \(round): training changed nothing; nothing is contributed")
      await core.handle(.abstained(round: round))
      return
    }
    var message = Hanse_V1_Contribution()
    message.base = merge
    message.round = round
    message.attempt = attempt
    message.rejections = rejections.map { Data($0.bytes) }
    message.tokens = UInt64(max(1, outcome.tokens))
    message.steps = UInt32(clamping: outcome.steps)
    message.examples = UInt64(max(0, outcome.examples))
    message.lossBeforeMicronats = Self.micronats(before.natsPerToken)
    message.lossAfterMicronats = Self.micronats(after.natsPerToken)
    message.engine = String((await trainer.engine ?? "unknown").prefix(128))
    message.licence = core.configuration.licence ?? ""
    try await core.publish(delta, message, feedback: left)
    removeRuns()
  }

  /// What a job made of the adapter that it was given.
  private func result(of job: TrainJob) throws -> Adapter {
    try Adapter(layout: core.layout, values: PEFTFolder.read(job.output).adapter.values)
  }

  /// Writes the adapter of a merge for the trainer.
  private func write(_ merge: Hanse_V1_Merge, to folder: String) async throws {
    let adapter = try await state(of: merge).state.adapter.rounded()
    try PEFTFolder.write(adapter, baseModel: core.configuration.model, to: folder)
  }

  /// States of runs that were given up, or are over.
  private func removeRuns(but current: String? = nil) {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: core.home.work)) ?? []
    for name in names where name.hasPrefix("run-") && name != current {
      try? FileManager.default.removeItem(atPath: folder(name))
    }
  }

  /// Trains for the round after a merge that may become the head, and keeps the run for then.
  private func prepare(_ merge: Hanse_V1_Merge) async throws {
    let round = merge.frontier.round + 1
    await core.set(.training, "round \(round), ahead of the others")
    let state = Self.run(from: merge, attempt: 1)
    removeRuns(but: state)
    let rules = await core.logbook.roster.rules.round
    var job = trainJob(rules, round: round, attempt: 1, state: folder(state))
    job.optimiserOut = nil
    job.keepsState = true
    defer { for path in [job.adapter, job.output] { Self.remove(path) } }
    try await write(merge, to: job.adapter)
    let core = core
    _ = try await trainer.train(job) { progress in
      Task { await core.show(progress) }
    }
    await core.handle(.prepared(merge: merge.id))
  }

  /// The folder of a run's state, by what it is trained from.
  private static func run(from merge: Hanse_V1_Merge, attempt: UInt32) -> String {
    "run-\(merge.id.short)-\(attempt)"
  }

  private func trainJob(
    _ rules: Hanse_V1_RoundRules, round: UInt32, attempt: UInt32, state: String
  ) -> TrainJob {
    let own = core.configuration.training
    let hasHeldOut = !(core.configuration.heldOut ?? []).isEmpty
    let optimiser = folder("optimiser")
    // A seed of its own for every lab and round, so that no two see the same windows in one order.
    let seed = ContentID(
      of: core.lab.bytes + round.littleEndianBytes + attempt.littleEndianBytes, kind: .start)
    // A rejected try went too far: each further one goes a quarter as far.
    let caution = Double(sign: .plus, exponent: -2 * Int(attempt - 1), significand: 1)
    let rate = (own?.learningRate ?? rules.learningRate) * caution
    return TrainJob(
      adapter: folder("base-\(round)"), output: folder("adapter-\(round)"),
      data: TextSource(
        files: core.configuration.data, part: hasHeldOut ? .all : .training),
      steps: own?.steps ?? Int(rules.localSteps), batch: own?.batch ?? Int(rules.batch),
      length: Int(rules.length), learningRate: rate,
      schedule: "constant", warmup: round == 1 ? "10%" : "2",
      seed: seed.bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) },
      optimiserIn: DurableFile.exists(optimiser) ? optimiser : nil, optimiserOut: optimiser,
      state: state)
  }

  static func micronats(_ nats: Double) -> UInt64 {
    nats.isFinite ? UInt64(min(max(nats, 0), 1e6) * 1e6) : 0
  }

  private static func remove(_ folder: String) {
    for name in ["adapter_config.json", "adapter_model.safetensors"] { unlink("\(folder)/\(name)") }
    rmdir(folder)
  }
}
