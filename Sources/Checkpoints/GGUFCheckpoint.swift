import Containers
import Transformers

extension Checkpoint {
  /// Opens a GGUF file of an architecture of the Llama family.
  static func openGGUF(_ path: String) throws -> Checkpoint {
    let file = try TensorFile.open(path)
    guard file.format == .gguf else {
      throw CheckpointError.malformed(
        path: path,
        reason: "a safetensors file alone has no configuration; give the folder it lies in")
    }
    let fields = try GGUFConfiguration(file: file)
    let configuration = try fields.decoder()
    let names = GGUFNames(configuration)
    let turned = fields.architecture.turnsNeighboursInGGUF
    let weights = NamedWeights(
      file: file, configuration: configuration, constants: try fields.curves(configuration)
    ) { name in
      let nameInFile = names.ggufName(of: name) ?? name
      return (
        nameInFile,
        file.tensor(named: nameInFile).map { entry in
          NamedWeights.Place(
            entry: entry,
            interleavedHeads: turned ? rotaryHeads(ofTensor: name, configuration) : nil)
        }
      )
    }
    try weights.check(configuration)
    let known = Set(weights.places.values.map(\.entry.name) + [GGUFConfiguration.divisors])
    for entry in file.tensors where !known.contains(entry.name) {
      throw CheckpointError.unexpectedTensor(path: path, name: entry.name)
    }
    return Checkpoint(
      path: path, family: fields.architecture, configuration: configuration, files: [path],
      tensors: weights)
  }
}

/// How many heads' rows of a weight or bias are in rotary order; nil for other tensors.
private func rotaryHeads(ofTensor name: String, _ configuration: DecoderConfiguration) -> Int? {
  guard let dot = name.lastIndex(of: ".") else { return nil }
  return rotaryHeads(of: String(name[..<dot]), configuration)
}
