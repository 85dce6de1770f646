import CKernels

/// The kernels of what models of the family do beyond Llama; shapes as `CKernels.h` says.
extension Kernels {
  /// RMSNorm of each of a row's `heads` by itself, in place; the padding is left alone.
  ///
  /// - Parameters:
  ///   - kept: where x̂ goes, laid out like x; `factors`: rstd, `[rows, heads]`.
  package static func headNorm(
    rows: Int, heads: Int, dimension: Int, _ x: UnsafeMutablePointer<Float>, width: Int,
    weight: UnsafePointer<Float>, epsilon: Float, kept: UnsafeMutableRawPointer?,
    as storage: Storage, factors: UnsafeMutablePointer<Float>?
  ) {
    hk_head_norm_forward(
      rows, heads, dimension, x, width, weight, epsilon, kept, storage.flag, factors)
  }

  /// In place: the gradient of the heads after their norm becomes that before it.
  package static func headNormBackward(
    rows: Int, heads: Int, dimension: Int, _ dx: UnsafeMutablePointer<Float>, width: Int,
    weight: UnsafePointer<Float>, kept: UnsafeRawPointer, as storage: Storage,
    factors: UnsafePointer<Float>
  ) {
    hk_head_norm_backward(
      rows, heads, dimension, dx, width, weight, kept, storage.flag, factors)
  }

  /// `act = xIELU(up)`.
  package static func xielu(
    count: Int, _ curve: XIELUCurve, up: UnsafePointer<Float>, to act: UnsafeMutablePointer<Float>
  ) {
    withUnsafePointer(to: curve.kernel) { hk_xielu_forward(count, $0, up, act) }
  }

  /// In place: up becomes its gradient, `dact` becomes act.
  package static func xieluBackward(
    count: Int, _ curve: XIELUCurve, up: UnsafeMutablePointer<Float>,
    dact: UnsafeMutablePointer<Float>
  ) {
    withUnsafePointer(to: curve.kernel) { hk_xielu_backward(count, $0, up, dact) }
  }

  /// `x += y`.
  package static func add(
    count: Int, _ y: UnsafePointer<Float>, to x: UnsafeMutablePointer<Float>
  ) {
    hk_add(count, x, y)
  }

  /// Adds `row[count]` to each of the rows.
  package static func add(
    row: UnsafePointer<Float>, count: Int, toRows rows: Int, _ x: UnsafeMutablePointer<Float>,
    width: Int
  ) {
    hk_add_row(rows, count, row, x, width)
  }
}

/// The constants of one block's xIELU (Huang and Schlag, 2024, arXiv:2411.13010).
package struct XIELUCurve: Sendable {
  let kernel: hk_xielu

  /// α₊ and α₋ of the paper's formula, after their softplus, with beta and epsilon.
  package init(positive: Float, negative: Float, beta: Float, epsilon: Float) {
    kernel = hk_xielu(positive: positive, negative: negative, beta: beta, epsilon: epsilon)
  }
}
