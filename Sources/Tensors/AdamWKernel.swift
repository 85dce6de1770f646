import CKernels

/// One step of AdamW with decoupled weight decay over a flat list (Loshchilov and Hutter, 2019).
public struct AdamWKernel: Sendable {
  public var learningRate: Float
  public var beta1: Float = 0.9
  public var beta2: Float = 0.999
  public var epsilon: Float = 1e-8
  public var weightDecay: Float = 0

  /// The usual constants with a learning rate.
  public init(learningRate: Float) { self.learningRate = learningRate }

  /// Updates `values` and both moments, in place; `step` counts from 1, moments begin as zeros.
  ///
  /// - Parameter gradientScale: what the gradient is multiplied by first, for clipping.
  public func update(
    step: Int, values: UnsafeMutableBufferPointer<Float>, gradient: UnsafeBufferPointer<Float>,
    first: UnsafeMutableBufferPointer<Float>, second: UnsafeMutableBufferPointer<Float>,
    gradientScale: Float
  ) {
    let count = values.count
    precondition(
      gradient.count == count && first.count == count && second.count == count,
      "values, gradient and moments have one length")
    guard count > 0 else { return }
    var kernel = hk_adamw_step(
      learning_rate: learningRate, beta1: beta1, beta2: beta2, epsilon: epsilon,
      weight_decay: weightDecay, correction1: Float(1 - power(beta1, step)),
      correction2: Float(1 - power(beta2, step)), gradient_scale: gradientScale)
    hk_adamw(
      &kernel, count, values.baseAddress!, gradient.baseAddress!, first.baseAddress!,
      second.baseAddress!)
  }

  /// √Σ x², summed in double.
  public static func norm(_ gradient: UnsafeBufferPointer<Float>) -> Double {
    guard let start = gradient.baseAddress else { return 0 }
    return hk_sum_of_squares(start, gradient.count).squareRoot()
  }

  private func power(_ base: Float, _ exponent: Int) -> Double {
    var result = 1.0
    var factor = Double(base)
    var left = exponent
    while left > 0 {
      if left & 1 == 1 { result *= factor }
      factor *= factor
      left >>= 1
    }
    return result
  }
}
