import CKernels
import Determinism

/// Numbers in ±1 that follow from a seed.
func numbers(_ count: Int, seed: UInt64, scale: Float = 1) -> [Float] {
  var generator = SeededGenerator(seed: seed)
  return (0..<count).map { _ in scale * Float(2 * generator.nextUnit() - 1) }
}

/// The nearest bf16, ties to even, by arithmetic on the number itself.
func rounded(_ x: Float) -> Float {
  let low = Float(bitPattern: x.bitPattern & 0xffff_0000)
  let high = Float(bitPattern: (x.bitPattern & 0xffff_0000) &+ 0x1_0000)
  let (below, above) = (abs(Double(x) - Double(low)), abs(Double(high) - Double(x)))
  if below != above { return below < above ? low : high }
  return low.bitPattern & 0x1_0000 == 0 ? low : high
}

/// Rows of `width` numbers spread to their padded distance.
func padRows(_ x: [Float], width: Int) -> [Float] {
  let padding = [Float](repeating: 0, count: hk_padded(width) - width)
  return (0..<x.count / width).flatMap { row -> [Float] in
    Array(x[row * width..<(row + 1) * width]) + padding
  }
}

/// The inverse of `padRows`.
func cutRows(_ x: [Float], width: Int) -> [Float] {
  let wide = hk_padded(width)
  return (0..<x.count / wide).flatMap { row in x[row * wide..<row * wide + width] }
}

/// Largest difference relative to the largest expected value.
func distance(_ found: [Float], _ expected: [Double]) -> Double {
  guard found.count == expected.count else { return .infinity }
  let size = expected.map(abs).max() ?? 0
  let worst = zip(found, expected).map { abs(Double($0) - $1) }.max() ?? 0
  return worst.isNaN ? .infinity : worst / max(size, 1e-30)
}

/// a[m, k] · b[k, n] in double.
func product(_ a: [Float], _ b: [Float], m: Int, n: Int, k: Int) -> [Double] {
  (0..<m * n).map { index in
    (0..<k).reduce(0) { $0 + Double(a[index / n * k + $1]) * Double(b[$1 * n + index % n]) }
  }
}

func transposed(_ x: [Float], rows: Int, columns: Int) -> [Float] {
  (0..<columns).flatMap { column in (0..<rows).map { x[$0 * columns + column] } }
}

/// Runs the body once for every instruction set that this processor has, on this thread only.
func withEveryInstructionSet(_ body: (Int32) throws -> Void) rethrows {
  for isa in 0...hk_isa_best() {
    hk_isa_use(isa)
    defer { hk_isa_use(-1) }
    try body(isa)
  }
}
