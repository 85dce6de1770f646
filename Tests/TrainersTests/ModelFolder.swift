import Adapters
import Checkpoints
import FoundationEssentials
import Glibc
import TinyModels
import Trainers
import Transformers

/// A tiny model in a folder that goes with the object.
final class ModelFolder {
  let folder: String
  let model: String
  let configuration: DecoderConfiguration

  init() throws {
    var template = Array("/tmp/hanse-trainers-XXXXXX".utf8CString)
    folder = String(cString: mkdtemp(&template))
    model = folder + "/model"
    try TinyModel.write(to: model)
    configuration = try Checkpoint.open(model).configuration
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  /// A file of text, one document, long enough for some windows.
  func text(_ name: String, _ content: String) throws -> String {
    let path = folder + "/" + name
    try Data(content.utf8).write(to: URL(filePath: path))
    return path
  }

  /// An adapter in its starting state.
  func adapter(_ name: String) throws -> String {
    let layout = try AdapterLayout(
      rank: 4, alpha: 8, modules: try configuration.linearModules(targets: .allLinear))
    let seed = [UInt8](repeating: 7, count: 32)
    let adapter = CanonicalAdapter.start(layout: layout, seed: seed).rounded()
    try PEFTFolder.write(adapter, baseModel: model, to: folder + "/" + name)
    return folder + "/" + name
  }
}
