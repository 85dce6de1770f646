import Adapters

/// How finely a delta is cut. The charter chooses one for the whole federation.
///
/// The dense tiers say something of every coordinate; the sparse ones name the largest of each
/// 4096. See Protocol/Delta.md, "Tiers".
public enum DeltaTier: UInt8, Sendable, CaseIterable {
  /// Every coordinate in four bits, one power of two for 128: symbols −7…7. The default.
  case int4 = 1
  /// Every coordinate, one power of two for 128: symbols −3…3.
  case int3 = 2
  /// The 64 largest of 4096, two bits each and their place.
  case top64 = 16
  /// The 128 largest of 4096.
  case top128 = 17
  /// The 256 largest of 4096.
  case top256 = 18
  /// The 512 largest of 4096.
  case top512 = 19

  /// The tier's name in a charter and in a contribution's codec.
  public var name: String {
    switch self {
    case .int4: "int4-128"
    case .int3: "int3-128"
    case .top64: "top64-4096"
    case .top128: "top128-4096"
    case .top256: "top256-4096"
    case .top512: "top512-4096"
    }
  }

  /// The tier a charter names; nil for an unknown one.
  public init?(name: String) {
    guard let tier = Self.allCases.first(where: { $0.name == name }) else { return nil }
    self = tier
  }

  /// Coordinates of each full block that may differ from zero; nil where all may.
  public var entriesPerBlock: Int? {
    switch self {
    case .int4, .int3: nil
    case .top64: 64
    case .top128: 128
    case .top256: 256
    case .top512: 512
    }
  }

  /// Coordinates that share an exponent. The last block of a factor may be shorter.
  public var blockLength: Int { entriesPerBlock == nil ? 128 : 4096 }

  /// Largest magnitude of a symbol.
  public var maximumSymbol: Int8 {
    switch self {
    case .int4: 7
    case .int3: 3
    case .top64, .top128, .top256, .top512: Int8(SparseLevels.highest)
    }
  }

  /// Largest exponent: the one that keeps `maximumSymbol × 2^exponent` at or below 2³⁹ units.
  public var maximumExponent: Int8 {
    switch self {
    case .int4: 36
    case .int3: 37
    case .top64, .top128, .top256, .top512: 34
    }
  }

  /// Share of what a delta left unsaid that is carried into the next.
  ///
  /// Where little is sent, what waits grows stale, and a little forgetting does better.
  public var feedbackKept: Float {
    switch self {
    case .int4, .int3, .top256, .top512: 1
    case .top64, .top128: 0.95
    }
  }

  /// Blocks in a delta of `layout`. Blocks never reach across factors.
  public func blockCount(of layout: AdapterLayout) -> Int {
    layout.factors.reduce(0) { $0 + ($1.count + blockLength - 1) / blockLength }
  }

  /// Entries that a block of `length` coordinates may have: the tier's share, rounded up.
  func entryLimit(length: Int) -> Int {
    guard let entries = entriesPerBlock else { return length }
    return (entries * length + blockLength - 1) / blockLength
  }

  /// Calls `body` with each block's index, factor index and coordinates, in order.
  @inline(__always)
  func forEachBlock<Failure: Error>(
    of layout: AdapterLayout,
    _ body: (_ block: Int, _ factor: Int, _ range: Range<Int>) throws(Failure) -> Void
  ) throws(Failure) {
    var block = 0
    let length = blockLength
    for (index, factor) in layout.factors.enumerated() {
      let range = factor.range
      var start = range.lowerBound
      while start < range.upperBound {
        let end = min(start + length, range.upperBound)
        try body(block, index, start..<end)
        block += 1
        start = end
      }
    }
  }
}
