import CKernels
import Glibc
import Testing

@Suite struct AttentionTests {
  struct Shape: CustomTestStringConvertible {
    let windows, length, heads, shared, dimension: Int
    /// Positions that a query sees, and the length of the documents in a window; 0: all, one.
    var sight = 0
    var document = 0
    var testDescription: String {
      "\(windows)×\(length), \(heads)/\(shared) heads of \(dimension), sight \(sight), "
        + "documents of \(document)"
    }
    /// For each row the first position of its window that it sees.
    var starts: [Int32]? {
      guard sight > 0 || document > 0 else { return nil }
      return (0..<rows).map { row in
        let position = row % length
        let near = sight > 0 ? position - sight + 1 : 0
        let own = document > 0 ? position / document * document : 0
        return Int32(max(near, own, 0))
      }
    }
    var rows: Int { windows * length }
    var queryWidth: Int { heads * dimension }
    var keyWidth: Int { shared * dimension }
  }

  static let shapes = [
    Shape(windows: 1, length: 1, heads: 1, shared: 1, dimension: 2),
    Shape(windows: 2, length: 9, heads: 4, shared: 2, dimension: 6),
    Shape(windows: 1, length: 57, heads: 3, shared: 1, dimension: 64),
    Shape(windows: 1, length: 130, heads: 2, shared: 2, dimension: 20),
    Shape(windows: 1, length: 40, heads: 1, shared: 1, dimension: 128),
    Shape(windows: 2, length: 9, heads: 4, shared: 2, dimension: 6, sight: 3),
    Shape(windows: 2, length: 130, heads: 2, shared: 1, dimension: 20, sight: 40),
    Shape(windows: 1, length: 150, heads: 1, shared: 1, dimension: 32, sight: 1),
    Shape(windows: 2, length: 140, heads: 2, shared: 1, dimension: 16, document: 33),
    Shape(windows: 1, length: 140, heads: 2, shared: 1, dimension: 16, sight: 20, document: 61),
    Shape(windows: 2, length: 250, heads: 2, shared: 1, dimension: 96),
  ]

  /// Out of plain loops in double: row-major [rows][heads * dimension].
  static func plain(_ s: Shape, _ q: [Double], _ k: [Double], _ v: [Double]) -> [Double] {
    var out = [Double](repeating: 0, count: s.rows * s.queryWidth)
    for row in 0..<s.rows {
      let first = row / s.length * s.length + (s.starts.map { Int($0[row]) } ?? 0)
      for head in 0..<s.heads {
        let own = row * s.queryWidth + head * s.dimension
        let shared = head / (s.heads / s.shared) * s.dimension
        let scores = (first...row).map { other in
          exp(
            (0..<s.dimension).reduce(0) { $0 + q[own + $1] * k[other * s.keyWidth + shared + $1] }
              / Double(s.dimension).squareRoot())
        }
        let total = scores.reduce(0, +)
        for d in 0..<s.dimension {
          for other in first...row {
            out[own + d] += scores[other - first] / total * v[other * s.keyWidth + shared + d]
          }
        }
      }
    }
    return out
  }

  /// Everything a task needs, in padded rows.
  final class Case {
    let shape: Shape
    var (q, k, v, d): ([Float], [Float], [Float], [Float])
    var out, lse, dq, dk, dv, scratch: [Float]
    let starts: UnsafePointer<Int32>?

    init(_ shape: Shape, gradient: Float = 1, rounding: Bool = false) {
      self.shape = shape
      func draw(_ count: Int, _ seed: UInt64, _ scale: Float) -> [Float] {
        let drawn = numbers(count, seed: seed, scale: scale)
        return rounding ? drawn.map(rounded) : drawn
      }
      q = draw(shape.rows * shape.queryWidth, 1, 2)
      k = draw(shape.rows * shape.keyWidth, 2, 2)
      v = draw(shape.rows * shape.keyWidth, 3, 1)
      d = numbers(shape.rows * shape.queryWidth, seed: 4, scale: gradient)
      let wide = [Float](repeating: 0, count: shape.rows * hk_padded(shape.queryWidth))
      (out, dq, dk, dv) = (wide, wide, wide, wide)
      lse = [Float](repeating: 0, count: shape.rows * shape.heads)
      scratch = [Float](
        repeating: .nan, count: hk_attention_floats(shape.length, shape.dimension))
      starts = shape.starts.map { list in
        let copy = UnsafeMutablePointer<Int32>.allocate(capacity: list.count)
        copy.initialize(from: list, count: list.count)
        return UnsafePointer(copy)
      }
    }

    deinit { starts?.deallocate() }

    /// The numbers as `kept` arrays hold them: floats, or bf16.
    private func kept(_ x: [Float], width: Int, bf16: Bool) -> [UInt8] {
      let rows = padRows(x, width: width)
      var bytes = [UInt8](repeating: 0, count: rows.count * (bf16 ? 2 : 4) + 64)
      hk_keep(&bytes, rows + [Float](repeating: 0, count: 16), hk_padded(rows.count), bf16 ? 1 : 0)
      return bytes
    }

    /// Forward, and backward if asked for; bf16 rows are read and written where `bf16` says so.
    func run(backward: Bool, bf16: Bool = false) {
      let s = shape
      let (q, k, v) = (
        kept(q, width: s.queryWidth, bf16: bf16), kept(k, width: s.keyWidth, bf16: bf16),
        kept(v, width: s.keyWidth, bf16: bf16)
      )
      let d = padRows(d, width: s.queryWidth)
      var keptOut = kept(cutRows(out, width: s.queryWidth), width: s.queryWidth, bf16: bf16)
      q.withUnsafeBytes { q in
        k.withUnsafeBytes { k in
          v.withUnsafeBytes { v in
            d.withUnsafeBufferPointer { d in
              keptOut.withUnsafeMutableBytes { out in
                lse.withUnsafeMutableBufferPointer { lse in
                  dq.withUnsafeMutableBufferPointer { dq in
                    dk.withUnsafeMutableBufferPointer { dk in
                      dv.withUnsafeMutableBufferPointer { dv in
                        var attention = hk_attention(
                          length: s.length, heads: s.heads, kv_heads: s.shared,
                          dimension: s.dimension, bf16: bf16 ? 1 : 0,
                          ldq: hk_padded(s.queryWidth), ldk: hk_padded(s.keyWidth),
                          q: q.baseAddress!, k: k.baseAddress!, v: v.baseAddress!,
                          out: out.baseAddress!, starts: starts, lse: lse.baseAddress!,
                          dout: d.baseAddress!,
                          dq: dq.baseAddress!, dk: dk.baseAddress!, dv: dv.baseAddress!)
                        for task in 0..<s.windows * s.heads {
                          if backward {
                            hk_attention_backward(&attention, task, &scratch)
                          } else {
                            hk_attention_forward(&attention, task, &scratch)
                          }
                        }
                      }
                    }
                  }
                }
              }
            }
          }
        }
      }
      hk_recall(&out, keptOut, out.count, bf16 ? 1 : 0)
    }
  }

  /// bf16 rows, by every instruction set, beside plain float32 loops on the same numbers: 11 bits
  /// of probabilities and sums of halves, and bf16 where the output is kept.
  @Test(arguments: shapes)
  func attentionOverRoundedRowsIsThatOverFloats(shape: Shape) {
    for size in [Float(1), 1e-6] {
      withEveryInstructionSet { isa in
        let it = Case(shape, gradient: size, rounding: true)
        it.run(backward: false, bf16: true)
        it.run(backward: true, bf16: true)
        let plain = Case(shape, gradient: size, rounding: true)
        hk_isa_use(Int32(hk_isa_portable))
        plain.run(backward: false)
        plain.run(backward: true)
        for (name, found, wanted) in [
          ("out", it.out, plain.out), ("dq", it.dq, plain.dq), ("dk", it.dk, plain.dk),
          ("dv", it.dv, plain.dv),
        ] {
          let gap = distance(found, wanted.map(Double.init))
          let isNone = wanted.allSatisfy { abs($0) < 1e-5 * size }
          #expect(isNone || gap < 8e-3, "isa \(isa) \(name) of \(size): \(gap)")
        }
        #expect(distance(it.lse, plain.lse.map(Double.init)) < 2e-3, "isa \(isa) lse")
      }
    }
  }

  @Test(arguments: shapes)
  func attentionIsThatOfPlainLoops(shape: Shape) {
    withEveryInstructionSet { isa in
      let it = Case(shape)
      it.run(backward: false)
      let expected = Self.plain(
        shape, it.q.map(Double.init), it.k.map(Double.init), it.v.map(Double.init))
      #expect(distance(cutRows(it.out, width: shape.queryWidth), expected) < 3e-6, "isa \(isa)")
    }
  }

  /// Scores whose exponentials no float holds: only their distance to the largest may count.
  @Test(arguments: [shapes[2], shapes[6]])
  func largeScoresAreTakenFromTheLargest(shape: Shape) {
    withEveryInstructionSet { isa in
      let it = Case(shape)
      for index in it.q.indices { it.q[index] *= 60 }
      it.run(backward: false)
      let expected = Self.plain(
        shape, it.q.map(Double.init), it.k.map(Double.init), it.v.map(Double.init))
      #expect(distance(cutRows(it.out, width: shape.queryWidth), expected) < 2e-3, "isa \(isa)")
    }
  }

  @Test(arguments: shapes)
  func gradientsAgreeWithFiniteDifferences(shape: Shape) {
    let it = Case(shape)
    let inputs = [it.q, it.k, it.v].map { $0.map(Double.init) }
    let d = it.d.map(Double.init)
    func value(_ x: [[Double]]) -> Double {
      zip(Self.plain(shape, x[0], x[1], x[2]), d).reduce(0) { $0 + $1.0 * $1.1 }
    }
    // A few coordinates of each input: the loops are slow.
    var slopes: [[Int: Double]] = [[:], [:], [:]]
    for input in 0..<3 {
      let count = inputs[input].count
      for index in stride(from: count - 1, through: 0, by: -max(1, count / 12)) {
        var (up, down) = (inputs, inputs)
        up[input][index] += 1e-5
        down[input][index] -= 1e-5
        slopes[input][index] = (value(up) - value(down)) / 2e-5
      }
    }
    withEveryInstructionSet { isa in
      let it = Case(shape)
      it.run(backward: false)
      it.run(backward: true)
      let found = [it.dq, it.dk, it.dv].map { cutRows($0, width: shape.queryWidth) }
      for input in 0..<3 {
        for (index, slope) in slopes[input] {
          var sum = 0.0
          if input == 0 {
            sum = Double(found[0][index])
          } else {  // every query head has its own gradient of the shared key or value
            let (row, column) = (index / shape.keyWidth, index % shape.keyWidth)
            let group = shape.heads / shape.shared
            for g in 0..<group {
              let head = column / shape.dimension * group + g
              let at = row * shape.queryWidth + head * shape.dimension + column % shape.dimension
              sum += Double(found[input][at])
            }
          }
          #expect(abs(sum - slope) < 2e-5 * max(1, abs(slope)), "isa \(isa) \(input) \(index)")
        }
      }
    }
  }

  @Test func oneStepIsTheLastRow() {
    let shape = Shape(windows: 1, length: 37, heads: 4, shared: 2, dimension: 10)
    let it = Case(shape)
    let expected = Self.plain(
      shape, it.q.map(Double.init), it.k.map(Double.init), it.v.map(Double.init))
    withEveryInstructionSet { isa in
      var out = [Float](repeating: .nan, count: shape.queryWidth)
      var scores = [Float](repeating: 0, count: 64)
      hk_attention_step(
        4, 2, 10, 37, Array(it.q.suffix(shape.queryWidth)), it.k, it.v, shape.keyWidth, &out,
        &scores)
      #expect(distance(out, Array(expected.suffix(shape.queryWidth))) < 3e-6, "isa \(isa)")
    }
  }
}
