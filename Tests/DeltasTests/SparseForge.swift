import Adapters
import Deltas

// Vectors of the sparse tiers, whose streams are put together part by part.
extension DeltaForge {
  /// A sparse stream in parts, so that one can be wrong.
  private struct Parts {
    var exponents: [UInt8] = [30, 34]
    var levels: [UInt8] = [0x0B, 0x7F]  // 8 and 20; 15 and 31
    var missing = [0, 0]
    var gaps = [0, 63, 64, 2]
    /// Sign and level of each entry.
    var values = [(1, 0), (0, 1), (0, 0), (0, 1)]
    var gapFiller = 0
    var valueFiller = 0
    var rest: [UInt8] = []

    var stream: [UInt8] {
      var bits = BitWriter()
      var used = 0
      for gap in gaps {
        bits.append(gap: gap, parameter: 5)
        used += (gap >> 5) + 1 + 5
      }
      bits.append(gapFiller, bits: (8 - used % 8) % 8)
      var valueBits = BitWriter()
      for (sign, level) in values { valueBits.append(sign | level << 1, bits: 2) }
      valueBits.append(valueFiller, bits: (8 - 2 * values.count % 8) % 8)
      return exponents + levels + missing.flatMap { PlainFrame.word($0, 2) } + bits.bytes
        + valueBits.bytes + rest
    }
  }

  /// What ``Parts`` says when nothing is changed.
  private static func sparseDelta(_ layout: AdapterLayout) throws -> Delta {
    var symbols = [Int8](repeating: 0, count: layout.count)
    (symbols[0], symbols[64], symbols[129], symbols[132]) = (-8, 20, 8, 31)
    return try Delta(layout: layout, tier: .top64, exponents: [30, 34], symbols: symbols)
  }

  static func sparse() throws -> [VectorFile] {
    let layout = try layout()
    let delta = try sparseDelta(layout)
    let head = Array(try PlainFrame.payload(of: delta)[..<56])
    func body(_ edit: (inout Parts) -> Void) -> [UInt8] {
      var parts = Parts()
      edit(&parts)
      return PlainFrame.payload(head: head, stream: parts.stream)
    }
    func vector(
      _ name: String, _ check: String, _ comment: String, _ edit: (inout Parts) -> Void
    ) throws -> VectorFile {
      try fault("sparse_" + name, check, comment, body: body(edit), tier: .top64)
    }
    var lone = [Int8](repeating: 0, count: layout.count)
    lone[1] = 9
    return [
      try success("sparse_plain", "The worked example: four entries.", delta, body: body { _ in }),
      try success(
        "sparse_missing", "One entry where three may be, and a block of none.",
        Delta(layout: layout, tier: .top64, exponents: [7, 0], symbols: lone)),
      try vector("exponent_large", "exponent", "Exponent 35.") { $0.exponents[0] = 35 },
      try vector("missing_many", "entry-count", "Four of three entries missing.") {
        $0.missing[0] = 4
      },
      try vector("gap_beyond", "gap", "An entry one past the block's end.") { $0.gaps[2] = 65 },
      try vector("gap_first", "gap", "A first entry past the block's end.") {
        $0.missing = [2, 1]
        $0.gaps = [130]
        $0.values = [(0, 0)]
      },
      try vector("levels_bit", "levels", "The top bit of a level byte.") { $0.levels[0] = 0x8B },
      try vector("levels_unused", "levels", "Levels 14 and 30 where only 30 is used.") {
        $0.levels[1] = 0x6F
      },
      try vector("gaps_filler", "padding", "A filler bit after the gaps.") { $0.gapFiller = 1 },
      try vector("values_short", "stream-end", "The last value is missing.") {
        $0.values.removeAll()
      },
      try vector("blocks_short", "stream-end", "Seven bytes where the blocks need eight.") {
        $0.gaps = []
        $0.values = []
        $0.missing = [0]
        $0.rest = [0]
      },
      try vector("gaps_short", "stream-end", "The stream ends among the gaps.") {
        $0.gaps = [0]
        $0.values = []
      },
      try vector("trailing", "stream-end", "A byte after the values.") {
        $0.missing = [2, 1]
        $0.gaps = [1]
        $0.levels[1] = 0
        $0.exponents[1] = 0
        $0.levels[0] = 0
        $0.values = [(0, 0)]
        $0.rest = [0]
      },
      try vector("zero_block", "zero-block", "No entries, exponent 34.") {
        $0.levels[1] = 0
        $0.missing[1] = 1
        $0.gaps.removeLast()
        $0.values.removeLast()
      },
      try vector("values_filler", "padding", "A filler bit after the values.") {
        $0.levels[1] = 0
        $0.exponents[1] = 0
        $0.missing[1] = 1
        $0.gaps.removeLast()
        $0.values.removeLast()
        $0.valueFiller = 1
      },
      try vector("stream_long", "stream-length", "More decoded bytes than the tier can need.") {
        $0.rest = [UInt8](repeating: 0, count: 100)
      },
    ]
  }
}
