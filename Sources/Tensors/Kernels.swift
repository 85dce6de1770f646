import CKernels

/// The C kernels under Swift names: shapes and aliasing are as `CKernels.h` says, one call a line.
package enum Kernels {
  /// `c[m, n] (+)= a·b`; a[i, q] is at `a[i * step.row + q * step.column]`.
  package static func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Float>, _ step: (row: Int, column: Int),
    _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>, _ ldc: Int,
    adding: Bool
  ) {
    hk_multiply(m, n, k, a, step.row, step.column, b, ldb, c, ldc, adding ? 1 : 0)
  }

  /// `out[columns, ldo] ← scale · x[rows, ldx]ᵀ`.
  package static func turn(
    rows: Int, columns: Int, _ x: UnsafePointer<Float>, _ ldx: Int,
    to out: UnsafeMutablePointer<Float>, _ ldo: Int, scale: Float = 1
  ) {
    hk_turn(rows, columns, x, ldx, out, ldo, scale)
  }

  /// Adds scale times the blocks' sum of a partial gradient to `out`, whose steps may transpose it.
  package static func gatherGradient(
    rows: Int, columns: Int, blocks: Int, stride: Int, _ partial: UnsafePointer<Float>, _ ld: Int,
    scale: Float, to out: UnsafeMutablePointer<Float>, _ step: (row: Int, column: Int)
  ) {
    hk_gather_gradient(
      rows, columns, blocks, stride, partial, ld, scale, out, step.row, step.column)
  }

  /// `kept ← x`, rounded as the storage asks.
  package static func keep(
    _ x: UnsafePointer<Float>, count: Int, in kept: UnsafeMutableRawPointer, as storage: Storage
  ) {
    hk_keep(kept, x, count, storage.flag)
  }

  /// `x ← kept`.
  package static func recall(
    _ kept: UnsafeRawPointer, as storage: Storage, count: Int,
    to x: UnsafeMutablePointer<Float>
  ) {
    hk_recall(x, kept, count, storage.flag)
  }

  /// RMSNorm of rows; keeps the unit rows and their factors where they are wanted.
  package static func norm(
    rows: Int, width: Int, _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>,
    epsilon: Float, to y: UnsafeMutablePointer<Float>, kept: UnsafeMutableRawPointer?,
    as storage: Storage, factors: UnsafeMutablePointer<Float>?
  ) {
    hk_norm_forward(rows, width, x, weight, epsilon, y, kept, storage.flag, factors)
  }

  /// The norm's output once more, from the kept unit rows.
  package static func normAgain(
    rows: Int, width: Int, kept: UnsafeRawPointer, as storage: Storage,
    weight: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>
  ) {
    hk_norm_again(rows, width, kept, storage.flag, weight, y)
  }

  /// `dx += ` the gradient through a norm.
  package static func normBackward(
    rows: Int, width: Int, _ dy: UnsafePointer<Float>, weight: UnsafePointer<Float>,
    kept: UnsafeRawPointer, as storage: Storage, factors: UnsafePointer<Float>,
    addingTo dx: UnsafeMutablePointer<Float>
  ) {
    hk_norm_backward(rows, width, dy, weight, kept, storage.flag, factors, dx)
  }

  /// Rotates heads in place; row r is at position (first + r) mod length.
  package static func rotate(
    rows: Int, first: Int, length: Int, heads: Int, dimension: Int,
    _ x: UnsafeMutablePointer<Float>, width: Int, turns: UnsafePointer<Float>,
    inverse: Bool = false
  ) {
    hk_rope(rows, first, length, heads, dimension, x, width, turns, inverse ? 1 : 0)
  }

  /// `act = silu(gate) ⊙ up`.
  package static func swiglu(
    count: Int, gate: UnsafePointer<Float>, up: UnsafePointer<Float>,
    to act: UnsafeMutablePointer<Float>
  ) {
    hk_swiglu_forward(count, gate, up, act)
  }

  /// In place: gate and up become their gradients, `dact` becomes act.
  package static func swigluBackward(
    count: Int, gate: UnsafeMutablePointer<Float>, up: UnsafeMutablePointer<Float>,
    dact: UnsafeMutablePointer<Float>
  ) {
    hk_swiglu_backward(count, gate, up, dact)
  }

  /// `y ← times · y`, `count` floats, a multiple of 16.
  package static func blend(count: Int, _ y: UnsafeMutablePointer<Float>, times: Float) {
    hk_blend(count, y, times, nil, 0)
  }

  /// `y ← times · y + factor · x`.
  package static func blend(
    count: Int, _ y: UnsafeMutablePointer<Float>, times: Float,
    adding x: UnsafePointer<Float>, times factor: Float
  ) {
    hk_blend(count, y, times, x, factor)
  }

  /// Each key/value head's gradient: the sum over the query heads that share it.
  package static func sumGroups(
    rows: Int, heads: Int, keyValueHeads: Int, dimension: Int, _ x: UnsafePointer<Float>,
    width ldx: Int, to out: UnsafeMutablePointer<Float>, width ldo: Int
  ) {
    hk_sum_groups(rows, heads, keyValueHeads, dimension, x, ldx, out, ldo)
  }
}

/// A row's softmax denominator, folded from any number of slices of its logits.
package struct Partition {
  private var partition = hk_partition(maximum: -.infinity, sum: 0)

  package init() {}

  /// Takes `count` more logits in; the slice is padded to a multiple of 16.
  package mutating func fold(_ logits: UnsafePointer<Float>, count: Int) {
    hk_partition_fold(&partition, logits, count)
  }

  /// log Σ exp of all logits so far.
  package var logarithm: Double {
    var copy = partition
    return hk_partition_log(&copy)
  }

  /// Takes `count` more logits in, which become their exponentials over the largest logit so far,
  /// the padding zero.
  ///
  /// - Returns: what sums of earlier exponentials must be multiplied by.
  package mutating func exponentials(
    _ logits: UnsafeMutablePointer<Float>, count: Int
  ) -> Float {
    hk_partition_exponentials(&partition, logits, count)
  }

  /// Σ exp of all logits so far over the largest of them.
  package var total: Float { partition.sum }
}

/// Causal grouped-query attention over kept rows of windows; see `hk_attention`.
package struct CausalAttention {
  private var attention: hk_attention

  /// q and out have rows of padded heads · dimension, k and v of padded keyValueHeads · dimension.
  ///
  /// - Parameter starts: for each row the first position it sees; nil: all from 0.
  package init(
    length: Int, heads: Int, keyValueHeads: Int, dimension: Int, storage: Storage,
    q: UnsafeRawPointer, k: UnsafeRawPointer, v: UnsafeRawPointer,
    out: UnsafeMutableRawPointer, starts: UnsafePointer<Int32>? = nil,
    logSums: UnsafeMutablePointer<Float>
  ) {
    attention = hk_attention(
      length: length, heads: heads, kv_heads: keyValueHeads, dimension: dimension,
      bf16: storage.flag, ldq: padded(heads * dimension), ldk: padded(keyValueHeads * dimension),
      q: q, k: k, v: v, out: out, starts: starts, lse: logSums, dout: nil, dq: nil, dk: nil,
      dv: nil)
  }

  /// The same with gradients, all float rows like q's: that of out in, those of q, k, v out.
  package func backward(
    from dout: UnsafePointer<Float>, to dq: UnsafeMutablePointer<Float>,
    _ dk: UnsafeMutablePointer<Float>, _ dv: UnsafeMutablePointer<Float>
  ) -> CausalAttention {
    var copy = self
    copy.attention.dout = dout
    copy.attention.dq = dq
    copy.attention.dk = dk
    copy.attention.dv = dv
    return copy
  }

  /// Floats of scratch for a task on a window of `length`.
  package static func scratchFloats(length: Int, dimension: Int) -> Int {
    hk_attention_floats(length, dimension)
  }

  /// Out and log sums of one window's head: task = window · heads + head.
  package func forward(task: Int, scratch: UnsafeMutablePointer<Float>) {
    withUnsafePointer(to: attention) { hk_attention_forward($0, task, scratch) }
  }

  /// Gradients of one window's head.
  package func backward(task: Int, scratch: UnsafeMutablePointer<Float>) {
    withUnsafePointer(to: attention) { hk_attention_backward($0, task, scratch) }
  }

  /// One query against `count` cached positions; `scores` is scratch of padded(count) floats.
  package static func step(
    heads: Int, keyValueHeads: Int, dimension: Int, count: Int, _ q: UnsafePointer<Float>,
    keys: UnsafePointer<Float>, values: UnsafePointer<Float>, width: Int,
    to out: UnsafeMutablePointer<Float>, scores: UnsafeMutablePointer<Float>
  ) {
    hk_attention_step(
      heads, keyValueHeads, dimension, count, q, keys, values, width, out, scores)
  }
}
