import Containers

/// Why a checkpoint or an adapter could not be read or written.
///
/// Every case names the file and the thing in it, and its text ends with the way out.
public enum CheckpointError: Error, CustomStringConvertible, Sendable, Equatable {
  /// Nothing readable is at `path`.
  case notFound(path: String, reason: String)
  /// The file is damaged or is not what its name says.
  case malformed(path: String, reason: String)
  /// A field asks for something this program does not compute.
  case unsupported(path: String, field: String, value: String)
  /// A tensor that the model needs is not in its files.
  case missingTensor(path: String, name: String)
  /// A tensor is there that nothing would read; ignoring it could change what the model computes.
  case unexpectedTensor(path: String, name: String)
  /// A tensor has other dimensions than the configuration says.
  case wrongShape(path: String, name: String, found: [Int], expected: [Int])
  /// The file could not be written.
  case cannotWrite(path: String, reason: String)

  public var description: String {
    switch self {
    case .notFound(let path, let reason):
      "\(printable(path)): \(shown(reason))\n"
        + "hint: give a .gguf file, or a folder with config.json or adapter_config.json"
    case .malformed(let path, let reason):
      "\(printable(path)): \(shown(reason))\n"
        + "hint: the file may be cut short or damaged; fetch it again"
    case .unsupported(let path, let field, let value):
      "\(printable(path)): \(printable(field)) is \(shown(value)), "
        + "which this program does not compute\n"
        + "hint: models of the Llama family and plain LoRA adapters are read; convert it "
        + "first"
    case .missingTensor(let path, let name):
      "\(printable(path)): tensor \(printable(name)) is missing\n"
        + "hint: are all files of the checkpoint there?"
    case .unexpectedTensor(let path, let name):
      "\(printable(path)): tensor \(printable(name)) has no place in this model\n"
        + "hint: the configuration and the weights may be of different models"
    case .wrongShape(let path, let name, let found, let expected):
      "\(printable(path)): tensor \(printable(name)) is \(Self.text(found)), "
        + "expected \(Self.text(expected))\n"
        + "hint: the configuration and the weights may be of different models"
    case .cannotWrite(let path, let reason):
      "\(printable(path)): cannot write: \(shown(reason))\n"
        + "hint: check the folder's permissions and free space"
    }
  }

  /// What a file may have had its hand in: names and values from it are no longer than a few lines.
  private func shown(_ text: String) -> String { printable(text, limit: 600) }

  private static func text(_ shape: [Int]) -> String {
    "[" + shape.map(String.init).joined(separator: ", ") + "]"
  }
}
