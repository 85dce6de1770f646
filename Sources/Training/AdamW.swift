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
    let correction1 = 1 - power(Self.firstDecay, step)
    let correction2 = 1 - power(Self.secondDecay, step)
    let constants = Constants(
      gradientScale: gradientScale, rate: Float(learningRate / correction1),
      root: Float(correction2.squareRoot()))
    values.withUnsafeMutableBufferPointer { values in
      gradient.withUnsafeBufferPointer { gradient in
        first.withUnsafeMutableBufferPointer { first in
          second.withUnsafeMutableBufferPointer { second in
            Self.sweep(values, gradient, first, second, constants)
          }
        }
      }
    }
  }

  private struct Constants {
    let gradientScale: Float
    let rate: Float
    let root: Float
  }

  private static func sweep(
    _ values: UnsafeMutableBufferPointer<Float>, _ gradient: UnsafeBufferPointer<Float>,
    _ first: UnsafeMutableBufferPointer<Float>, _ second: UnsafeMutableBufferPointer<Float>,
    _ constants: Constants
  ) {
    let one = Float(1 - firstDecay)
    let keep = Float(secondDecay)
    let two = Float(1 - secondDecay)
    let tiny = Float(epsilon)
    for index in values.indices {
      let slope = gradient[index] * constants.gradientScale
      let mean = first[index] + one * (slope - first[index])
      let square = keep * second[index] + two * slope * slope
      first[index] = mean
      second[index] = square
      values[index] -= constants.rate * mean / (square.squareRoot() / constants.root + tiny)
    }
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
