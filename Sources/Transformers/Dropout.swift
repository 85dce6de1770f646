import Tensors

/// Dropout on the input of each LoRA pair, as PEFT's `lora_dropout` has it: every module draws for
/// itself, what stays is divided by 1 − probability, the base sees the whole input.
///
/// What is dropped follows from the key, the module, the window's row and the column, so a step
/// that is made again drops the same.
public struct Dropout: Sendable, Equatable {
  /// The share of inputs that is dropped.
  public let probability: Double
  private let key: UInt64

  /// The dropout of one call: `part` counts the batches of a step.
  public init(probability: Double, seed: UInt64, step: Int, part: Int) {
    precondition((0..<1).contains(probability), "dropout is from 0 up to below 1")
    self.probability = probability
    var key = seed
    for number in [step, part] {
      key = (key ^ UInt64(bitPattern: Int64(number))) &* 0x9E37_79B9_7F4A_7C15
      key ^= key >> 29
    }
    self.key = key
  }

  /// The rule of the module whose A begins at `offset` of the layout's list.
  func rule(offset: Int) -> DropoutRule {
    DropoutRule(
      probability: probability, key: key ^ UInt64(offset) &* 0xD129_0B26_88D5_1A5D)
  }

  /// What the input `column` of a row is multiplied by for a module: 0, or 1 / (1 − probability).
  ///
  /// - Parameters:
  ///   - offset: where the module's A begins in the layout's list.
  ///   - row: window · length + position.
  public func factor(offset: Int, row: Int, column: Int) -> Float {
    var (one, out): (Float, Float) = (1, 0)
    rule(offset: offset).apply(
      rows: 1, columns: 1, firstRow: row, firstColumn: column, &one, width: 0, to: &out, width: 0,
      adding: false)
    return out
  }
}

/// Dropout on a stretch of rows, with the scratch for one masked input.
struct RowDropout {
  let dropout: Dropout
  let firstRow: Int
  let scratch: UnsafeMutablePointer<Float>
}

extension BlockForward {
  /// The pass's dropout on this stretch, if it has one.
  var drop: RowDropout? { pass.drop(rows, slots) }
}

extension BlockBackward {
  /// The same on the way back.
  var drop: RowDropout? { pass.drop(rows, slots) }
}

extension Pass {
  func drop(_ rows: Range<Int>, _ slots: WorkerSlots) -> RowDropout? {
    dropout.map {
      RowDropout(
        dropout: $0, firstRow: firstRow + rows.lowerBound, scratch: arena.floats(slots.masked))
    }
  }
}

extension LowRank {
  // Each member multiplies an input of its own, so the products go member by member.

  /// h (+)= drop(x)·Aᵀ, as `project`.
  func project(
    rows: Int, _ x: UnsafePointer<Float>, width ldx: Int, inputs range: Range<Int>,
    to h: UnsafeMutablePointer<Float>, adding: Bool, dropping drop: RowDropout
  ) {
    let wide = padded(range.count)
    for member in members {
      mask(member, rows: rows, x, width: ldx, inputs: range, drop)
      Kernels.multiply(
        rows, columns, range.count, drop.scratch, (wide, 1),
        arena.floats(turned) + range.lowerBound * width + member.column, width,
        h + member.column, stride, adding: adding)
    }
  }

  /// dx += the gradient through dropout of dh·A, as `reach`.
  func reach(
    rows: Int, _ dh: UnsafePointer<Float>, inputs range: Range<Int>,
    addingTo dx: UnsafeMutablePointer<Float>, width ldx: Int, dropping drop: RowDropout
  ) {
    let wide = padded(range.count)
    for member in members {
      Kernels.multiply(
        rows, range.count, columns, dh + member.column, (stride, 1),
        arena.floats(straight) + member.column * padded(inputs) + range.lowerBound,
        padded(inputs), drop.scratch, wide, adding: false)
      drop.dropout.rule(offset: member.rangeA.lowerBound).apply(
        rows: rows, columns: range.count, firstRow: drop.firstRow,
        firstColumn: range.lowerBound, drop.scratch, width: wide, to: dx, width: ldx, adding: true)
    }
  }

  /// The block's partial gradient of A ← dhᵀ·drop(x), as `collect`.
  func collect(
    rows: Int, dh: UnsafePointer<Float>, _ x: UnsafePointer<Float>, width ldx: Int,
    inputs range: Range<Int>, partials: UnsafeMutablePointer<Float>, dropping drop: RowDropout
  ) {
    for member in members {
      mask(member, rows: rows, x, width: ldx, inputs: range, drop)
      Kernels.multiply(
        columns, range.count, rows, dh + member.column, (1, stride), drop.scratch,
        padded(range.count),
        partials + partial + member.column * padded(inputs) + range.lowerBound, padded(inputs),
        adding: false)
    }
  }

  /// scratch[rows, padded inputs] ← x with a member's dropout.
  private func mask(
    _ member: Member, rows: Int, _ x: UnsafePointer<Float>, width ldx: Int,
    inputs range: Range<Int>, _ drop: RowDropout
  ) {
    let wide = padded(range.count)
    drop.dropout.rule(offset: member.rangeA.lowerBound).apply(
      rows: rows, columns: wide, firstRow: drop.firstRow, firstColumn: range.lowerBound, x,
      width: ldx, to: drop.scratch, width: wide, adding: false)
  }
}
