import Containers

/// A file of named lists of float32 numbers and named texts, replaced as one.
///
/// What belongs together, such as factors and the optimiser's moments, lies in one file, so that no
/// crash can leave halves of two moments in time.
package enum FloatLists {
  /// Writes the lists and texts in place of the file.
  package static func write(
    _ lists: [(name: String, values: [Float])], texts: [String: String], to path: String
  ) throws {
    var writer = SafetensorsWriter(metadata: texts)
    for list in lists {
      try writer.add(name: list.name, shape: [list.values.count], floats: list.values)
    }
    try writer.write(to: path)
  }

  /// A file that was written so; the lists stay on disk until they are asked for.
  package struct Reader {
    package let path: String
    private let file: TensorFile

    package init(path: String) throws {
      self.path = path
      guard PathKind.of(path) == .file else {
        throw CheckpointError.notFound(path: path, reason: "no such file")
      }
      file = try TensorFile.open(path)
    }

    /// The list of this name. Throws when it is missing or not float32.
    package func list(_ name: String) throws -> [Float] {
      let entry = try file.require(name)
      guard entry.elementType == .f32, entry.shape.count == 1 else {
        throw CheckpointError.malformed(path: path, reason: "\(name) is no list of float32")
      }
      return try file.floats(of: entry)
    }

    /// The text of this name. Throws when it is missing.
    package func text(_ name: String) throws -> String {
      guard let text = file.metadata[name]?.string else {
        throw CheckpointError.malformed(path: path, reason: "\(name) is missing")
      }
      return text
    }
  }
}
