import CKernels

/// Which elements of a matrix dropout leaves, and what they are multiplied by.
package struct DropoutRule: Sendable {
  private let rule: hk_dropout_rule

  /// - Parameter probability: how many are zeroed, from 0 up to below 1.
  package init(probability: Double, key: UInt64) {
    rule = hk_dropout_rule(
      key: key, threshold: UInt32(probability * 0x1p32), scale: Float(1 / (1 - probability)))
  }

  /// `out (+)= ` x with dropout, for the rows and columns that begin at the given ones.
  package func apply(
    rows: Int, columns: Int, firstRow: Int, firstColumn: Int, _ x: UnsafePointer<Float>,
    width ldx: Int, to out: UnsafeMutablePointer<Float>, width ldo: Int, adding: Bool
  ) {
    withUnsafePointer(to: rule) {
      hk_dropout(
        $0, rows, columns, firstRow, firstColumn, x, ldx, out, ldo, adding ? 1 : 0)
    }
  }
}
