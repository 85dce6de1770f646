import Checkpoints
import Containers
import FoundationEssentials
import Glibc

/// One step of a training curve: a line of `curve.jsonl` and of `hanse train --json`.
public struct CurvePoint: Codable, Sendable, Equatable {
  /// Number of the step; 0 is the start, of which only the held-out loss is known.
  public let step: Int
  /// Mean loss of the step's windows in nats, before its update.
  public let loss: Double?
  /// The learning rate of the update.
  public let learningRate: Double?
  /// Norm of the gradient before clipping.
  public let gradientNorm: Double?
  /// Tokens read by the step.
  public let tokens: Int?
  /// Time the step took.
  public let seconds: Double?
  /// Mean loss of a held-out token in nats, after the update, where it was measured.
  public let heldOutLoss: Double?

  enum CodingKeys: String, CodingKey {
    case step, loss, tokens, seconds
    case learningRate = "learning_rate"
    case gradientNorm = "gradient_norm"
    case heldOutLoss = "held_out_loss"
  }

  /// What a step did, and what the held-out loss was behind it.
  public init(_ report: StepReport, heldOutLoss: Double? = nil) {
    step = report.step
    loss = report.loss
    learningRate = report.learningRate
    gradientNorm = report.gradientNorm
    tokens = report.tokens
    seconds = report.seconds
    self.heldOutLoss = heldOutLoss
  }

  /// The start: nothing was learnt yet.
  public init(start heldOutLoss: Double) {
    step = 0
    (loss, learningRate, gradientNorm, tokens, seconds) = (nil, nil, nil, nil, nil)
    self.heldOutLoss = heldOutLoss
  }
}

/// The training curve of a run on disk: a JSON line for each step, in order, each step once.
///
/// Lines are appended as steps are made. A run that goes on from a saved state first cuts off the
/// steps after it, which it makes again.
public final class CurveFile {
  /// Name of the file in the run's folder.
  public static let fileName = "curve.jsonl"
  /// The longest file that is read back, in bytes: millions of steps.
  static let limit = 1 << 30

  /// The points so far.
  public private(set) var points: [CurvePoint]
  private let path: String
  private let descriptor: Int32

  /// Opens the curve in `folder` for the steps behind `stepsDone`: those up to it are kept, what
  /// comes later goes; of a run that begins, everything.
  ///
  /// Throws when the file cannot be written.
  public init(folder: String, stepsDone: Int) throws {
    path = "\(folder)/\(Self.fileName)"
    points = stepsDone > 0 ? Self.read(path).filter { $0.step <= stepsDone } : []
    let text = try points.map(Self.line).joined()
    try DurableFile.write(Array(text.utf8), to: path)
    descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
    guard descriptor >= 0 else { throw Self.unwritable(path) }
  }

  deinit { close(descriptor) }

  /// Appends a step.
  public func append(_ point: CurvePoint) throws {
    let bytes = Array(try Self.line(point).utf8)
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw Self.unwritable(path) }
      rest = rest.dropFirst(count)
    }
    points.append(point)
  }

  /// Makes sure that what was appended outlives a power cut; a saved state must not be ahead.
  public func synchronise() throws {
    guard fsync(descriptor) == 0 else { throw Self.unwritable(path) }
  }

  /// The steps of a file in order, each once, up to the first line that is none: what a crash or an
  /// editor left behind is not guessed at.
  static func read(_ path: String) -> [CurvePoint] {
    guard let file = try? MappedFile(path: path), file.bytes.count <= limit else { return [] }
    var points: [CurvePoint] = []
    for line in file.bytes.split(separator: 0x0A) {
      guard let point = try? JSONDecoder().decode(CurvePoint.self, from: Data(line)),
        points.last.map({ point.step == $0.step + 1 }) ?? true
      else { break }
      points.append(point)
    }
    return points
  }

  private static func line(_ point: CurvePoint) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(point), as: UTF8.self) + "\n"
  }

  private static func unwritable(_ path: String) -> CheckpointError {
    .cannotWrite(path: path, reason: String(cString: strerror(errno)))
  }
}
