import Tensors

/// What a pass over a batch of windows is for, and so what it must keep.
enum Purpose: Sendable {
  /// Only the losses: every decoder block reuses the same few arrays.
  case loss
  /// Losses and gradients: each block's activations stay until the way back.
  case gradient
}

/// The activations of one decoder block that outlive the work on a stretch of rows.
struct LayerSlots {
  /// The norms of the attention and of the feed-forward block.
  let attentionNorm, feedForwardNorm: NormSlots
  /// The norms of queries and keys, where there are any to go back through.
  let queryNorm, keyNorm: HeadNormSlots?
  let q, k, v, attended, logSums: Slot
  let gate, up: Slot?
  /// H of the LoRA groups.
  let hAttention, hOutput, hFeedForward, hDown: Slot?

  init(
    shape: DecoderConfiguration, tokens: Int, storage: Storage, purpose: Purpose,
    widths: [Int], layout: inout ArenaLayout
  ) {
    let whole = purpose == .gradient
    func kept(_ width: Int) -> Slot { layout.kept(tokens * padded(width), as: storage) }
    func h(_ index: Int) -> Slot? {
      whole && widths[index] > 0 ? layout.floats(tokens * widths[index]) : nil
    }
    attentionNorm = NormSlots(
      shape: shape, tokens: tokens, storage: storage, purpose: purpose, layout: &layout)
    feedForwardNorm = NormSlots(
      shape: shape, tokens: tokens, storage: storage, purpose: purpose, layout: &layout)
    queryNorm = HeadNormSlots(
      .query, shape: shape, tokens: tokens, storage: storage, purpose: purpose, layout: &layout)
    keyNorm = HeadNormSlots(
      .key, shape: shape, tokens: tokens, storage: storage, purpose: purpose, layout: &layout)
    q = kept(shape.queryWidth)
    k = kept(shape.keyValueWidth)
    v = kept(shape.keyValueWidth)
    attended = kept(shape.queryWidth)
    logSums = layout.floats(tokens * shape.heads)
    gate = whole && shape.activation.isGated ? kept(shape.intermediate) : nil
    up = whole ? kept(shape.intermediate) : nil
    hAttention = h(0)
    hOutput = h(1)
    hFeedForward = h(2)
    hDown = h(3)
  }
}

/// Scratch of one worker: what a stretch of rows needs while it is worked on.
struct WorkerSlots {
  let panel, wideA, wideB, query, key, value, gate, up, act, h, dh, attention: Slot
  /// Operands of products: one that serves many, and one for the moment.
  let operandA, operandB: Slot
  /// The same of H or dH.
  let operandH: Slot
  /// An input with dropout.
  let masked: Slot
}

/// Where everything lies that a pass over up to `capacity` windows of `length` tokens needs.
class PassPlan {
  /// Columns of the feed-forward block that are worked on at once, so that they stay in cache.
  static let feedForwardStrip = 256
  /// Columns of the vocabulary whose logits exist at once.
  static let headStrip = feedForwardStrip
  /// Rows that one task takes through a block: enough to make unpacking a weight cheap, few
  /// enough for the second-level cache.
  static let mostRows = 128

  let capacity: Int
  let length: Int
  let purpose: Purpose
  let storage: Storage
  let shape: DecoderConfiguration
  /// Whether the way back computes each block's activations again, from the block's input.
  let recomputes: Bool
  let layout: ArenaLayout
  /// The slots of each decoder block; when activations are computed again, every other block
  /// shares them, for the way back works on two at a time.
  let layers: [LayerSlots]
  /// When activations are computed again: the residual stream before each block.
  let inputs: [Slot]
  let workers: [WorkerSlots]
  /// The residual stream, its gradient, the last norm's output with what its way back needs.
  let x, dx, last, lastUnit, lastFactors: Slot
  /// Gradients around the attention, rows like q's.
  let dattended, dq, dk, dv: Slot
  /// Partial gradients, one stretch for each task.
  let partials: Slot
  let partialFloats: Int
  /// Whether there is room for inputs with dropout.
  let dropsOut: Bool

  init(
    shape: DecoderConfiguration, capacity: Int, length: Int, purpose: Purpose, storage: Storage,
    adapter: ModelAdapter?, recomputes: Bool, dropsOut: Bool = false
  ) {
    self.shape = shape
    self.dropsOut = dropsOut
    self.capacity = capacity
    self.length = length
    self.purpose = purpose
    self.storage = storage
    let tokens = capacity * length
    let blocks = Self.stretches(of: tokens, most: Self.mostRows)
    self.recomputes = recomputes && purpose == .gradient
    var layout = ArenaLayout()
    let whole = purpose == .gradient
    let shared = whole ? recomputes ? 2 : shape.layers : 1
    // A shared set has room for the widest of the blocks' factors.
    let sets = (0..<min(shared, shape.layers)).map { index in
      let blocks = shared == shape.layers ? [index] : Array(0..<shape.layers)
      let groups = blocks.compactMap { adapter?.layers[$0] }
      func widest(_ group: KeyPath<LayerAdapter, LowRank?>) -> Int {
        groups.compactMap { $0[keyPath: group]?.stride }.max() ?? 0
      }
      return LayerSlots(
        shape: shape, tokens: tokens, storage: storage, purpose: purpose,
        widths: [widest(\.attention), widest(\.output), widest(\.feedForward), widest(\.down)],
        layout: &layout)
    }
    layers = (0..<shape.layers).map { sets[$0 % sets.count] }
    let wide = tokens * padded(shape.hidden)
    let query = tokens * padded(shape.queryWidth)
    inputs = self.recomputes ? (0..<shape.layers).map { _ in layout.floats(wide) } : []
    x = layout.floats(wide)
    last = layout.floats(wide)
    dx = layout.floats(whole ? wide : 0)
    lastUnit = layout.kept(whole ? wide : 0, as: storage)
    lastFactors = layout.floats(whole ? tokens : 0)
    dattended = layout.floats(whole ? query : 0)
    dq = layout.floats(whole ? query : 0)
    dk = layout.floats(whole ? query : 0)
    dv = layout.floats(whole ? query : 0)
    partialFloats = whole ? adapter?.partialFloats ?? 0 : 0
    partials = layout.floats(partialFloats * blocks.count)
    let rows = min(tokens, Self.mostRows)
    let groups = adapter?.layers.compactMap { $0 }.flatMap(\.groups) ?? []
    workers = (0..<Workers.count).map { _ in
      Self.scratch(
        shape, rows: rows, length: length, groups: groups, dropsOut: dropsOut, &layout)
    }
    self.layout = layout
  }

  private static func scratch(
    _ shape: DecoderConfiguration, rows: Int, length: Int, groups: [LowRank], dropsOut: Bool,
    _ layout: inout ArenaLayout
  ) -> WorkerSlots {
    let strip = rows * feedForwardStrip
    let lowRank = rows * (groups.map(\.stride).max() ?? 0)
    return WorkerSlots(
      panel: layout.floats(FrozenMatrix.panelFloats),
      wideA: layout.floats(rows * padded(shape.hidden)),
      wideB: layout.floats(rows * padded(shape.hidden)),
      query: layout.floats(rows * padded(shape.queryWidth)),
      key: layout.floats(rows * padded(shape.keyValueWidth)),
      value: layout.floats(rows * padded(shape.keyValueWidth)),
      gate: layout.floats(strip), up: layout.floats(strip), act: layout.floats(strip),
      h: layout.floats(lowRank), dh: layout.floats(lowRank),
      attention: layout.floats(
        CausalAttention.scratchFloats(length: length, dimension: shape.headDimension)),
      operandA: layout.floats(
        Operand.floats(rows: rows, depth: max(shape.hidden, shape.queryWidth))),
      operandB: layout.floats(
        Operand.floats(
          rows: rows, depth: max(shape.queryWidth, shape.keyValueWidth, feedForwardStrip))),
      operandH: layout.floats(groups.map { $0.operandFloats(rows: rows) }.max() ?? 0),
      masked: layout.floats(
        dropsOut ? rows * padded(max(shape.hidden, shape.queryWidth, feedForwardStrip)) : 0))
  }

  /// About equal stretches of `0..<total` of at most `most`; at least four if there is work for
  /// them, so that a core that others use too does not hold up the rest.
  fileprivate static func stretches(of total: Int, most: Int) -> [Range<Int>] {
    let count = max((total + most - 1) / most, min(4, (total + 27) / 28))
    return (0..<count).map { $0 * total / count..<($0 + 1) * total / count }
  }

  /// The strips of the feed-forward block's columns, in order.
  var strips: [Range<Int>] {
    stride(from: 0, to: shape.intermediate, by: Self.feedForwardStrip).map {
      $0..<min($0 + Self.feedForwardStrip, shape.intermediate)
    }
  }
}

/// The memory of a pass, used again and again.
final class Pass: PassPlan {
  private(set) var arena: Arena
  let rotation: RotationTable
  let sight: Sight
  /// Windows of the pass that is under way.
  private(set) var windows: Int
  /// Its stretches of rows, one a task.
  private(set) var blocks: [Range<Int>]
  /// The dropout of the pass that is under way, and the row of the whole batch it begins with.
  var dropout: Dropout?
  var firstRow = 0

  override init(
    shape: DecoderConfiguration, capacity: Int, length: Int, purpose: Purpose, storage: Storage,
    adapter: ModelAdapter?, recomputes: Bool, dropsOut: Bool = false
  ) {
    arena = Arena(ArenaLayout())
    rotation = RotationTable(length: length, configuration: shape)
    sight = Sight(shape: shape, tokens: capacity * length, length: length)
    windows = capacity
    blocks = []
    super.init(
      shape: shape, capacity: capacity, length: length, purpose: purpose, storage: storage,
      adapter: adapter, recomputes: recomputes, dropsOut: dropsOut)
    begin(windows: capacity)
    arena = Arena(layout)
  }

  /// Prepares for `windows` windows, at most `capacity`.
  func begin(windows: Int) {
    precondition(windows <= capacity)
    self.windows = windows
    blocks = Self.stretches(of: windows * length, most: Self.mostRows)
    sight.begin(documents: nil)
  }

  /// Where a task's strip of gate or up is kept: a task's strips follow one another, each
  /// `[rows, padded strip]`.
  func stripStart(_ slot: Slot, rows: Range<Int>, strip: Range<Int>) -> UnsafeMutableRawPointer {
    let before = rows.lowerBound * padded(shape.intermediate) + rows.count * strip.lowerBound
    return arena.bytes(slot) + before * storage.elementBytes
  }

  /// First kept element of a row.
  func row(_ slot: Slot, _ index: Int, _ width: Int) -> UnsafeMutableRawPointer {
    arena.bytes(slot) + index * padded(width) * storage.elementBytes
  }

  /// First float of a row of `stride` floats.
  func floats(_ slot: Slot, _ index: Int, _ stride: Int) -> UnsafeMutablePointer<Float> {
    arena.floats(slot) + index * stride
  }
}
