import CKernels

/// A weight `[rows, columns]` that never changes, packed once for products from both sides.
public final class FrozenMatrix {
  /// Outputs of the layer.
  public let rows: Int
  /// Inputs of the layer.
  public let columns: Int
  private let arena: Arena
  private let slot: Slot
  // Behind a pointer: threads read it at once, and passing `&` would count as writing.
  private let matrix: UnsafeMutablePointer<hk_matrix>

  /// Packs `values`, row-major.
  ///
  /// - Parameter form: blocks of few bits are for rows of whole blocks of 32: others stay whole.
  public init(
    _ values: UnsafeBufferPointer<Float>, rows: Int, columns: Int, storage: Storage,
    form: WeightForm = .full
  ) {
    precondition(values.count == rows * columns, "a matrix needs rows × columns values")
    self.rows = rows
    self.columns = columns
    let (start, count) = (values.baseAddress!, values.count)
    let isWhole = !form.fits(columns)
    let work =
      isWhole ? hk_pack_type(start, count, storage.flag) : hk_work_type(start, count, storage.flag)
    let type = isWhole ? work : form.type
    (arena, slot, matrix) = Self.room(rows: rows, columns: columns, type: type, work: work)
    hk_pack(arena.bytes(slot), values.baseAddress!, columns, rows, columns, type)
  }

  /// Zeros, until ``pack(_:width:)`` brings other values: the factors of an adapter lie in the
  /// form of the frozen weights beside which they work, and change with every step.
  package init(rows: Int, columns: Int, storage: Storage, beside form: WeightForm) {
    self.rows = rows
    self.columns = columns
    let type = Self.work(storage: storage, form: form)
    (arena, slot, matrix) = Self.room(rows: rows, columns: columns, type: type, work: type)
    matrix.pointee.low_rank = 1
  }

  private static func room(
    rows: Int, columns: Int, type: Int32, work: Int32
  ) -> (Arena, Slot, UnsafeMutablePointer<hk_matrix>) {
    var layout = ArenaLayout()
    let slot = layout.bytes(hk_packed_bytes(rows, columns, type))
    let arena = Arena(layout)
    let matrix = UnsafeMutablePointer<hk_matrix>.allocate(capacity: 1)
    matrix.initialize(
      to: hk_matrix(
        tiles: UnsafeRawPointer(arena.bytes(slot)), rows: rows, columns: columns, type: type,
        work: work, low_rank: 0))
    return (arena, slot, matrix)
  }

  /// The form that a weight is multiplied in, if no value forces another on it.
  private static func work(storage: Storage, form: WeightForm) -> Int32 {
    var nothing: Float = 0
    return form == .full
      ? hk_pack_type(&nothing, 0, storage.flag) : hk_work_type(&nothing, 0, storage.flag)
  }

  /// Whether weights are multiplied in a form that is faster than floats.
  package static func isFaster(as storage: Storage, form: WeightForm) -> Bool {
    let type = work(storage: storage, form: form)
    return type == hk_f16 || type == hk_dot || type == hk_amx
  }

  /// Packs other values, rows `width` apart, over those that were.
  ///
  /// - Returns: false, and nothing is changed, if they do not fit this matrix's form.
  package func pack(_ values: UnsafePointer<Float>, width: Int) -> Bool {
    let type = matrix.pointee.type
    if type == hk_f16 {
      for row in 0..<rows where hk_pack_type(values + row * width, columns, 1) != hk_f16 {
        return false
      }
    }
    hk_pack(arena.bytes(slot), values, width, rows, columns, type)
    return true
  }

  deinit { matrix.deallocate() }

  /// The form in which its products read operands.
  package var work: Int32 { matrix.pointee.work }

  /// Bytes that a weight of this shape takes, if no value forces another form on it.
  public static func bytes(
    rows: Int, columns: Int, storage: Storage, form: WeightForm = .full
  ) -> Int {
    hk_packed_bytes(
      rows, columns, form.fits(columns) ? form.type : work(storage: storage, form: .full))
  }

  /// Bytes the packed weight takes.
  public var bytes: Int { arena.bytes }

  /// Writes row `index` to `out`, `padded(columns)` floats.
  public func readRow(_ index: Int, into out: UnsafeMutablePointer<Float>) {
    hk_unpack_row(matrix, index, out)
  }

  /// `c[m, outputs] (+)= a[m, inputs] · w[outputs, inputs]ᵀ`.
  ///
  /// `a` begins at column `inputs.lowerBound`, `c` points at its first of `outputs`; both ranges
  /// begin at multiples of 32. `panel` is scratch of `FrozenMatrix.panelFloats`.
  package func forward(
    rows m: Int, _ a: Operand, inputs: Range<Int>? = nil, outputs: Range<Int>? = nil,
    to c: UnsafeMutablePointer<Float>, width ldc: Int, adding: Bool,
    panel: UnsafeMutablePointer<Float>
  ) {
    let outputs = outputs ?? 0..<rows
    let inputs = inputs ?? 0..<columns
    withUnsafePointer(to: a.operand) { a in
      hk_frozen_forward(
        matrix, m, outputs.lowerBound, outputs.upperBound, inputs.lowerBound, inputs.upperBound,
        a, c, ldc, adding ? 1 : 0, panel)
    }
  }

  /// `c[m, inputs] (+)= a[m, outputs] · w[outputs, inputs]`: the gradient's way back.
  ///
  /// `a` begins at column `outputs.lowerBound`, `c` points at its first of `inputs`.
  package func backward(
    rows m: Int, _ a: Operand, outputs: Range<Int>? = nil, inputs: Range<Int>? = nil,
    to c: UnsafeMutablePointer<Float>, width ldc: Int, adding: Bool,
    panel: UnsafeMutablePointer<Float>
  ) {
    let outputs = outputs ?? 0..<rows
    let inputs = inputs ?? 0..<columns
    withUnsafePointer(to: a.operand) { a in
      hk_frozen_backward(
        matrix, m, outputs.lowerBound, outputs.upperBound, inputs.lowerBound, inputs.upperBound,
        a, c, ldc, adding ? 1 : 0, panel)
    }
  }

  /// Floats of scratch that a product needs.
  package static let panelFloats = Int(hk_panel_floats)
}

/// Rows of activations, prepared once for all the products that read them.
package struct Operand {
  let operand: hk_operand

  /// Rows `[rows, depth]`, `width` apart, for the given weights; `a` must stay as it is meanwhile.
  ///
  /// - Parameter scratch: `Operand.floats(rows:depth:)` floats.
  package init(
    rows: Int, depth: Int, _ a: UnsafePointer<Float>, width: Int, for weights: FrozenMatrix...,
    and factors: FrozenMatrix? = nil, scratch: UnsafeMutablePointer<Float>
  ) {
    // Weights of one layer may differ in type only between f16 and bf16. Bf16 in pairs, where the
    // processor has both, and f16 need operands of their own; else bf16 reads the floats as they
    // are.
    let type = max(weights.map(\.work).max() ?? 0, factors?.work ?? 0)
    operand = hk_prepare(type, rows, depth, a, width, scratch)
  }

  /// Floats of scratch for an operand.
  package static func floats(rows: Int, depth: Int) -> Int { hk_operand_floats(rows, depth) }
}
