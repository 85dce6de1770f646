import Containers
import Transformers

/// The tensors of a checkpoint under their Hugging Face names.
final class NamedWeights: DecoderWeights {
  /// Where a tensor lies, and how many heads' rows are in GGUF's rotary order.
  struct Place {
    let entry: TensorEntry
    var interleavedHeads: Int?
  }

  let file: TensorFile
  let places: [String: Place]

  /// Takes tensors whose presence and shapes `check` has judged.
  init(file: TensorFile, places: [String: Place]) {
    self.file = file
    self.places = places
  }

  /// Throws for the first tensor of the decoder that is missing or has another shape.
  static func check(
    _ places: [String: Place], configuration: DecoderConfiguration, path: String
  ) throws(CheckpointError) {
    for tensor in DecoderTensor.all(of: configuration) {
      guard let entry = places[tensor.name]?.entry else {
        throw .missingTensor(path: path, name: tensor.name)
      }
      guard entry.shape == tensor.shape else {
        throw .wrongShape(
          path: path, name: entry.name, found: entry.shape, expected: tensor.shape)
      }
      guard entry.elementType.isReal else {
        throw .unsupported(
          path: path, field: "the element type of \(entry.name)",
          value: entry.elementType.rawValue)
      }
    }
  }

  func readTensor(_ name: String, into values: UnsafeMutableBufferPointer<Float>) throws {
    guard let place = places[name] else {
      throw CheckpointError.missingTensor(path: file.path, name: name)
    }
    try file.readFloats(of: place.entry, into: values)
    if let heads = place.interleavedHeads {
      separateHalves(values, heads: heads, columns: place.entry.shape[1])
    }
  }
}

/// Puts the rows of a query or key matrix back from GGUF's rotary order.
///
/// llama.cpp turns neighbours (0, 1), (2, 3) … of a head; the Hugging Face order turns the first
/// half against the second. Its converter stores row (half j, index i) of each head as row 2i + j.
func separateHalves(_ values: UnsafeMutableBufferPointer<Float>, heads: Int, columns: Int) {
  moveRows(of: values, heads: heads, columns: columns) { row, half in
    2 * (row % half) + row / half
  }
}

/// Puts the rows of a query or key matrix into GGUF's rotary order: undoes ``separateHalves``.
func interleaveHalves(_ values: UnsafeMutableBufferPointer<Float>, heads: Int, columns: Int) {
  moveRows(of: values, heads: heads, columns: columns) { row, half in
    row % 2 * half + row / 2
  }
}

/// Takes each row of a head from the row of that head that `source` names.
private func moveRows(
  of values: UnsafeMutableBufferPointer<Float>, heads: Int, columns: Int,
  source: (_ row: Int, _ half: Int) -> Int
) {
  let rows = values.count / columns / heads
  let head = rows * columns
  var copy = [Float](repeating: 0, count: head)
  for start in stride(from: 0, to: heads * head, by: head) {
    for index in 0..<head { copy[index] = values[start + index] }
    for row in 0..<rows {
      let from = source(row, rows / 2) * columns
      for column in 0..<columns { values[start + row * columns + column] = copy[from + column] }
    }
  }
}
