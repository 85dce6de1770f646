/// The optimiser AdamW without weight decay, on one flat list of numbers.
///
/// Loshchilov and Hutter, "Decoupled weight decay regularization", algorithm 2 with λ = 0; the
/// order of operations is that of `torch.optim.AdamW`, whose curves the tests compare.
public struct AdamW: Sendable, Equatable {
  /// Decay of the mean of gradients.
  static let firstDecay = 0.9
  /// Decay of the mean of squared gradients.
  static let secondDecay = 0.999
  /// Keeps the division finite.
  static let epsilon = 1e-8

  /// Updates made so far; the bias correction depends on it.
  public internal(set) var step: Int
  /// Running mean of the gradient.
  public internal(set) var first: [Float]
  /// Running mean of the squared gradient.
  public internal(set) var second: [Float]

  /// A fresh optimiser for `count` numbers.
  public init(count: Int) {
    step = 0
    first = [Float](repeating: 0, count: count)
    second = [Float](repeating: 0, count: count)
  }

  /// An optimiser that goes on. Precondition: both moments are of one length.
  public init(step: Int, first: [Float], second: [Float]) {
    precondition(first.count == second.count, "the moments have different lengths")
    self.step = step
    self.first = first
    self.second = second
  }

  /// Moves `values` against `gradient`, which is scaled by `gradientScale` on the way.
  ///
  /// Precondition: all lists have the optimiser's length.
  public mutating func update(
    _ values: inout [Float], gradient: [Float], gradientScale: Float, learningRate: Double
  ) {
    precondition(values.count == first.count && gradient.count == first.count)
    step += 1
    let correction = 1 - power(Self.firstDecay, step)
    let motion = Motion(
      gradientScale: gradientScale, rate: Float(learningRate / correction),
      root: Float((1 - power(Self.secondDecay, step)).squareRoot()))
    values.withUnsafeMutableBufferPointer { values in
      gradient.withUnsafeBufferPointer { gradient in
        first.withUnsafeMutableBufferPointer { first in
          second.withUnsafeMutableBufferPointer { second in
            motion.sweep(values, gradient, first, second)
          }
        }
      }
    }
  }
}

/// One update's constants and its loop.
private struct Motion {
  // Eight numbers at a time; the compiler does not make that of a plain loop by itself.
  typealias Lanes = SIMD8<Float>

  let gradientScale: Float
  let rate: Float
  let root: Float

  func sweep(
    _ values: UnsafeMutableBufferPointer<Float>, _ gradient: UnsafeBufferPointer<Float>,
    _ first: UnsafeMutableBufferPointer<Float>, _ second: UnsafeMutableBufferPointer<Float>
  ) {
    let whole = values.count / 8 * 8
    for start in stride(from: 0, to: whole, by: 8) {
      var value = load(UnsafeBufferPointer(values), start)
      var mean = load(UnsafeBufferPointer(first), start)
      var square = load(UnsafeBufferPointer(second), start)
      move(&value, &mean, &square, slope: load(gradient, start))
      store(value, values, start)
      store(mean, first, start)
      store(square, second, start)
    }
    for index in whole..<values.count {
      var value = Lanes(repeating: values[index])
      var mean = Lanes(repeating: first[index])
      var square = Lanes(repeating: second[index])
      move(&value, &mean, &square, slope: Lanes(repeating: gradient[index]))
      (values[index], first[index], second[index]) = (value[0], mean[0], square[0])
    }
  }

  @inline(__always)
  private func move(
    _ value: inout Lanes, _ mean: inout Lanes, _ square: inout Lanes, slope: Lanes
  ) {
    let slope = slope * gradientScale
    mean += (slope - mean) * Float(1 - AdamW.firstDecay)
    square = square * Float(AdamW.secondDecay) + slope * slope * Float(1 - AdamW.secondDecay)
    value -= mean * rate / (square.squareRoot() / root + Float(AdamW.epsilon))
  }

  @inline(__always)
  private func load(_ numbers: UnsafeBufferPointer<Float>, _ start: Int) -> Lanes {
    UnsafeRawPointer(numbers.baseAddress! + start).loadUnaligned(as: Lanes.self)
  }

  @inline(__always)
  private func store(_ lanes: Lanes, _ numbers: UnsafeMutableBufferPointer<Float>, _ start: Int) {
    UnsafeMutableRawPointer(numbers.baseAddress! + start).storeBytes(of: lanes, as: Lanes.self)
  }
}

/// `base` to a whole power, by multiplication alone: the same on every machine.
private func power(_ base: Double, _ exponent: Int) -> Double {
  var result = 1.0
  var square = base
  var left = exponent
  while left > 0 {
    if left & 1 == 1 { result *= square }
    square *= square
    left >>= 1
  }
  return result
}
