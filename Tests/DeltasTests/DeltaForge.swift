import Adapters
import Deltas
import Identities

/// Makes the vectors of Protocol/Vectors/Delta. `HANSE_FORGE_VECTORS=1` writes them.
enum DeltaForge {
  /// 133 coordinates in four blocks: A is cut after 128, B has three, and the number is odd.
  static func layout() throws -> AdapterLayout {
    try AdapterLayout(
      rank: 1, alpha: 2, modules: [AdapterModule(path: "q_proj", inputs: 130, outputs: 3)])
  }

  static func plain(_ layout: AdapterLayout) throws -> Delta {
    let symbols = (0..<layout.count).map { Int8($0 * 5 % 15 - 7) }
    return try Delta(layout: layout, exponents: [20, 36, 0], symbols: symbols)
  }

  static func all() throws -> [VectorFile] {
    let vectors =
      try layouts() + good() + header() + frame() + symbols() + sparse()
      + announcements() + blockLists()
    return vectors.sorted { $0.name < $1.name }
  }

  // MARK: Forms

  static func describe(_ layout: AdapterLayout, tier: DeltaTier = .int4) -> [(String, String)] {
    [("rank", "\(layout.rank)"), ("alpha", "\(layout.alpha)")]
      + layout.modules.map { ("module", "\($0.path) \($0.inputs) \($0.outputs)") }
      + [("tier", tier.name)]
  }

  static func success(
    _ name: String, _ comment: String, _ delta: Delta, body: [UInt8]? = nil
  ) throws -> VectorFile {
    VectorFile(
      name,
      [("expect", "success"), ("comment", comment), ("kind", "delta")]
        + describe(delta.layout, tier: delta.tier) + [
          ("symbols-hash", delta.symbolsHash().description),
          ("factor-norms", list(delta.factorNorms())),
          ("exponents", list(delta.exponents)),
          ("symbols", list(delta.symbols)),
        ], body: try body ?? PlainFrame.payload(of: delta))
  }

  static func fault(
    _ name: String, _ check: String, _ comment: String, body: [UInt8],
    layout: AdapterLayout? = nil, tier: DeltaTier = .int4
  ) throws -> VectorFile {
    VectorFile(
      name,
      [("expect", check), ("comment", comment), ("kind", "delta")]
        + describe(try layout ?? self.layout(), tier: tier), body: body)
  }

  static func list(_ values: some Sequence<some BinaryInteger>) -> String {
    values.map { "\($0)" }.joined(separator: " ")
  }

  /// A payload with some bytes of it replaced.
  static func edited(_ bytes: [UInt8], at offset: Int, _ replacement: [UInt8]) -> [UInt8] {
    var bytes = bytes
    bytes.replaceSubrange(offset..<offset + replacement.count, with: replacement)
    return bytes
  }

  // MARK: Layouts

  private static func layouts() -> [VectorFile] {
    func vector(
      _ name: String, _ expect: String, _ comment: String, rank: Int = 2, alpha: Int = 4,
      modules: [(String, Int, Int)] = [("q", 3, 258)]
    ) -> VectorFile {
      let fields =
        [("rank", "\(rank)"), ("alpha", "\(alpha)")]
        + modules.map { ("module", "\($0.0) \($0.1) \($0.2)") }
      let layout = try? AdapterLayout(
        rank: rank, alpha: alpha,
        modules: modules.map { AdapterModule(path: $0.0, inputs: $0.1, outputs: $0.2) })
      return VectorFile(
        name,
        [("expect", expect), ("comment", comment), ("kind", "layout")] + fields
          + (layout.map { [("id", $0.id.description)] } ?? []), body: layout?.encoded() ?? [])
    }
    let side = AdapterLayout.maximumSide
    return [
      vector("layout_one_module", "success", "The worked example."),
      vector(
        "layout_two_modules", "success", "Order is part of the id.",
        modules: [("layers.0.q_proj", 4, 4), ("layers.0.k_proj", 4, 2)]),
      vector("layout_rank_zero", "rank", "Rank 0.", rank: 0),
      vector("layout_rank_large", "rank", "Rank 1025.", rank: 1025),
      vector("layout_alpha_zero", "alpha", "Alpha 0.", alpha: 0),
      vector("layout_no_modules", "module-count", "No modules.", modules: []),
      vector("layout_path_slash", "path", "A path with a slash.", modules: [("a/b", 1, 1)]),
      vector(
        "layout_path_twice", "duplicate-path", "One path twice.",
        modules: [("q", 1, 1), ("q", 1, 1)]),
      vector("layout_inputs_zero", "sides", "No inputs.", modules: [("q", 0, 1)]),
      vector(
        "layout_side_large", "sides", "A side of 2^20 + 1.", modules: [("q", 1, side + 1)]),
      vector(
        "layout_count_large", "count", "2^31 numbers.", rank: 1024, modules: [("q", side, side)]),
    ]
  }

  // MARK: Deltas that are read

  private static func good() throws -> [VectorFile] {
    let small = try AdapterLayout(
      rank: 1, alpha: 1, modules: [AdapterModule(path: "m", inputs: 1, outputs: 1)])
    let layout = try layout()
    let plain = try plain(layout)
    let repeating = try Delta(
      layout: layout, exponents: [20, 20, 20],
      symbols: (0..<layout.count).map { Int8($0 % 3) - 1 })
    return [
      try success(
        "delta_smallest", "The worked example: two coordinates, 3 and -7 times 2^30 units.",
        Delta(layout: small, exponents: [30, 30], symbols: [3, -7])),
      try success("delta_plain", "Every symbol; exponents 20, 36 and 0; a filler nibble.", plain),
      try success(
        "delta_two_modules", "Of both modules A comes first, then of both B.",
        Delta(
          layout: AdapterLayout(
            rank: 1, alpha: 1,
            modules: [
              AdapterModule(path: "q", inputs: 3, outputs: 2),
              AdapterModule(path: "v", inputs: 1, outputs: 3),
            ]), exponents: [1, 2, 3, 4], symbols: [1, 2, 3, -1, -2, 4, 5, 6, 7])),
      try success(
        "delta_zero", "Nothing changed. It reads; as a contribution it is refused.",
        Delta(
          layout: layout, exponents: [0, 0, 0],
          symbols: [Int8](repeating: 0, count: layout.count))),
      try success(
        "delta_extremes", "The largest coordinates there are.",
        Delta(
          layout: layout, exponents: [36, 36, 36],
          symbols: (0..<layout.count).map { $0 % 2 == 0 ? 7 : -7 })),
      try success(
        "delta_compressed", "The frame as zstd 1.5.4 compresses it.", repeating,
        body: withFrame(repeating) { _ in VectorFile.bytes(hex: compressed)! }),
      try success(
        "delta_checksum", "A frame may have a checksum.", plain,
        body: withFrame(plain) { content in
          PlainFrame.magic + [0x24, UInt8(content.count)] + PlainFrame.blocks(content)
            + [0xc7, 0x76, 0x6f, 0x27]
        }),
      try success(
        "delta_int3", "Tier int3: the same nibbles, symbols to 3, exponents to 37.",
        Delta(
          layout: layout, tier: .int3, exponents: [20, 37, 0],
          symbols: (0..<layout.count).map { Int8($0 * 3 % 7 - 3) })),
    ]
  }

  /// The frame of `delta_compressed`, kept because versions of zstd differ.
  private static let compressed = "28b52ffd2046650000301414140ff1100100557245"

  /// A delta's header before a frame of one's own making.
  static func withFrame(_ delta: Delta, _ frame: ([UInt8]) throws -> [UInt8]) throws -> [UInt8] {
    let content = try PlainFrame.stream(of: delta)
    return Array(try PlainFrame.payload(of: delta)[..<56]) + (try frame(content))
  }

  // MARK: Faults of the header

  private static func header() throws -> [VectorFile] {
    let layout = try layout()
    let good = try PlainFrame.payload(of: plain(layout))
    let word = PlainFrame.word
    return [
      try fault("header_empty", "too-short", "No bytes at all.", body: []),
      try fault("header_alone", "too-short", "A header and no frame.", body: Array(good[..<56])),
      try fault("header_magic", "magic", "HANSEDLU.", body: edited(good, at: 7, [0x55])),
      try fault("header_version", "version", "Version 2.", body: edited(good, at: 8, [2])),
      try fault("header_tier", "tier", "Tier int3.", body: edited(good, at: 9, [2])),
      try fault("header_tier_unknown", "tier", "Tier 255.", body: edited(good, at: 9, [255])),
      try fault("header_reserved", "reserved", "Byte 11 is 1.", body: edited(good, at: 11, [1])),
      try fault(
        "header_layout", "layout", "A layout's id with one bit changed.",
        body: edited(good, at: 24, [good[24] ^ 1])),
      try fault(
        "header_coordinates", "coordinate-count", "134 coordinates.",
        body: edited(good, at: 12, word(134, 4))),
      try fault(
        "header_blocks", "block-count", "Two blocks.", body: edited(good, at: 16, word(2, 4))),
      try fault(
        "header_stream_short", "stream-length", "69 decoded bytes.",
        body: edited(good, at: 20, word(69, 4))),
      try fault(
        "header_stream_huge", "stream-length", "Four GiB of decoded bytes.",
        body: edited(good, at: 20, [255, 255, 255, 255])),
      try fault(
        "header_too_long", "too-long", "A thousand bytes after the frame.",
        body: good + [UInt8](repeating: 0, count: 1_000)),
    ]
  }

  // MARK: Faults of the frame

  private static func frame() throws -> [VectorFile] {
    let delta = try plain(layout())
    func vector(
      _ name: String, _ check: String, _ comment: String,
      _ frame: ([UInt8]) throws -> [UInt8]
    ) throws -> VectorFile {
      try fault("frame_" + name, check, comment, body: withFrame(delta, frame))
    }
    let (magic, word, blocks) = (PlainFrame.magic, PlainFrame.word, PlainFrame.blocks)
    let plain = PlainFrame.frame
    return [
      try vector("skippable", "frame-kind", "A skippable frame first.") {
        [0x50, 0x2A, 0x4D, 0x18] + word(4, 4) + [1, 2, 3, 4] + plain($0)
      },
      try vector("legacy", "frame-kind", "The magic of zstd 0.7.") {
        [0x27] + plain($0).dropFirst()
      },
      try vector("header_cut", "frame-header", "The frame ends in its header.") {
        Array(plain($0)[..<6])
      },
      try vector("reserved_bit", "frame-header", "The descriptor's reserved bit is set.") {
        edited(plain($0), at: 4, [0xA8])
      },
      try vector("dictionary", "frame-dictionary", "A dictionary is named.") {
        magic + [0xA1, 7] + word($0.count, 4) + blocks($0)
      },
      try vector("size_missing", "frame-content-size", "No content size; window of 1 KiB.") {
        magic + [0x00, 0x00] + blocks($0)
      },
      try vector("size_other", "frame-content-size", "71 bytes of content announced.") {
        magic + [0xA0] + word($0.count + 1, 4) + blocks($0 + [0])
      },
      try vector("size_huge", "frame-content-size", "2^63 bytes of content announced.") {
        magic + [0xE0] + word(0, 7) + [0x80] + blocks($0)
      },
      try vector("window", "frame-window", "A window of 16 MiB.") {
        magic + [0x80, 14 << 3] + word($0.count, 4) + blocks($0)
      },
      try vector("trailing", "frame-length", "A byte after the frame.") { plain($0) + [0] },
      try vector("twice", "frame-length", "Two frames.") { plain($0) + plain($0) },
      try vector("block_cut", "frame-damaged", "The last byte is missing.") {
        Array(plain($0).dropLast())
      },
      try vector("block_kind", "frame-damaged", "A block of the reserved kind.") {
        edited(plain($0), at: 9, [plain($0)[9] | 6])
      },
      try vector("content_short", "frame-damaged", "One byte less than announced.") {
        magic + [0xA0] + word($0.count, 4) + blocks($0.dropLast())
      },
      try vector("content_long", "frame-damaged", "One byte more than announced.") {
        magic + [0xA0] + word($0.count, 4) + blocks($0 + [0])
      },
      try vector("bomb", "frame-damaged", "A run of 2 MiB where 70 bytes are announced.") {
        magic + [0xA0] + word($0.count, 4) + word(0x1F_FFFF << 3 | 3, 3) + [0]
      },
      try vector("checksum", "frame-damaged", "A wrong checksum.") {
        magic + [0x24, UInt8($0.count)] + blocks($0) + [0, 0, 0, 0]
      },
    ]
  }

  // MARK: Faults of the symbols

  private static func symbols() throws -> [VectorFile] {
    let layout = try layout()
    func vector(
      _ name: String, _ check: String, _ comment: String, tier: DeltaTier = .int4,
      _ edit: (inout [UInt8]) -> Void
    ) throws -> VectorFile {
      let delta =
        tier == .int4
        ? try plain(layout)
        : try Delta(
          layout: layout, tier: tier, exponents: [20, 20, 20],
          symbols: [Int8](repeating: 1, count: layout.count))
      var stream = try PlainFrame.stream(of: delta)
      edit(&stream)
      let head = Array(try PlainFrame.payload(of: delta)[..<56])
      return try fault(
        name, check, comment, body: PlainFrame.payload(head: head, stream: stream), tier: tier)
    }
    return [
      try vector("exponent_large", "exponent", "Exponent 37 of block 1.") { $0[1] = 37 },
      try vector("exponent_negative", "exponent", "Exponent -1 of block 2.") { $0[2] = 255 },
      try vector("symbol_minus_eight", "symbol", "Symbol -8 at coordinate 0.") {
        $0[3] = $0[3] & 0xF0 | 8
      },
      try vector("symbol_last", "symbol", "Symbol -8 at the last coordinate.") { $0[69] = 8 },
      try vector("symbol_filler", "padding", "The filler nibble is 1.") { $0[69] |= 0x10 },
      try vector("symbol_zero_block", "zero-block", "Block 1 is zero with exponent 36.") {
        $0[3 + 64] = 0
      },
      try vector("symbol_int3_four", "symbol", "Symbol 4 in tier int3.", tier: .int3) {
        $0[3] = $0[3] & 0xF0 | 4
      },
      try vector("exponent_int3_large", "exponent", "Exponent 38 in tier int3.", tier: .int3) {
        $0[0] = 38
      },
    ]
  }
}
