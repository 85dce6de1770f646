import Tensors

/// The frozen tensors of one decoder block.
final class FrozenLayer {
  /// By `LinearLayer.index`.
  private let matrices: [FrozenMatrix]
  let inputNorm: FloatBuffer
  let middleNorm: FloatBuffer

  init(
    index: Int, configuration: DecoderConfiguration, reader: TensorReader
  ) throws {
    let prefix = "model.layers.\(index)."
    matrices = try LinearLayer.allCases.map { layer in
      let shape = configuration.shape(of: layer)
      return try reader.matrix(
        layer.path(layer: index) + ".weight", rows: shape.outputs, columns: shape.inputs)
    }
    inputNorm = try reader.vector(prefix + "input_layernorm.weight", configuration.hidden)
    middleNorm = try reader.vector(
      prefix + "post_attention_layernorm.weight", configuration.hidden)
  }

  subscript(layer: LinearLayer) -> FrozenMatrix { matrices[layer.index] }
}

extension LinearLayer {
  /// Place in `allCases`.
  var index: Int {
    switch self {
    case .query: 0
    case .key: 1
    case .value: 2
    case .output: 3
    case .gate: 4
    case .up: 5
    case .down: 6
    }
  }
}

/// Reads tensors by name and packs them, through one buffer as large as the largest.
final class TensorReader {
  private let weights: any DecoderWeights
  private let storage: Storage
  private let buffer: FloatBuffer

  init(weights: any DecoderWeights, storage: Storage, largest: Int) {
    self.weights = weights
    self.storage = storage
    buffer = FloatBuffer(count: largest)
  }

  func matrix(_ name: String, rows: Int, columns: Int) throws -> FrozenMatrix {
    let values = UnsafeMutableBufferPointer(rebasing: buffer.values[..<(rows * columns)])
    try weights.readTensor(name, into: values)
    return FrozenMatrix(
      UnsafeBufferPointer(values), rows: rows, columns: columns, storage: storage)
  }

  /// A norm's weight with its padding.
  func vector(_ name: String, _ count: Int) throws -> FloatBuffer {
    let vector = FloatBuffer(count: padded(count))
    try weights.readTensor(
      name, into: UnsafeMutableBufferPointer(rebasing: vector.values[..<count]))
    return vector
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
    let frequencies = (0..<half).map { index in
      Float(1 / power(configuration.ropeTheta, Double(2 * index) / Double(dimension)))
    }
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
