import Containers
import Transformers

/// The tensors of a checkpoint under their Hugging Face names.
final class NamedWeights: DecoderWeights {
  /// Where a tensor lies, and how many heads' rows are in GGUF's rotary order.
  struct Place {
    let entry: TensorEntry
    var interleavedHeads: Int?
    /// Numbers in a row: 1 for a bias.
    var columns: Int { entry.shape.count > 1 ? entry.shape[1] : 1 }
  }

  let file: TensorFile
  /// By the name that the decoder calls a tensor.
  let places: [String: Place]
  /// Numbers that no tensor holds.
  let constants: [String: Float]
  /// What the file calls the tensors, for messages.
  private let namesInFile: [String: String]

  /// Looks for every tensor of the decoder; what is not found shows in `check`.
  init(
    file: TensorFile, configuration: DecoderConfiguration, constants: [String: Float] = [:],
    find: (String) -> (nameInFile: String, place: Place?)
  ) {
    var places: [String: Place] = [:]
    var numbers: [String: Float] = [:]
    var names: [String: String] = [:]
    for tensor in DecoderTensor.all(of: configuration) {
      let (name, place) = find(tensor.name)
      names[tensor.name] = name
      places[tensor.name] = place
      if place == nil { numbers[tensor.name] = constants[tensor.name] ?? tensor.fallback }
    }
    self.file = file
    self.places = places
    self.constants = numbers
    namesInFile = names
  }

  /// Throws for the first tensor of the decoder that is missing or has another shape.
  func check(_ configuration: DecoderConfiguration) throws(CheckpointError) {
    for tensor in DecoderTensor.all(of: configuration) where constants[tensor.name] == nil {
      guard let entry = places[tensor.name]?.entry else {
        throw .missingTensor(path: file.path, name: namesInFile[tensor.name] ?? tensor.name)
      }
      guard entry.shape == tensor.shape || tensor.isNumber && entry.shape.isEmpty else {
        throw .wrongShape(
          path: file.path, name: entry.name, found: entry.shape, expected: tensor.shape)
      }
      guard entry.elementType.isReal else {
        throw .unsupported(
          path: file.path, field: "the element type of \(entry.name)",
          value: entry.elementType.rawValue)
      }
    }
  }

  func readTensor(_ name: String, into values: UnsafeMutableBufferPointer<Float>) throws {
    if let constant = constants[name], values.count == 1 {
      values[0] = constant
      return
    }
    guard let place = places[name] else {
      throw CheckpointError.missingTensor(path: file.path, name: namesInFile[name] ?? name)
    }
    try file.readFloats(of: place.entry, into: values)
    try requireFinite(UnsafeBufferPointer(values), name: place.entry.name, path: file.path)
    if let heads = place.interleavedHeads {
      separateHalves(values, heads: heads, columns: place.columns)
    }
  }
}

/// Throws when one of a tensor's values is infinite or no number: everything that the model
/// computed would be none either, long after the file was forgotten.
func requireFinite(
  _ values: UnsafeBufferPointer<Float>, name: String, path: String
) throws(CheckpointError) {
  // Without a way out of the loop, which runs over billions of numbers.
  var highest: UInt32 = 0
  for value in values { highest = max(highest, value.bitPattern & 0x7F80_0000) }
  guard highest == 0x7F80_0000, let place = values.firstIndex(where: { !$0.isFinite }) else {
    return
  }
  throw .malformed(
    path: path, reason: "tensor \(name) holds \(values[place]) at element \(place)")
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
