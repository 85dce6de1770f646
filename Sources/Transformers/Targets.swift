import Adapters

/// One of the seven linear layers of a decoder block.
public enum LinearLayer: String, Sendable, CaseIterable {
  case query = "q_proj"
  case key = "k_proj"
  case value = "v_proj"
  case output = "o_proj"
  case gate = "gate_proj"
  case up = "up_proj"
  case down = "down_proj"

  /// The part of the block the layer sits in, as Hugging Face names it.
  var parent: String {
    switch self {
    case .query, .key, .value, .output: "self_attn"
    case .gate, .up, .down: "mlp"
    }
  }

  /// The layer's path in block `index`, for example `model.layers.0.mlp.up_proj`.
  public func path(layer index: Int) -> String {
    "model.layers.\(index).\(parent).\(rawValue)"
  }
}

/// Which linear layers of every block carry LoRA factors.
public struct Targets: Sendable, Equatable {
  /// In the block's order, without repetition.
  public let layers: [LinearLayer]

  /// All seven, as PEFT's `all-linear` chooses for this family (the vocabulary head stays out).
  public static let allLinear = Targets(LinearLayer.allCases)

  /// The given layers, put in the block's order.
  public init(_ layers: [LinearLayer]) {
    self.layers = LinearLayer.allCases.filter(layers.contains)
  }

  /// Reads `all-linear` or names as in `q_proj,v_proj`.
  ///
  /// - Throws: `TransformersError.target` that names what is not a layer.
  public init(text: String) throws {
    if text == "all-linear" {
      self = .allLinear
      return
    }
    let layers = try text.split(separator: ",").map { name in
      guard let layer = LinearLayer(rawValue: String(name)) else {
        let known = LinearLayer.allCases.map(\.rawValue).joined(separator: ", ")
        throw TransformersError.target("“\(name)” is none of \(known), nor all-linear")
      }
      return layer
    }
    guard !layers.isEmpty else { throw TransformersError.target("no layer was named") }
    self.init(layers)
  }

  /// `all-linear`, or the names joined by commas; `init(text:)` reads it back.
  public var text: String {
    self == .allLinear ? "all-linear" : layers.map(\.rawValue).joined(separator: ",")
  }
}

extension DecoderConfiguration {
  /// Inputs and outputs of a linear layer of this model.
  public func shape(of layer: LinearLayer) -> (inputs: Int, outputs: Int) {
    switch layer {
    case .query: (hidden, queryWidth)
    case .key, .value: (hidden, keyValueWidth)
    case .output: (queryWidth, hidden)
    case .gate, .up: (hidden, intermediate)
    case .down: (intermediate, hidden)
    }
  }

  /// The modules that exist in this model for `targets`: block by block, in the block's order.
  ///
  /// - Throws: `TransformersError.target` that names a layer that this model does not have.
  public func linearModules(targets: Targets) throws -> [AdapterModule] {
    let own = linears
    for layer in targets.layers where targets != .allLinear && !own.contains(layer) {
      throw TransformersError.target(
        "this model has no \(layer.rawValue); it has "
          + own.map(\.rawValue).joined(separator: ", "))
    }
    return (0..<layers).flatMap { index in
      targets.layers.filter(own.contains).map { layer in
        let shape = shape(of: layer)
        return AdapterModule(
          path: layer.path(layer: index), inputs: shape.inputs, outputs: shape.outputs)
      }
    }
  }
}
