import Adapters
import Records

/// The adapter that a charter describes.
package enum AdapterShapes {
  /// The layout of its factors.
  package static func layout(of charter: Charter) throws -> AdapterLayout {
    let shape = charter.message.adapter
    return try AdapterLayout(
      rank: Int(shape.rank), alpha: Int(shape.alpha),
      modules: shape.modules.map {
        AdapterModule(path: $0.path, inputs: Int($0.inputs), outputs: Int($0.outputs))
      })
  }
}
