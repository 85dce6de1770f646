import Containers
import FoundationEssentials

/// The contract between a daemon and what trains for it: JSON objects, one a line, version 1.
/// See Protocol/Worker.md.
public enum WorkerContract {
  /// The version that both sides name.
  public static let version = 1
  /// The longest line either side accepts: jobs list files by path.
  public static let lineBytesMax = 1 << 20

  /// A value as one line, without the line end.
  package static func encode(_ value: some Encodable) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // A loss that is no number is an answer too.
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return [UInt8](try encoder.encode(value))
  }

  /// A value from a line.
  package static func decode<Value: Decodable>(
    _ type: Value.Type, from line: [UInt8]
  ) throws(TrainerError) -> Value {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    do {
      return try decoder.decode(type, from: Data(line))
    } catch {
      throw .badLine(reason: printable("\(error)"))
    }
  }
}

/// Text to train on or to measure on.
public struct TextSource: Codable, Sendable, Equatable {
  /// Files: a `.txt` is one document, a line of `.jsonl` is one.
  public var files: [String]
  /// Which of the documents.
  public var part: Part
  /// At most so many tokens, from the start; nil is all.
  public var tokensMax: Int?

  /// Which documents of the files.
  public enum Part: String, Codable, Sendable, CaseIterable {
    /// Every one.
    case all
    /// Those that are not held out.
    case training
    /// Every tenth; of a few documents the last tenth of each.
    case heldOut = "held-out"
  }

  /// A part of some files.
  public init(files: [String], part: Part, tokensMax: Int? = nil) {
    self.files = files
    self.part = part
    self.tokensMax = tokensMax
  }
}

/// A round of learning.
public struct TrainJob: Codable, Sendable, Equatable {
  /// A PEFT folder: where training starts, factors and configuration.
  public var adapter: String
  /// A folder for the trained adapter, written whole or not at all.
  public var output: String
  /// What to learn from.
  public var data: TextSource
  /// What to measure on before and after; nil measures nothing.
  public var heldOut: TextSource?
  /// Updates.
  public var steps: Int
  /// Windows an update.
  public var batch: Int
  /// Tokens a window.
  public var length: Int
  /// The highest learning rate.
  public var learningRate: Double
  /// `cosine` or `constant`.
  public var schedule: String
  /// Steps, or a share of all like `10%`.
  public var warmup: String
  /// Largest norm of a gradient; 0 turns it off.
  public var clip: Double
  /// Decides the order of windows.
  public var seed: UInt64
  /// `shuffled` or `sequential`.
  public var order: String
  /// The optimiser's moments from an earlier job; nil begins afresh.
  public var optimiserIn: String?
  /// Where to write the moments afterwards; nil forgets them.
  public var optimiserOut: String?
  /// A folder of this job alone, where a worker that can keeps the state of the run while it goes
  /// on, and finds it again when the same job comes a second time; nil keeps none.
  public var state: String?
  /// Whether the state is to be kept when the run is over too, so that the same job, when it comes
  /// again, is done at once; nil: it is not.
  public var keepsState: Bool?

  /// A round with the usual settings.
  public init(
    adapter: String, output: String, data: TextSource, heldOut: TextSource? = nil, steps: Int,
    batch: Int = 4, length: Int = 512, learningRate: Double = 2e-4, schedule: String = "cosine",
    warmup: String = "10%", clip: Double = 1, seed: UInt64 = 0, order: String = "shuffled",
    optimiserIn: String? = nil, optimiserOut: String? = nil, state: String? = nil
  ) {
    self.adapter = adapter
    self.output = output
    self.data = data
    self.heldOut = heldOut
    self.steps = steps
    self.batch = batch
    self.length = length
    self.learningRate = learningRate
    self.schedule = schedule
    self.warmup = warmup
    self.clip = clip
    self.seed = seed
    self.order = order
    self.optimiserIn = optimiserIn
    self.optimiserOut = optimiserOut
    self.state = state
  }
}

/// A measurement.
public struct EvaluateJob: Codable, Sendable, Equatable {
  /// A PEFT folder, or nil for the base alone.
  public var adapter: String?
  /// What to measure on.
  public var data: TextSource
  /// Tokens a window.
  public var length: Int

  /// A measurement of an adapter.
  public init(adapter: String?, data: TextSource, length: Int = 512) {
    self.adapter = adapter
    self.data = data
    self.length = length
  }
}

/// A mean loss.
public struct LossReport: Codable, Sendable, Equatable {
  /// Predicted tokens.
  public var tokens: Int
  /// Nats per predicted token.
  public var natsPerToken: Double

  /// A mean over so many tokens.
  public init(tokens: Int, natsPerToken: Double) {
    self.tokens = tokens
    self.natsPerToken = natsPerToken
  }
}

/// What a round of learning led to.
public struct TrainOutcome: Codable, Sendable, Equatable {
  /// Updates made.
  public var steps: Int
  /// Tokens trained on.
  public var tokens: Int
  /// Windows seen.
  public var examples: Int
  /// Loss of the first step, before any update.
  public var firstLoss: Double?
  /// Loss of the last step.
  public var lastLoss: Double?
  /// On the held-out text, before.
  public var before: LossReport?
  /// On the held-out text, after.
  public var after: LossReport?
  /// Median over the steps.
  public var tokensPerSecond: Double

  /// An outcome.
  public init(
    steps: Int, tokens: Int, examples: Int, firstLoss: Double?, lastLoss: Double?,
    before: LossReport?, after: LossReport?, tokensPerSecond: Double
  ) {
    self.steps = steps
    self.tokens = tokens
    self.examples = examples
    self.firstLoss = firstLoss
    self.lastLoss = lastLoss
    self.before = before
    self.after = after
    self.tokensPerSecond = tokensPerSecond
  }
}

/// What a daemon says.
package struct WorkerOrder: Codable, Sendable, Equatable {
  package enum Kind: String, Codable, Sendable {
    case train, evaluate, cancel, stop
  }

  var version = WorkerContract.version
  var job: Kind
  /// Counts up; of a cancel, the job to give up.
  var id: Int
  var train: TrainJob?
  var evaluate: EvaluateJob?
}

/// How far a job has come.
public struct WorkerProgress: Codable, Sendable, Equatable {
  /// `loading`, `measuring before`, `training` or `measuring after`, or `measuring`.
  public var phase: String
  /// Steps or windows done.
  public var done: Int
  /// Of how many.
  public var all: Int
  /// Loss of the step just made.
  public var loss: Double?
  /// Of the step just made.
  public var tokensPerSecond: Double?

  /// A point in a job.
  public init(
    phase: String, done: Int, all: Int, loss: Double? = nil, tokensPerSecond: Double? = nil
  ) {
    self.phase = phase
    self.done = done
    self.all = all
    self.loss = loss
    self.tokensPerSecond = tokensPerSecond
  }
}

/// What a worker is.
public struct WorkerHello: Codable, Sendable, Equatable {
  /// Program and version: what a contribution names as its engine.
  public var engine: String
  /// The base that it has in memory.
  public var model: String
  /// Process id.
  public var process: Int

  /// A worker's first words.
  public init(engine: String, model: String, process: Int) {
    self.engine = engine
    self.model = model
    self.process = process
  }
}

/// What a worker says.
package struct WorkerReply: Codable, Sendable, Equatable {
  package enum Kind: String, Codable, Sendable {
    case hello, progress, done, failed, cancelled
  }

  var version = WorkerContract.version
  var event: Kind
  /// The job's; absent in `hello`.
  var id: Int?
  var hello: WorkerHello?
  var progress: WorkerProgress?
  var train: TrainOutcome?
  var evaluate: LossReport?
  var error: String?
  var hint: String?
}
