import Determinism

/// Which windows each step of training takes.
///
/// The windows of a step follow from the step alone, so a training that is taken up again goes on
/// exactly where it was.
public struct BatchOrder: Sendable {
  /// How windows follow one another.
  public enum Order: String, Sendable, Codable, CaseIterable {
    /// From the first to the last, then from the first again.
    case sequential
    /// Every window once an epoch, each epoch in an order of its own.
    case shuffled
  }

  /// Windows to choose from.
  public let windows: Int
  /// Windows of one step.
  public let batch: Int
  public let order: Order
  public let seed: UInt64

  /// The shuffled windows of the epoch that was asked for last.
  private var epoch = -1
  private var permutation: [Int] = []

  /// An order over so many full windows.
  ///
  /// - Throws: `DatasetError.tooShort` when there is no window, `.badSetting` for an empty batch.
  public init(windows: Int, batch: Int, order: Order, seed: UInt64) throws {
    guard batch >= 1 else {
      throw DatasetError.badSetting("a batch of \(batch) windows\nhint: --batch is at least 1")
    }
    guard windows >= 1 else {
      throw DatasetError.tooShort(tokens: 0, needed: 1, purpose: "training (full windows)")
    }
    self.windows = windows
    self.batch = batch
    self.order = order
    self.seed = seed
  }

  /// An order over the full windows of a stream.
  ///
  /// - Throws: `DatasetError.tooShort` when the stream does not fill one window.
  public init(_ windows: Windows, batch: Int, order: Order, seed: UInt64) throws {
    guard windows.fullCount >= 1 else {
      throw DatasetError.tooShort(
        tokens: windows.tokens.count, needed: windows.length, purpose: "one window of training")
    }
    try self.init(windows: windows.fullCount, batch: batch, order: order, seed: seed)
  }

  /// The windows of a step, counted from 0. A batch larger than what is left of an epoch goes on in
  /// the next.
  public mutating func indexes(atStep step: Int) -> [Int] {
    precondition(step >= 0, "steps count from 0")
    return (0..<batch).map { offset in
      let position = step * batch + offset
      switch order {
      case .sequential: return position % windows
      case .shuffled:
        shuffle(epoch: position / windows)
        return permutation[position % windows]
      }
    }
  }

  /// Fisher and Yates's shuffle, drawn from the seed and the epoch alone. Written out because the
  /// standard library does not promise that its own stays the same.
  private mutating func shuffle(epoch wanted: Int) {
    guard epoch != wanted else { return }
    epoch = wanted
    permutation = Array(0..<windows)
    var generator = SeededGenerator(seed: seed, stream: UInt64(wanted))
    for last in stride(from: windows - 1, to: 0, by: -1) {
      let bound = UInt64(last + 1)
      let chosen = Int(generator.next().multipliedFullWidth(by: bound).high)
      permutation.swapAt(last, chosen)
    }
  }
}
