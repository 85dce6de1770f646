import Tensors

extension DecoderConfiguration {
  /// How many positions a query of block `index` sees, itself included; nil if all before it.
  func window(of index: Int) -> Int? {
    slidingLayers.contains(index) ? slidingWindow : nil
  }
}

/// From which position on each row sees: in blocks with a window, and where several documents lie
/// in one window of tokens and none may see another.
final class Sight {
  private let length: Int
  private let window: Int?
  /// By the window alone; empty where no block has one that is shorter than the rows.
  private let sliding: UnsafeMutableBufferPointer<Int32>
  /// Where each row's document begins, and the same cut by the window; made when first needed.
  private var documents: UnsafeMutableBufferPointer<Int32>?
  private var both: UnsafeMutableBufferPointer<Int32>?
  private var separates = false
  private let tokens: Int

  /// Room for `tokens` rows in windows of `length`.
  init(shape: DecoderConfiguration, tokens: Int, length: Int) {
    self.length = length
    self.tokens = tokens
    window =
      shape.slidingLayers.isEmpty ? nil : shape.slidingWindow.flatMap { $0 < length ? $0 : nil }
    sliding = .allocate(capacity: window == nil ? 0 : tokens)
    for row in sliding.indices {
      sliding.initializeElement(at: row, to: Int32(Self.first(row % length, window: window)))
    }
  }

  deinit {
    sliding.deallocate()
    documents?.deallocate()
    both?.deallocate()
  }

  /// The first position that a query at `position` sees.
  static func first(_ position: Int, window: Int?) -> Int {
    window.map { max(0, position - $0 + 1) } ?? 0
  }

  /// Takes the positions at which the documents of the pass's rows begin; nil: every window of
  /// tokens is one document.
  func begin(documents starts: UnsafeBufferPointer<Int32>?) {
    separates = starts != nil
    guard let starts else { return }
    let own = documents ?? .allocate(capacity: tokens)
    documents = own
    _ = own.update(fromContentsOf: starts)
    guard window != nil else { return }
    let cut = both ?? .allocate(capacity: tokens)
    both = cut
    for row in starts.indices { cut.initializeElement(at: row, to: max(starts[row], sliding[row])) }
  }

  /// What the attention kernel reads; nil if every row sees from 0.
  func starts(windowed: Bool) -> UnsafePointer<Int32>? {
    let isCut = windowed && window != nil
    if separates { return UnsafePointer((isCut ? both : documents)?.baseAddress) }
    return isCut ? UnsafePointer(sliding.baseAddress) : nil
  }

  /// Whether a row is the first of a document, but not of its window: nothing predicts it.
  func beginsDocument(_ row: Int) -> Bool {
    guard separates, let documents, row % length > 0 else { return false }
    return Int(documents[row]) == row % length
  }

  /// Tokens that are predicted among the first `rows` rows.
  func predictions(rows: Int) -> Int {
    let plain = rows / length * (length - 1)
    return separates ? plain - (0..<rows).count(where: beginsDocument) : plain
  }
}
