import CKernels
import Glibc
import Testing

@Suite struct PointwiseTests {
  @Test func keepingRoundsToNearestEven() {
    let ties: [Float] = [
      1.00390625, 1.01171875, -1.00390625, 3.0e38, Float(bitPattern: 0x1_7fff), 0, -0.0, 65_504.5,
    ]
    let x = ties + numbers(8 + 16 * 50, seed: 1, scale: 100)
    withEveryInstructionSet { isa in
      var kept = [UInt16](repeating: 0, count: x.count)
      var back = [Float](repeating: 0, count: x.count)
      hk_keep(&kept, x, x.count, 1)
      hk_recall(&back, kept, x.count, 1)
      #expect(back == x.map(rounded), "isa \(isa)")
      var whole = [Float](repeating: 0, count: x.count)
      hk_keep(&whole, x, x.count, 0)
      #expect(whole == x)
    }
  }

  @Test(arguments: [1, 31, 32, 50, 576])
  func normIsThatOfPlainLoops(width: Int) {
    let rows = 3
    let wide = hk_padded(width)
    let x = numbers(rows * width, seed: 2, scale: 5)
    let weight = numbers(width, seed: 3)
    let dy = numbers(rows * width, seed: 4)
    func norm(_ x: ArraySlice<Float>) -> [Double] {
      let mean = x.reduce(0) { $0 + Double($1) * Double($1) } / Double(width)
      return zip(x, weight).map { Double($0) / (mean + 1e-5).squareRoot() * Double($1) }
    }
    let expected = (0..<rows).flatMap { norm(x[$0 * width..<($0 + 1) * width]) }
    // The gradient of Σ dy · y by central differences, in double.
    let slopes = (0..<rows * width).map { index -> Double in
      let row = index / width * width..<(index / width + 1) * width
      func value(_ shift: Float) -> Double {
        var moved = x
        moved[index] += shift
        return zip(norm(moved[row]), dy[row]).reduce(0) { $0 + $1.0 * Double($1.1) }
      }
      let step: Float = 0.0078125
      return (value(step) - value(-step)) / Double(2 * step)
    }
    withEveryInstructionSet { isa in
      var y = [Float](repeating: .nan, count: rows * wide)
      var kept = [Float](repeating: .nan, count: rows * wide)
      var factors = [Float](repeating: 0, count: rows)
      let padded = padRows(weight, width: width)
      hk_norm_forward(
        rows, width, padRows(x, width: width), padded, 1e-5, &y, &kept, 0, &factors)
      #expect(distance(cutRows(y, width: width), expected) < 1e-6, "isa \(isa)")
      var again = y
      hk_norm_again(rows, width, kept, 0, padded, &again)
      #expect(again == y)
      var dx = [Float](repeating: 1, count: rows * wide)
      hk_norm_backward(rows, width, padRows(dy, width: width), padded, kept, 0, factors, &dx)
      #expect(distance(cutRows(dx, width: width), slopes.map { $0 + 1 }) < 2e-4, "isa \(isa)")
    }
  }

  @Test(arguments: [2, 6, 64, 80])
  func rotationTurnsPairsByTheirAngle(dimension: Int) {
    let (rows, heads, length) = (5, 3, 4)
    let width = hk_padded(heads * dimension)
    let half = dimension / 2
    let angles = (0..<length * half).map { Double($0) * 0.37 }
    let turns = (0..<length).flatMap { position in
      let own = angles[position * half..<(position + 1) * half]
      return own.map { Float(cos($0)) } + own.map { Float(sin($0)) }
    }
    let x = numbers(rows * width, seed: 5)
    withEveryInstructionSet { isa in
      var y = x
      hk_rope(rows, 2, length, heads, dimension, &y, width, turns, 0)
      let expected = (0..<rows * width).map { index -> Double in
        let (row, column) = (index / width, index % width)
        guard column < heads * dimension else { return Double(x[index]) }
        let place = column % dimension
        let angle = angles[(2 + row) % length * half + place % half]
        let other = Double(x[place < half ? index + half : index - half])
        return Double(x[index]) * cos(angle) + (place < half ? -other : other) * sin(angle)
      }
      #expect(distance(y, expected) < 1e-6, "isa \(isa)")
      hk_rope(rows, 2, length, heads, dimension, &y, width, turns, 1)
      #expect(distance(y, x.map(Double.init)) < 1e-6, "isa \(isa), there and back")
    }
  }

  @Test func swigluAndItsGradientAreThoseOfTheFormula() {
    let extremes: [Float] = [-1000, -90, -88, -20, 0, 20, 88, 1000]
    let gate = extremes + numbers(56, seed: 6, scale: 8)
    let up = numbers(64, seed: 7)
    let d = numbers(64, seed: 8)
    let sigmoid = gate.map { 1 / (1 + exp(-Double($0))) }
    withEveryInstructionSet { isa in
      var act = [Float](repeating: .nan, count: 64)
      hk_swiglu_forward(64, gate, up, &act)
      let expected = (0..<64).map { Double(gate[$0]) * sigmoid[$0] * Double(up[$0]) }
      #expect(distance(act, expected) < 1e-6, "isa \(isa)")
      var (dgate, dup, again) = (gate, up, d)
      hk_swiglu_backward(64, &dgate, &dup, &again)
      #expect(distance(again, expected) < 1e-6)
      let slopes = (0..<64).map { index -> Double in
        let (g, s) = (Double(gate[index]), sigmoid[index])
        return Double(d[index]) * Double(up[index]) * s * (1 + g * (1 - s))
      }
      #expect(distance(dgate, slopes) < 1e-6, "isa \(isa)")
      #expect(
        distance(dup, (0..<64).map { Double(d[$0]) * Double(gate[$0]) * sigmoid[$0] }) < 1e-6)
    }
  }

  @Test(arguments: [1, 15, 16, 49, 1000])
  func crossEntropyIsTheSameInAnySlices(count: Int) {
    for scale in [Float(0.1), 30, 5000] {
      let logits = numbers(count, seed: 9, scale: scale)
      let top = Double(logits.max() ?? 0)
      let total = logits.reduce(0) { $0 + exp(Double($1) - top) }
      let label = count / 3
      withEveryInstructionSet { isa in
        for slice in [16, 32, 2048] {
          var partition = hk_partition(maximum: -.infinity, sum: 0)
          for start in stride(from: 0, to: count, by: slice) {
            let part = Array(logits[start..<min(start + slice, count)])
            let width = hk_padded(part.count)
            // What lies in the padding must not count, whatever it is.
            hk_partition_fold(
              &partition, part + [Float](repeating: 1e9, count: width - part.count), part.count)
          }
          let found = hk_partition_log(&partition)
          #expect(abs(found - top - log(total)) < 1e-5 * max(1, abs(top)), "isa \(isa)")
        }
      }
    }
  }

  /// Sums over exponentials of slices, faded whenever a larger logit comes, are the whole sums.
  @Test(arguments: [1, 15, 16, 49, 1000])
  func exponentialsOfSlicesAreThoseOfTheWholeRow(count: Int) {
    for scale in [Float(0.1), 30, 5000] {
      let logits = numbers(count, seed: 9, scale: scale)
      let values = numbers(count, seed: 10).map(Double.init)
      let top = Double(logits.max() ?? 0)
      let exponentials = logits.map { exp(Double($0) - top) }
      let total = exponentials.reduce(0, +)
      let wanted = zip(exponentials, values).reduce(0) { $0 + $1.0 * $1.1 } / total
      withEveryInstructionSet { isa in
        for slice in [32, 96, 2048] {
          var partition = hk_partition(maximum: -.infinity, sum: 0)
          var sum = 0.0
          for start in stride(from: 0, to: count, by: slice) {
            let part = Array(logits[start..<min(start + slice, count)])
            let width = hk_padded(part.count)
            var line = part + [Float](repeating: 1e9, count: width - part.count)
            sum *= Double(hk_partition_exponentials(&partition, &line, part.count))
            #expect(line[part.count...].allSatisfy { $0 == 0 })
            for index in part.indices { sum += Double(line[index]) * values[start + index] }
          }
          #expect(abs(hk_partition_log(&partition) - top - log(total)) < 1e-5 * max(1, abs(top)))
          #expect(abs(sum / Double(partition.sum) - wanted) < 1e-5, "isa \(isa)")
        }
      }
    }
  }

  /// The exponential itself: to two units in the last place wherever its result is a number.
  @Test func exponentialsAreExactToTwoUnits() {
    let arguments = [Float(0)] + (0..<8191).map { Float(-87) * Float($0) / 8191 }
    withEveryInstructionSet { isa in
      var partition = hk_partition(maximum: -.infinity, sum: 0)
      var line = arguments
      hk_partition_exponentials(&partition, &line, line.count)
      for (found, argument) in zip(line, arguments) {
        let wanted = exp(Double(argument))
        #expect(abs(Double(found) - wanted) <= 2 * 0x1p-23 * wanted, "isa \(isa), e^\(argument)")
      }
    }
  }

  @Test func rowsAreBlended() {
    let (y, x) = (numbers(48, seed: 11), numbers(48, seed: 12))
    withEveryInstructionSet { isa in
      var found = y
      hk_blend(32, &found, 0.5, x, -2)
      for index in 0..<32 {
        #expect(abs(found[index] - (0.5 * y[index] - 2 * x[index])) < 1e-6, "isa \(isa)")
      }
      #expect(found[32...] == y[32...])
      hk_blend(48, &found, 0, nil, 7)
      #expect(found.allSatisfy { $0 == 0 })
    }
  }

  @Test func groupsAreSummed() {
    let x = numbers(4 * 6 * 10, seed: 10)
    var out = [Float](repeating: .nan, count: 4 * 2 * 10)
    hk_sum_groups(4, 6, 2, 10, x, 60, &out, 20)
    let expected = (0..<80).map { index -> Double in
      let (row, head, d) = (index / 20, index % 20 / 10, index % 10)
      return (0..<3).reduce(0) { $0 + Double(x[row * 60 + (head * 3 + $1) * 10 + d]) }
    }
    #expect(distance(out, expected) < 1e-6)
  }

  @Test(arguments: [1, 16, 21])
  func adamWStepsByItsDefinition(count: Int) {
    let start = numbers(count, seed: 11)
    let gradients = (0..<3).map { numbers(count, seed: 12 + UInt64($0), scale: 0.1) }
    withEveryInstructionSet { isa in
      var values = start
      var (first, second) = (
        [Float](repeating: 0, count: count), [Float](repeating: 0, count: count)
      )
      var plain = start.map(Double.init)
      var (m, v) = ([Double](repeating: 0, count: count), [Double](repeating: 0, count: count))
      for (index, gradient) in gradients.enumerated() {
        let t = Double(index + 1)
        var step = hk_adamw_step(
          learning_rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.1,
          correction1: Float(1 - pow(0.9, t)), correction2: Float(1 - pow(0.999, t)),
          gradient_scale: 0.5)
        hk_adamw(&step, count, &values, gradient, &first, &second)
        for i in 0..<count {
          let g = 0.5 * Double(gradient[i])
          m[i] = 0.9 * m[i] + 0.1 * g
          v[i] = 0.999 * v[i] + 0.001 * g * g
          let (unbiased, size) = (
            m[i] / (1 - pow(0.9, t)), (v[i] / (1 - pow(0.999, t))).squareRoot()
          )
          plain[i] = plain[i] * (1 - 0.01 * 0.1) - 0.01 * unbiased / (size + 1e-8)
        }
      }
      #expect(distance(values, plain) < 1e-5, "isa \(isa)")
      // A scale of the gradients cancels out of the step, but not out of what is remembered.
      #expect(distance(first, m) < 1e-5, "isa \(isa)")
      // 1 − 0.999 in floats is 5e-5 of itself away.
      #expect(distance(second, v) < 1e-4, "isa \(isa)")
      let squares = gradients[0].reduce(0) { $0 + Double($1) * Double($1) }
      #expect(abs(hk_sum_of_squares(gradients[0], count) - squares) < 1e-12)
    }
  }
}
