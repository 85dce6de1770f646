import Adapters
import Checkpoints
import Datasets
import FoundationEssentials
import Glibc
import Tensors
import Transformers

/// A training run on disk between two steps: one file, replaced in one instant.
///
/// It holds everything that decides the steps to come but the model and the text, and enough about
/// those two to notice that they are others.
public struct SavedRun: Sendable {
  /// Name of the file in the run's folder.
  public static let fileName = "training.safetensors"

  /// What a run rests on besides its numbers.
  public struct Facts: Codable, Sendable, Equatable {
    /// Version of this record.
    var version = 1
    /// Settings of the run.
    public let settings: TrainingSettings
    /// Steps made.
    public let stepsDone: Int
    /// Updates the optimiser has made.
    let optimiserStep: Int
    /// The adapter's layout.
    let rank, alpha: Int
    /// Absent where it is alpha / rank.
    var scaling: AdapterLayout.Scaling?
    let modules: [Module]
    /// Fingerprint of the tokens.
    let text: UInt64
    /// Fingerprint of the base.
    let base: UInt64
    /// Base as the adapter's files name it.
    public let baseModel: String
    /// How held-out text is judged, and how that has gone; absent where it is not.
    public var judging: Judging?

    /// A module of the layout.
    struct Module: Codable, Sendable, Equatable {
      let path: String
      let inputs, outputs: Int
    }

    /// The layout, if the record tells of one.
    func layout() throws -> AdapterLayout {
      try AdapterLayout(
        rank: rank, alpha: alpha,
        modules: modules.map {
          AdapterModule(path: $0.path, inputs: $0.inputs, outputs: $0.outputs)
        }, scaling: scaling ?? .standard)
    }
  }

  /// What the run rests on.
  public let facts: Facts
  /// The factors.
  public let adapter: Adapter
  /// The moments.
  public let optimiser: AdamW

  /// The state of a trainer, between two steps.
  public init(
    trainer: Trainer, base: Checkpoint, baseModel: String, judging: Judging? = nil
  ) throws {
    facts = Facts(
      settings: trainer.settings, stepsDone: trainer.stepsDone,
      optimiserStep: trainer.optimiser.step, rank: trainer.adapter.layout.rank,
      alpha: trainer.adapter.layout.alpha,
      scaling: trainer.adapter.layout.scaling == .standard
        ? nil : trainer.adapter.layout.scaling,
      modules: trainer.adapter.layout.modules.map {
        Facts.Module(path: $0.path, inputs: $0.inputs, outputs: $0.outputs)
      },
      text: trainer.textFingerprint, base: try base.fingerprint(), baseModel: baseModel,
      judging: judging)
    adapter = trainer.adapter
    optimiser = trainer.optimiser
  }

  /// Writes the run into `folder`, and beside it the adapter as PEFT reads it.
  public func write(to folder: String) throws {
    try writeState(to: folder)
    try PEFTFolder.write(
      adapter, baseModel: facts.baseModel, dropout: facts.settings.dropout, to: folder)
  }

  /// Writes the run alone into `folder`.
  public func writeState(to folder: String) throws {
    try makeFolder(folder)
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let text = String(decoding: try encoder.encode(facts), as: UTF8.self)
    try FloatLists.write(
      [
        ("adapter", adapter.values), ("first_moment", optimiser.first),
        ("second_moment", optimiser.second),
      ], texts: ["run": text], to: "\(folder)/\(Self.fileName)")
  }

  /// Whether `folder` holds a saved run.
  public static func exists(in folder: String) -> Bool {
    access("\(folder)/\(fileName)", F_OK) == 0
  }

  /// The steps of a finished run in `folder`; nil when there is none, or one that was interrupted.
  public static func finishedSteps(in folder: String) -> Int? {
    guard exists(in: folder),
      let facts = try? decodeFacts(try FloatLists.Reader(path: "\(folder)/\(fileName)")),
      facts.stepsDone >= facts.settings.steps || facts.judging?.isOver == true
    else { return nil }
    return facts.stepsDone
  }

  /// Renames the file of an unfinished run, so that a new run does not replace it, and gives its
  /// new path; nil when there is no run. A damaged file counts as unfinished.
  public static func putAsideIfUnfinished(in folder: String) throws -> String? {
    let path = "\(folder)/\(fileName)"
    guard exists(in: folder), finishedSteps(in: folder) == nil else { return nil }
    let aside = "\(folder)/training.before.safetensors"
    guard rename(path, aside) == 0 else {
      throw CheckpointError.cannotWrite(path: aside, reason: String(cString: strerror(errno)))
    }
    // The run can go on without it, so it is no failure when there is none.
    rename("\(folder)/\(CurveFile.fileName)", "\(folder)/curve.before.jsonl")
    BestAdapter.putAside(in: folder)
    return aside
  }

  /// Reads the run in `folder`. Throws when the file is missing or damaged.
  public static func read(from folder: String) throws -> SavedRun {
    let reader = try FloatLists.Reader(path: "\(folder)/\(fileName)")
    let facts = try decodeFacts(reader)
    try reader.requireWhole()
    let layout = try facts.layout()
    let (first, second) = (try reader.list("first_moment"), try reader.list("second_moment"))
    guard first.count == layout.count, second.count == layout.count, facts.optimiserStep >= 0,
      facts.stepsDone >= 0
    else {
      throw TrainingError.damagedState(path: reader.path, reason: "the moments do not fit")
    }
    return SavedRun(
      facts: facts, adapter: try Adapter(layout: layout, values: try reader.list("adapter")),
      optimiser: AdamW(step: facts.optimiserStep, first: first, second: second))
  }

  private init(facts: Facts, adapter: Adapter, optimiser: AdamW) {
    self.facts = facts
    self.adapter = adapter
    self.optimiser = optimiser
  }

  private static func decodeFacts(_ reader: FloatLists.Reader) throws -> Facts {
    let text = try reader.text("run")
    guard let facts = try? JSONDecoder().decode(Facts.self, from: Data(text.utf8)) else {
      throw TrainingError.damagedState(path: reader.path, reason: "its record cannot be read")
    }
    guard facts.version == 1 else {
      throw TrainingError.damagedState(
        path: reader.path, reason: "version \(facts.version) of the record is not known")
    }
    return facts
  }

  /// Throws, naming the difference, unless the run can go on with these settings, text and base.
  ///
  /// Another number of steps is fine when the learning rate does not depend on it. `judging` is
  /// how held-out text is judged now.
  public func requireContinuation(
    path: String, settings: TrainingSettings, textFingerprint: UInt64, base: Checkpoint,
    judging: Judging? = nil
  ) throws {
    let saved = facts.settings
    let freeEnd = saved.schedule == .constant && saved.warmup.steps(of: 1 << 40) < saved.steps
    let pairs: [(String, String, String)] = [
      ("--steps", "\(saved.steps)", freeEnd ? "\(saved.steps)" : "\(settings.steps)"),
      ("--batch", "\(saved.batch)", "\(settings.batch)"),
      ("--accumulate", "\(saved.accumulate)", "\(settings.accumulate)"),
      ("--length", "\(saved.length)", "\(settings.length)"),
      ("--rank", "\(saved.rank)", "\(settings.rank)"),
      ("--alpha", "\(saved.alpha)", "\(settings.alpha)"),
      ("--targets", saved.targets, settings.targets),
      ("--rslora", saved.scaling.rawValue, settings.scaling.rawValue),
      ("--dropout", "\(saved.dropout)", "\(settings.dropout)"),
      ("--separate-documents", "\(saved.separatesDocuments)", "\(settings.separatesDocuments)"),
      ("--learning-rate", "\(saved.learningRate)", "\(settings.learningRate)"),
      ("--schedule", saved.schedule.rawValue, settings.schedule.rawValue),
      ("--warmup", "\(saved.warmup)", "\(settings.warmup)"),
      ("--clip", "\(saved.clip)", "\(settings.clip)"),
      ("--dtype", saved.computeType.rawValue, settings.computeType.rawValue),
      ("--weights", saved.weights.rawValue, settings.weights.rawValue),
      ("--seed", "\(saved.seed)", "\(settings.seed)"),
      ("--order", saved.order.rawValue, settings.order.rawValue),
      ("text with fingerprint", "\(facts.text)", "\(textFingerprint)"),
      ("a base with fingerprint", "\(facts.base)", "\(try base.fingerprint())"),
    ]
    for (what, saved, given) in pairs + judgingPairs(judging) where saved != given {
      throw TrainingError.doesNotContinue(path: path, what: what, saved: saved, given: given)
    }
  }

  private func judgingPairs(_ judging: Judging?) -> [(String, String, String)] {
    func text(_ value: (some CustomStringConvertible)?) -> String {
      value.map { $0.description } ?? "unset"
    }
    let (saved, given) = (facts.judging, judging)
    return [
      ("--evaluate-every", text(saved?.settings.every), text(given?.settings.every)),
      ("--patience", text(saved?.settings.patience), text(given?.settings.patience)),
      (
        "--min-improvement", text(saved?.settings.minimumImprovement),
        text(given?.settings.minimumImprovement)
      ),
      ("held-out text with fingerprint", text(saved?.text), text(given?.text)),
    ]
  }
}

extension AdamW {
  /// Writes the optimiser's state to a file, replacing it in one instant.
  public func write(to path: String) throws {
    try FloatLists.write(
      [("first_moment", first), ("second_moment", second)], texts: ["step": "\(step)"], to: path)
  }

  /// Reads a state that ``write(to:)`` wrote, for an adapter of `count` numbers.
  public static func read(from path: String, count: Int) throws -> AdamW {
    let reader = try FloatLists.Reader(path: path)
    try reader.requireWhole()
    let (first, second) = (try reader.list("first_moment"), try reader.list("second_moment"))
    guard let step = Int(try reader.text("step")), step >= 0, first.count == count,
      second.count == count
    else {
      throw TrainingError.damagedState(
        path: path, reason: "the optimiser's state is not of an adapter of \(count) numbers")
    }
    return AdamW(step: step, first: first, second: second)
  }
}
