import Tensors

/// How the rotary wavelengths are stretched, so that a model reads longer texts than it first
/// learned on.
public enum RotaryScaling: Sendable, Equatable {
  /// Not at all.
  case none
  /// Every frequency divided by `factor` (Chen et al., 2023, arXiv:2306.15595).
  case linear(factor: Double)
  /// Llama 3.1: wavelengths above `original / low` are divided by `factor`, those below
  /// `original / high` stay, and those between are blended.
  case llama3(factor: Double, low: Double, high: Double, original: Int)
  /// A divisor for each frequency, as GGUF files carry them.
  case divisors([Float])

  /// Whether the numbers make sense for heads of this width.
  func isSound(headDimension: Int) -> Bool {
    switch self {
    case .none: true
    case .linear(let factor): factor.isFinite && factor > 0
    case .llama3(let factor, let low, let high, let original):
      [factor, low, high].allSatisfy { $0.isFinite && $0 > 0 } && high > low && original > 0
    case .divisors(let list):
      list.count == headDimension / 2 && list.allSatisfy { $0.isFinite && $0 > 0 }
    }
  }

  /// The scaled frequencies, in float32 arithmetic as transformers computes them.
  func scaled(_ frequencies: [Float]) -> [Float] {
    switch self {
    case .none: return frequencies
    case .linear(let factor): return frequencies.map { $0 / Float(factor) }
    case .divisors(let divisors): return zip(frequencies, divisors).map { $0 / $1 }
    case .llama3(let factor, let low, let high, let original):
      return frequencies.map { frequency in
        let wavelength = 2 * Float.pi / frequency
        if wavelength < Float(Double(original) / high) { return frequency }
        if wavelength > Float(Double(original) / low) { return frequency / Float(factor) }
        let blend = (Float(original) / wavelength - Float(low)) / Float(high - low)
        return (1 - blend) * frequency / Float(factor) + blend * frequency
      }
    }
  }
}

/// The cosines and sines of every position's angles: `[length][2][headDimension / 2]`.
///
/// Angles are float32 products, as transformers computes them, so that long positions agree.
final class RotationTable {
  let length: Int
  private let buffer: FloatBuffer

  init(length: Int, configuration: DecoderConfiguration) {
    self.length = length
    let dimension = configuration.headDimension
    let half = dimension / 2
    buffer = FloatBuffer(count: length * dimension)
    let frequencies = configuration.rotaryScaling.scaled(
      (0..<half).map { index in
        Float(1 / power(configuration.ropeTheta, Double(2 * index) / Double(dimension)))
      })
    for position in 0..<length {
      for index in 0..<half {
        let angle = Double(Float(position) * frequencies[index])
        buffer.start[position * dimension + index] = Float(cosine(angle))
        buffer.start[position * dimension + half + index] = Float(sine(angle))
      }
    }
  }

  var start: UnsafePointer<Float> { UnsafePointer(buffer.start) }
}

extension BlockForward {
  /// Turns q[R, Q] or k[R, V] by its positions, in place; not v, nor in blocks without rotation.
  func rotate(_ linear: LinearLayer, _ index: Int, _ x: UnsafeMutablePointer<Float>) {
    turn(linear, index, x, shape, pass, rows, inverse: false)
  }
}

extension BlockBackward {
  /// Turns the gradient of q or k back, in place.
  func rotateBack(_ linear: LinearLayer, _ index: Int, _ dx: UnsafeMutablePointer<Float>) {
    turn(linear, index, dx, shape, pass, rows, inverse: true)
  }
}

private func turn(
  _ linear: LinearLayer, _ index: Int, _ x: UnsafeMutablePointer<Float>,
  _ shape: DecoderConfiguration, _ pass: Pass, _ rows: Range<Int>, inverse: Bool
) {
  guard linear == .query || linear == .key, !shape.unrotatedLayers.contains(index) else { return }
  let width = shape.shape(of: linear).outputs
  Kernels.rotate(
    rows: rows.count, first: rows.lowerBound, length: pass.length,
    heads: width / shape.headDimension, dimension: shape.headDimension, x, width: padded(width),
    turns: pass.rotation.start, inverse: inverse)
}
