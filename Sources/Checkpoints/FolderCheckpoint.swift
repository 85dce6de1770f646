import Containers
import Transformers

extension Checkpoint {
  /// Opens a Hugging Face folder.
  static func openFolder(_ path: String) throws -> Checkpoint {
    let fields = try FolderConfiguration(path: path + "/config.json")
    let configuration = try fields.decoder()
    let file = try TensorFile.open(path)
    let weights = NamedWeights(file: file, configuration: configuration) { name in
      let nameInFile = fields.architecture.fileName(of: name)
      return (nameInFile, file.tensor(named: nameInFile).map { NamedWeights.Place(entry: $0) })
    }
    try weights.check(configuration)
    try refuseLeftovers(in: file, weights)
    let beside = [
      "config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
      "model.safetensors.index.json",
    ].map { "\(path)/\($0)" }.filter { PathKind.of($0) == .file }
    return Checkpoint(
      path: path, family: fields.architecture, configuration: configuration,
      files: (beside + file.files).sorted(), tensors: weights)
  }

  /// Throws for a tensor that nothing would read; a bias left out would go unnoticed otherwise.
  private static func refuseLeftovers(
    in file: TensorFile, _ weights: NamedWeights
  ) throws {
    let known = Set(weights.places.values.map(\.entry.name))
    for entry in file.tensors where !known.contains(entry.name) {
      // Old files carry the rotary frequencies, which follow from the configuration.
      if entry.name.hasSuffix(".rotary_emb.inv_freq") { continue }
      // Older files of tied models have the embedding again as the head.
      if entry.name == "lm_head.weight",
        let embedding = file.tensor(named: DecoderTensor.embedding),
        entry.shape == embedding.shape, entry.elementType == embedding.elementType,
        file.bytes(of: entry).elementsEqual(file.bytes(of: embedding))
      {
        continue
      }
      throw CheckpointError.unexpectedTensor(path: file.path, name: entry.name)
    }
  }
}
