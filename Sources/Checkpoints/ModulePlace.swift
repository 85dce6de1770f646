import Transformers

/// Where in a decoder a linear module sits, read from a path like `model.layers.3.mlp.up_proj`.
struct ModulePlace: Comparable {
  let layer: Int
  /// The place within the layer, in the order of a forward pass.
  let position: Int
  /// The last name of the path.
  var name: String { LinearLayer.allCases[position].rawValue }

  /// Nil for paths that are not exactly a linear module of a decoder layer.
  init?(path: String) {
    let parts = path.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 5, parts[0] == "model", parts[1] == "layers", parts[2].count <= 4,
      let layer = Int(parts[2]), layer >= 0,
      let position = LinearLayer.allCases.firstIndex(where: { $0.path(layer: layer) == path })
    else { return nil }
    self.layer = layer
    self.position = position
  }

  static func < (left: ModulePlace, right: ModulePlace) -> Bool {
    (left.layer, left.position) < (right.layer, right.position)
  }
}
