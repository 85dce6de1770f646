import Adapters

// Sparse tiers: exponents, levels and missing entries per block, then all gaps, then all values.
extension Delta {
  func packSparse() -> [UInt8] {
    let parameter = tier.riceParameter
    var levelBytes: [UInt8] = []
    var missing: [UInt8] = []
    var gaps = BitWriter()
    var values = BitWriter()
    tier.forEachBlock(of: layout) { _, _, range in
      let entries = range.filter { symbols[$0] != 0 }
      let levels = SparseLevels(holding: entries.lazy.map { abs(Int(symbols[$0])) })
      levelBytes.append(levels?.byte ?? 0)
      let lacking = tier.entryLimit(length: range.count) - entries.count
      missing += [UInt8(truncatingIfNeeded: lacking), UInt8(truncatingIfNeeded: lacking >> 8)]
      var next = range.lowerBound
      for entry in entries {
        gaps.append(gap: entry - next, parameter: parameter)
        next = entry + 1
        values.append(symbols[entry] < 0 ? 1 : 0, bits: 1)
        values.append(abs(Int(symbols[entry])) == levels?.high ? 1 : 0, bits: 1)
      }
    }
    return exponents.map { UInt8(bitPattern: $0) } + levelBytes + missing + gaps.bytes
      + values.bytes
  }

  static func unpackSparse(
    _ stream: [UInt8], layout: AdapterLayout, tier: DeltaTier
  ) throws -> Delta {
    let blocks = tier.blockCount(of: layout)
    guard stream.count >= 4 * blocks else { throw DeltaError.streamEnd(part: "blocks") }
    var reading = SparseReading(stream, layout: layout, tier: tier, blocks: blocks)
    try reading.readPlaces()
    try reading.readValues()
    let exponents = stream[..<blocks].map { Int8(bitPattern: $0) }
    let delta = Delta(layout: layout, tier: tier, unchecked: exponents, reading.symbols)
    try delta.check()
    return delta
  }
}

/// The decoding of a sparse tier's stream, part after part. The caller has seen to the block bytes.
private struct SparseReading {
  let stream: [UInt8]
  let layout: AdapterLayout
  let tier: DeltaTier
  let blocks: Int
  var reader: BitReader
  var symbols: [Int8]
  /// Coordinates of all entries, ascending, and how many of them each block has.
  var places: [Int] = []
  var counts: [Int] = []

  init(_ stream: [UInt8], layout: AdapterLayout, tier: DeltaTier, blocks: Int) {
    self.stream = stream
    self.layout = layout
    self.tier = tier
    self.blocks = blocks
    reader = BitReader(stream, from: 4 * blocks)
    symbols = [Int8](repeating: 0, count: layout.count)
  }

  mutating func readPlaces() throws {
    try tier.forEachBlock(of: layout) { block, _, range in
      let limit = tier.entryLimit(length: range.count)
      let missing = Int(stream[2 * (blocks + block)]) | Int(stream[2 * (blocks + block) + 1]) << 8
      guard missing <= limit else {
        throw DeltaError.entryCount(block: block, value: limit - missing)
      }
      var next = range.lowerBound
      for _ in missing..<limit {
        switch reader.nextGap(
          parameter: tier.riceParameter, limit: range.upperBound - 1 - next)
        {
        case .end: throw DeltaError.streamEnd(part: "gaps")
        case .beyond: throw DeltaError.gap(block: block)
        case .gap(let gap):
          places.append(next + gap)
          next += gap + 1
        }
      }
      counts.append(limit - missing)
    }
    guard reader.align() else { throw DeltaError.padding }
  }

  mutating func readValues() throws {
    var place = 0
    for block in 0..<blocks {
      guard let levels = SparseLevels(byte: stream[blocks + block]) else {
        throw DeltaError.levels(block: block)
      }
      let own = places[place..<place + counts[block]]
      for coordinate in own {
        guard let value = reader.next(bits: 2) else { throw DeltaError.streamEnd(part: "values") }
        let level = Int8(value & 2 == 0 ? levels.low : levels.high)
        symbols[coordinate] = value & 1 == 0 ? level : -level
      }
      // A level that nothing uses is written in one way only, so that a delta packs in one way
      // only.
      let used = SparseLevels(holding: own.lazy.map { [symbols] in abs(Int(symbols[$0])) })
      guard used?.byte ?? 0 == levels.byte else { throw DeltaError.levels(block: block) }
      place += counts[block]
    }
    guard reader.align() else { throw DeltaError.padding }
    guard reader.isAtEnd else { throw DeltaError.streamEnd(part: "values") }
  }
}

extension DeltaTier {
  /// Lower bits of a gap: the best for gaps of the tier's mean, 4096 / entries.
  var riceParameter: Int {
    (blockLength / (entriesPerBlock ?? blockLength)).trailingZeroBitCount - 1
  }

  /// Bytes of a sparse tier's streams before compression, at most.
  func maximumSparseLength(of layout: AdapterLayout) -> Int {
    var gapBits = 0
    var entries = 0
    forEachBlock(of: layout) { _, _, range in
      let limit = entryLimit(length: range.count)
      entries += limit
      // The ones of all upper parts together cannot exceed the block in steps of 2^parameter.
      gapBits += limit * (1 + riceParameter) + range.count >> riceParameter
    }
    return 4 * blockCount(of: layout) + (gapBits + 7) / 8 + (2 * entries + 7) / 8
  }
}
