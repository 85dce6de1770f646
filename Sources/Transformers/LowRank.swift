import Adapters
import Tensors

/// The LoRA factors of linear layers that share an input: q, k, v; or gate, up; or one alone.
///
/// With H = X·Aᵀ for all members at once (`width` columns), a member's output gains H·(s·B)ᵀ. Each
/// factor lies in memory in both orientations, so that every product reads it row by row.
final class LowRank {
  /// A member's place: its layer, the columns of H that are its, and where its numbers sit.
  struct Member {
    let layer: LinearLayer
    let outputs: Int
    let column: Int
    let rangeA: Range<Int>
    let rangeB: Range<Int>
    /// s·B transposed, `[rank, padded outputs]`.
    let across: Slot
    /// s·B, `[outputs, padded rank]`.
    let down: Slot
    /// In a block's partial gradients: the transposed gradient of B, `[rank, padded outputs]`.
    let partial: Int
    /// s·B in the form of the frozen weights, where that is the faster one.
    let packed: FrozenMatrix?
  }

  let inputs: Int
  let rank: Int
  /// Rank as columns of H: the next multiple of 16.
  let columns: Int
  /// Columns of H.
  let width: Int
  /// Floats from one row of H to the next: products may write 32 columns where a member has 16.
  let stride: Int
  let members: [Member]
  /// In a block's partial gradients: the gradient of all A, `[width, padded inputs]`.
  let partial: Int

  let arena: Arena
  /// All A transposed, `[inputs, width]`.
  let turned: Slot
  /// All A, `[width, padded inputs]`.
  let straight: Slot
  /// All A in the form of the frozen weights, where that is the faster one.
  private let packed: FrozenMatrix?
  /// Whether the packed forms hold the factors: numbers too large for them are possible.
  private var isPacked = false

  /// `places` are the members' layers with the ranges of their factors; `partials` counts the
  /// floats of a block's partial gradients.
  init?(
    places: [(layer: LinearLayer, a: Range<Int>, b: Range<Int>)],
    configuration: DecoderConfiguration, rank: Int, storage: Storage,
    form: WeightForm, partials: inout Int
  ) {
    guard let first = places.first else { return nil }
    self.rank = rank
    inputs = configuration.shape(of: first.layer).inputs
    columns = (rank + 15) / 16 * 16
    width = columns * places.count
    stride = padded(width - columns + padded(columns))
    let isFaster = FrozenMatrix.isFaster(as: storage, form: form)
    packed =
      isFaster ? FrozenMatrix(rows: width, columns: inputs, storage: storage, beside: form) : nil
    partial = partials
    partials += width * padded(inputs)
    var layout = ArenaLayout()
    turned = layout.floats(inputs * width)
    straight = layout.floats(width * padded(inputs))
    var members: [Member] = []
    for place in places {
      let outputs = configuration.shape(of: place.layer).outputs
      members.append(
        Member(
          layer: place.layer, outputs: outputs, column: members.count * columns,
          rangeA: place.a, rangeB: place.b, across: layout.floats(columns * padded(outputs)),
          down: layout.floats(outputs * columns), partial: partials,
          packed: isFaster
            ? FrozenMatrix(rows: outputs, columns: columns, storage: storage, beside: form)
            : nil))
      partials += columns * padded(outputs)
    }
    self.members = members
    arena = Arena(layout)
  }

  /// Copies the factors out of the flat list, B times `scale`.
  func fill(from values: UnsafePointer<Float>, scale: Float) {
    for member in members {
      let a = values + member.rangeA.lowerBound
      Kernels.turn(
        rows: rank, columns: inputs, a, inputs, to: arena.floats(turned) + member.column, width)
      let row = arena.floats(straight) + member.column * padded(inputs)
      for index in 0..<rank {
        (row + index * padded(inputs)).update(from: a + index * inputs, count: inputs)
      }
      let b = values + member.rangeB.lowerBound
      let across = arena.floats(member.across)
      Kernels.turn(
        rows: member.outputs, columns: rank, b, rank, to: across, padded(member.outputs),
        scale: scale)
      let down = arena.floats(member.down)
      Kernels.turn(
        rows: rank, columns: member.outputs, across, padded(member.outputs), to: down, columns)
    }
    isPacked =
      packed?.pack(arena.floats(straight), width: padded(inputs)) == true
      && members.allSatisfy { $0.packed!.pack(arena.floats($0.down), width: columns) }
  }

  /// All A as they are to be multiplied beside frozen weights; nil: as floats.
  var factors: FrozenMatrix? { isPacked ? packed : nil }

  /// Bytes of the packed forms.
  var packedBytes: Int {
    members.reduce(packed?.bytes ?? 0) { $0 + ($1.packed?.bytes ?? 0) }
  }

  /// Rows as an operand, and the scratch that a product of it needs.
  struct Work {
    let operand: Operand
    let panel: UnsafeMutablePointer<Float>
  }

  /// Scratch for the operands of H or dH, `operandFloats`, and for their products.
  struct Room {
    let operands, panel: UnsafeMutablePointer<Float>
  }

  /// Floats of scratch for the operands of H or dH.
  func operandFloats(rows: Int) -> Int {
    max(
      members.count * Operand.floats(rows: rows, depth: columns),
      Operand.floats(rows: rows, depth: width))
  }

  /// H of each member as the operand of `expand`; none where the factors are floats.
  func operands(
    rows: Int, _ h: UnsafePointer<Float>, _ room: Room
  ) -> [Work?] {
    guard isPacked else { return members.map { _ in nil } }
    let floats = Operand.floats(rows: rows, depth: columns)
    return members.enumerated().map { index, member in
      Work(
        operand: Operand(
          rows: rows, depth: columns, h + member.column, width: stride, for: member.packed!,
          scratch: room.operands + index * floats),
        panel: room.panel)
    }
  }

  /// dH of all members as the operand of `reach`; nil where the factors are floats.
  func operand(
    rows: Int, _ dh: UnsafePointer<Float>, _ room: Room
  ) -> Work? {
    factors.map {
      Work(
        operand: Operand(
          rows: rows, depth: width, dh, width: stride, for: $0, scratch: room.operands),
        panel: room.panel)
    }
  }

  /// The member of a layer, if it has factors.
  func member(_ layer: LinearLayer) -> Member? { members.first { $0.layer == layer } }

  // MARK: Forward

  /// h (+)= x·Aᵀ over a range of inputs; x points at the range's first column, and `operand` is
  /// the same in the form of ``factors``, if there is one.
  func project(
    rows: Int, _ x: UnsafePointer<Float>, width ldx: Int, _ operand: Work? = nil,
    inputs range: Range<Int>? = nil, to h: UnsafeMutablePointer<Float>, adding: Bool = false,
    drop: RowDropout? = nil
  ) {
    let range = range ?? 0..<inputs
    if let drop {
      project(rows: rows, x, width: ldx, inputs: range, to: h, adding: adding, dropping: drop)
      return
    }
    if let factors, let operand {
      factors.forward(
        rows: rows, operand.operand, inputs: range, to: h, width: stride, adding: adding,
        panel: operand.panel)
      return
    }
    Kernels.multiply(
      rows, width, range.count, x, (ldx, 1), arena.floats(turned) + range.lowerBound * width,
      width, h, stride, adding: adding)
  }

  /// y += h·(s·B)ᵀ over a range of outputs; y points at the range's first column, and `operand` is
  /// the member's h in the form of its packed factor, if there is one.
  func expand(
    _ member: Member, rows: Int, _ h: UnsafePointer<Float>, _ operand: Work? = nil,
    outputs range: Range<Int>? = nil, addingTo y: UnsafeMutablePointer<Float>, width ldy: Int
  ) {
    let range = range ?? 0..<member.outputs
    if isPacked, let packed = member.packed, let operand {
      packed.forward(
        rows: rows, operand.operand, outputs: range, to: y, width: ldy, adding: true,
        panel: operand.panel)
      return
    }
    Kernels.multiply(
      rows, range.count, rank, h + member.column, (stride, 1),
      arena.floats(member.across) + range.lowerBound, padded(member.outputs), y, ldy,
      adding: true)
  }

  // MARK: Backward

  /// dh (+)= dy·(s·B), and the block's partial gradient of B ← dy, over a range of outputs; `work`
  /// is dy in the form of ``factors``. Members come in their order: the columns behind a member's
  /// own may be written, and its successor writes them anew.
  func contract(
    _ member: Member, rows: Int, _ dy: UnsafePointer<Float>, width ldy: Int, _ work: Work,
    h: UnsafePointer<Float>, outputs range: Range<Int>? = nil,
    to dh: UnsafeMutablePointer<Float>, adding: Bool = false,
    partials: UnsafeMutablePointer<Float>
  ) {
    let range = range ?? 0..<member.outputs
    if isPacked, let packed = member.packed {
      packed.backward(
        rows: rows, work.operand, outputs: range, to: dh + member.column, width: stride,
        adding: adding, panel: work.panel)
    } else {
      Kernels.multiply(
        rows, columns, range.count, dy, (ldy, 1),
        arena.floats(member.down) + range.lowerBound * columns, columns, dh + member.column,
        stride, adding: adding)
    }
    Kernels.multiply(
      rank, range.count, rows, h + member.column, (1, stride), dy, ldy,
      partials + member.partial + range.lowerBound, padded(member.outputs), adding: false)
  }

  /// dx += dh·A over a range of inputs; dx points at the range's first column, and `work` is dh in
  /// the form of ``factors``, if there is one.
  func reach(
    rows: Int, _ dh: UnsafePointer<Float>, _ work: Work?, inputs range: Range<Int>? = nil,
    addingTo dx: UnsafeMutablePointer<Float>, width ldx: Int, drop: RowDropout? = nil
  ) {
    let range = range ?? 0..<inputs
    if let drop {
      reach(rows: rows, dh, inputs: range, addingTo: dx, width: ldx, dropping: drop)
      return
    }
    if let factors, let work {
      factors.backward(
        rows: rows, work.operand, inputs: range, to: dx, width: ldx, adding: true,
        panel: work.panel)
      return
    }
    Kernels.multiply(
      rows, range.count, width, dh, (stride, 1), arena.floats(straight) + range.lowerBound,
      padded(inputs), dx, ldx, adding: true)
  }

  /// The block's partial gradient of A ← dhᵀ·x over a range of inputs.
  func collect(
    rows: Int, dh: UnsafePointer<Float>, _ x: UnsafePointer<Float>, width ldx: Int,
    inputs range: Range<Int>? = nil, partials: UnsafeMutablePointer<Float>,
    drop: RowDropout? = nil
  ) {
    let range = range ?? 0..<inputs
    if let drop {
      collect(
        rows: rows, dh: dh, x, width: ldx, inputs: range, partials: partials, dropping: drop)
      return
    }
    Kernels.multiply(
      width, range.count, rows, dh, (1, stride), x, ldx, partials + partial + range.lowerBound,
      padded(inputs), adding: false)
  }

  /// Adds the blocks' partial gradients, in their order, to the flat gradient.
  func reduce(
    partials: UnsafePointer<Float>, stride: Int, blocks: Int, scale: Float,
    into gradient: UnsafeMutablePointer<Float>
  ) {
    for member in members {
      Kernels.gatherGradient(
        rows: rank, columns: inputs, blocks: blocks, stride: stride,
        partials + partial + member.column * padded(inputs), padded(inputs), scale: 1,
        to: gradient + member.rangeA.lowerBound, (inputs, 1))
      Kernels.gatherGradient(
        rows: rank, columns: member.outputs, blocks: blocks, stride: stride,
        partials + member.partial, padded(member.outputs), scale: scale,
        to: gradient + member.rangeB.lowerBound, (1, rank))
    }
  }
}
