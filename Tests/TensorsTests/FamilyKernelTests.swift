import CKernels
import Glibc
import Testing

/// The kernels of what models of the family do beyond Llama.
@Suite struct FamilyKernelTests {
  @Test(arguments: [(1, 1, 3), (3, 4, 6), (5, 2, 64), (2, 3, 20), (2, 1, 70)])
  func headNormIsThatOfPlainLoops(rows: Int, heads: Int, dimension: Int) {
    let width = heads * dimension
    let wide = hk_padded(width)
    let x = numbers(rows * width, seed: 2, scale: 5)
    let weight = numbers(dimension, seed: 3)
    let dy = numbers(rows * width, seed: 4)
    func norm(_ x: [Double], _ index: Int) -> Double {
      let head = index / dimension * dimension
      let mean = (head..<head + dimension).reduce(0) { $0 + x[$1] * x[$1] } / Double(dimension)
      return x[index] / (mean + 1e-5).squareRoot() * Double(weight[index % dimension])
    }
    let exact = x.map(Double.init)
    let expected = exact.indices.map { norm(exact, $0) }
    let slopes = exact.indices.map { index -> Double in
      let head = index / dimension * dimension..<(index / dimension + 1) * dimension
      func value(_ shift: Double) -> Double {
        var moved = exact
        moved[index] += shift
        return head.reduce(0) { $0 + norm(moved, $1) * Double(dy[$1]) }
      }
      return (value(1e-4) - value(-1e-4)) / 2e-4
    }
    withEveryInstructionSet { isa in
      for bf16 in [0, 1] as [Int32] {
        var y = padRows(x, width: width)
        var kept = [Float](repeating: 0, count: rows * wide)
        var factors = [Float](repeating: 0, count: rows * heads)
        hk_head_norm_forward(
          rows, heads, dimension, &y, wide, weight, 1e-5, &kept, bf16, &factors)
        #expect(distance(cutRows(y, width: width), expected) < 1e-6, "isa \(isa)")
        var alone = padRows(x, width: width)
        hk_head_norm_forward(rows, heads, dimension, &alone, wide, weight, 1e-5, nil, 0, nil)
        #expect(alone == y)
        var dx = padRows(dy, width: width)
        hk_head_norm_backward(
          rows, heads, dimension, &dx, wide, weight, kept, bf16, factors)
        #expect(
          distance(cutRows(dx, width: width), slopes) < (bf16 == 0 ? 1e-5 : 0.02), "isa \(isa)")
      }
    }
  }

  @Test func xieluIsThatOfItsFormula() {
    let small = (0..<48).map { -Float(exp2(Double(-$0))) }
    let x =
      small + [0, -0.0, 0.5, -0.5, -0.4999, 1e-7, 40, -90, -200, 3e3]
      + numbers(
        6 + 16 * 40, seed: 9, scale: 6)
    let d = numbers(x.count, seed: 10)
    for epsilon in [-1e-6, -0.25] as [Float] {
      var curve = hk_xielu(positive: 0.8, negative: 1.1, beta: 0.5, epsilon: epsilon)
      let (p, n, b, e) = (
        Double(curve.positive), Double(curve.negative), Double(curve.beta), Double(epsilon)
      )
      let value = x.map { x -> Double in
        let x = Double(x)
        return x > 0 ? p * x * x + b * x : n * (expm1(min(x, e)) - x) + b * x
      }
      let slope = zip(x, d).map { x, d -> Double in
        let x = Double(x)
        let slope = x > 0 ? 2 * p * x + b : n * ((x < e ? exp(x) : 0) - 1) + b
        return slope * Double(d)
      }
      withEveryInstructionSet { isa in
        var act = [Float](repeating: .nan, count: x.count)
        hk_xielu_forward(x.count, &curve, x, &act)
        var (up, dact) = (x, d)
        hk_xielu_backward(x.count, &curve, &up, &dact)
        #expect(dact == act)
        for index in x.indices {
          #expect(
            abs(Double(act[index]) - value[index])
              <= 1e-6 * (abs(value[index]) + abs(Double(x[index]))),
            "isa \(isa), x \(x[index])")
          #expect(
            abs(Double(up[index]) - slope[index])
              <= 2e-6 * (abs(slope[index]) + abs(Double(d[index]))),
            "isa \(isa), slope at \(x[index])")
        }
      }
    }
  }

  @Test func rowsAreAdded() {
    var x = numbers(3 * 32, seed: 1)
    let (before, row, all) = (x, numbers(20, seed: 2), numbers(3 * 32, seed: 3))
    hk_add_row(3, 20, row, &x, 32)
    for index in x.indices {
      #expect(x[index] == before[index] + (index % 32 < 20 ? row[index % 32] : 0))
    }
    let middle = x
    hk_add(x.count, &x, all)
    #expect(x == zip(middle, all).map { $0 + $1 })
  }
}
