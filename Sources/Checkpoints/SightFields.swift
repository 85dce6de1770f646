import Containers
import Transformers

extension FolderConfiguration {
  /// How far back each block's attention looks.
  func readSight(_ configuration: inout DecoderConfiguration) throws(CheckpointError) {
    let all = Set(0..<configuration.layers)
    switch architecture {
    case .llama, .olmo2, .apertus:
      try fields.refuse("sliding_window")
      _ = try listedLayers(configuration.layers, orElse: [])
    case .mistral:
      // Null switches the window off; a file that does not name it means the class's default.
      configuration.slidingWindow = try window(absent: 4096)
      configuration.slidingLayers = configuration.slidingWindow == nil ? [] : all
      try refuseListed(configuration)
    case .qwen2, .qwen3:
      guard try fields.flag("use_sliding_window", default: false) else {
        _ = try listedLayers(configuration.layers, orElse: [])
        return
      }
      let first = try fields.integer("max_window_layers", in: 0...Int(Int32.max), default: 28)
      try readWindow(
        &configuration, absent: 4096, orElse: Set(all.filter { $0 >= first }))
    case .smollm3:
      guard try fields.flag("use_sliding_window", default: false) else {
        _ = try listedLayers(configuration.layers, orElse: [])
        return
      }
      try readWindow(&configuration, absent: nil, orElse: configuration.unrotatedLayers)
    }
  }

  /// A window and the blocks it is on, where the model may have both kinds.
  private func readWindow(
    _ configuration: inout DecoderConfiguration, absent: Int?, orElse own: Set<Int>
  ) throws(CheckpointError) {
    guard let window = try self.window(absent: absent) else {
      _ = try listedLayers(configuration.layers, orElse: [])
      return
    }
    configuration.slidingWindow = window
    configuration.slidingLayers = try listedLayers(
      configuration.layers, orElse: own, maySlide: true)
  }

  private func window(absent: Int?) throws(CheckpointError) -> Int? {
    let name = "sliding_window"
    guard fields.names.contains(name) else { return absent }
    guard !fields[name].isNull else { return nil }
    return try fields.integer(name, in: DecoderLimits.positions)
  }

  /// The blocks that `layer_types` calls sliding; `own` where there is no such field.
  private func listedLayers(
    _ layers: Int, orElse own: Set<Int>, maySlide: Bool = false
  ) throws(CheckpointError) -> Set<Int> {
    guard !fields["layer_types"].isNull else { return own }
    let types = fields["layer_types"].array?.map(\.string) ?? []
    guard types.count == layers else {
      throw .malformed(path: fields.path, reason: "layer_types does not name \(layers) layers")
    }
    var sliding: Set<Int> = []
    for (index, type) in types.enumerated() where type != "full_attention" {
      guard type == "sliding_attention", maySlide else {
        throw .unsupported(
          path: fields.path, field: "layer_types[\(index)]",
          value: type.map { printable($0) } ?? "no text")
      }
      sliding.insert(index)
    }
    return sliding
  }

  /// Mistral's code does not read the list, so it may only say what is so anyway.
  private func refuseListed(_ configuration: DecoderConfiguration) throws(CheckpointError) {
    let sliding = configuration.slidingLayers
    let listed = try listedLayers(configuration.layers, orElse: sliding, maySlide: true)
    guard listed == sliding else {
      throw .unsupported(
        path: fields.path, field: "layer_types", value: fields["layer_types"].brief)
    }
  }
}
