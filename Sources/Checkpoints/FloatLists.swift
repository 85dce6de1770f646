import Containers
import Identities

/// A file of named lists of float32 numbers and named texts, replaced as one.
///
/// What belongs together, such as factors and the optimiser's moments, lies in one file, so that no
/// crash can leave halves of two moments in time.
package enum FloatLists {
  /// Writes the lists and texts in place of the file.
  package static func write(
    _ lists: [(name: String, values: [Float])], texts: [String: String], to path: String
  ) throws {
    var texts = texts
    texts[sumName] = sum(of: lists, texts)
    var writer = SafetensorsWriter(metadata: texts)
    for list in lists {
      try writer.add(name: list.name, shape: [list.values.count], floats: list.values)
    }
    try writer.write(to: path)
  }

  private static let sumName = "checksum"

  /// Over names, texts and numbers: a run that went on from a flipped bit would go on wrongly
  /// without a sign.
  private static func sum(
    of lists: [(name: String, values: [Float])], _ texts: [String: String]
  ) -> String {
    var hasher = ContentHasher(kind: .file)
    for (name, text) in texts.sorted(by: { $0.key < $1.key }) where name != sumName {
      hasher.update(Array("\(name)=\(text)\0".utf8))
    }
    for list in lists.sorted(by: { $0.name < $1.name }) {
      hasher.update(Array("\(list.name)[\(list.values.count)]\0".utf8))
      // A part at a time: the moments of a large adapter are gigabytes.
      for start in stride(from: 0, to: list.values.count, by: 1 << 18) {
        let part = list.values[start..<min(start + 1 << 18, list.values.count)]
        hasher.update(part.withUnsafeBytes { Array($0) })
      }
    }
    return hasher.finish().description
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

    /// Throws ``CheckpointError/malformed(path:reason:)`` when the file is not as it was written.
    package func requireWhole() throws {
      var texts: [String: String] = [:]
      for name in file.metadata.keys { texts[name] = file.metadata[name]?.string }
      let lists = try file.tensors.map { (name: $0.name, values: try list($0.name)) }
      guard texts[FloatLists.sumName] == FloatLists.sum(of: lists, texts) else {
        throw CheckpointError.malformed(
          path: path, reason: "damaged: its checksum does not fit its numbers")
      }
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
