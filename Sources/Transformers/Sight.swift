import Tensors

extension DecoderConfiguration {
  /// How many positions a query of block `index` sees, itself included; nil if all before it.
  func window(of index: Int) -> Int? {
    slidingLayers.contains(index) ? slidingWindow : nil
  }
}

/// From which position on each row sees, for the blocks that do not see everything before it.
final class Sight {
  private let length: Int
  private let window: Int?
  private let sliding: UnsafeMutableBufferPointer<Int32>

  /// Room for `tokens` rows in windows of `length`.
  init(shape: DecoderConfiguration, tokens: Int, length: Int) {
    self.length = length
    window =
      shape.slidingLayers.isEmpty ? nil : shape.slidingWindow.flatMap { $0 < length ? $0 : nil }
    sliding = .allocate(capacity: window == nil ? 0 : tokens)
    for row in sliding.indices {
      sliding.initializeElement(at: row, to: Int32(Self.first(row % length, window: window)))
    }
  }

  deinit { sliding.deallocate() }

  /// The first position that a query at `position` sees.
  static func first(_ position: Int, window: Int?) -> Int {
    window.map { max(0, position - $0 + 1) } ?? 0
  }

  /// What the attention kernel reads; nil if every row sees from 0.
  func starts(windowed: Bool) -> UnsafePointer<Int32>? {
    windowed && window != nil ? UnsafePointer(sliding.baseAddress) : nil
  }
}
