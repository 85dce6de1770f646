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

/// Which linear layers carry LoRA factors: of every block, or of some.
public struct Targets: Sendable, Equatable {
  /// Those that carry factors in every block, in the block's order, without repetition.
  public let layers: [LinearLayer]
  /// Whether all layers are meant that a model has, whichever they are.
  public let isAllLinear: Bool
  /// Whole paths of modules that carry factors too; `*` stands for any characters.
  public let patterns: [String]
  /// Whole paths of modules that carry none, whatever the rest says.
  public let exceptions: [String]

  /// All that a model has, as PEFT's `all-linear` chooses for this family (the vocabulary head
  /// stays out).
  public static let allLinear = Targets(
    layers: LinearLayer.allCases, isAllLinear: true, patterns: [], exceptions: [])

  /// The given layers of every block, put in the block's order.
  public init(_ layers: [LinearLayer]) {
    self.init(
      layers: LinearLayer.allCases.filter(layers.contains), isAllLinear: false, patterns: [],
      exceptions: [])
  }

  private init(
    layers: [LinearLayer], isAllLinear: Bool, patterns: [String], exceptions: [String]
  ) {
    self.layers = layers
    self.isAllLinear = isAllLinear
    self.patterns = patterns
    self.exceptions = exceptions
  }

  /// Reads `all-linear`, names as in `q_proj,v_proj`, paths as in `model.layers.1*.mlp.*`, and
  /// exceptions as in `all-linear,!model.layers.0.*`.
  ///
  /// - Throws: `TransformersError.target` that names what is not a layer.
  public init(text: String) throws {
    var layers: [LinearLayer] = []
    var isAllLinear = false
    var patterns: [String] = []
    var exceptions: [String] = []
    for item in text.split(separator: ",").map(String.init) {
      if item == "all-linear" {
        isAllLinear = true
      } else if let layer = LinearLayer(rawValue: item) {
        layers.append(layer)
      } else if item.hasPrefix("!"), item.count > 1 {
        exceptions.append(String(item.dropFirst()))
      } else if item.contains(".") || item.contains("*") {
        patterns.append(item)
      } else {
        let known = LinearLayer.allCases.map(\.rawValue).joined(separator: ", ")
        throw TransformersError.target(
          "“\(item)” is none of \(known), nor all-linear, nor a path such as model.layers.1*.mlp.*")
      }
    }
    guard isAllLinear || !layers.isEmpty || !patterns.isEmpty else {
      throw TransformersError.target("no layer was named")
    }
    self.init(
      layers: LinearLayer.allCases.filter { isAllLinear || layers.contains($0) },
      isAllLinear: isAllLinear, patterns: patterns, exceptions: exceptions)
  }

  /// What `init(text:)` reads back.
  public var text: String {
    ((isAllLinear ? ["all-linear"] : layers.map(\.rawValue)) + patterns
      + exceptions.map { "!" + $0 }).joined(separator: ",")
  }
}

/// Whether a path is of a pattern, in which `*` stands for any characters, none included.
///
/// Only the last `*` is ever tried again, so the steps are at most the product of the lengths.
func matches(_ path: String, _ pattern: String) -> Bool {
  let (path, pattern) = (Array(path.utf8), Array(pattern.utf8))
  let star = UInt8(ascii: "*")
  var (at, on) = (0, 0)
  var retry: (at: Int, on: Int)?
  while at < path.count {
    if on < pattern.count, pattern[on] == star {
      retry = (at, on)
      on += 1
    } else if on < pattern.count, pattern[on] == path[at] {
      at += 1
      on += 1
    } else if let last = retry {
      retry = (last.at + 1, last.on)
      (at, on) = (last.at + 1, last.on + 1)
    } else {
      return false
    }
  }
  return pattern[on...].allSatisfy { $0 == star }
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
  /// - Throws: `TransformersError.target` that names a layer that this model does not have, or a
  ///   path that is of none of its modules.
  public func linearModules(targets: Targets) throws -> [AdapterModule] {
    let own = linears
    for layer in targets.layers where !targets.isAllLinear && !own.contains(layer) {
      throw TransformersError.target(
        "this model has no \(layer.rawValue); it has "
          + own.map(\.rawValue).joined(separator: ", "))
    }
    var unmet = Set(targets.patterns + targets.exceptions)
    var modules: [AdapterModule] = []
    for index in 0..<layers {
      for layer in own {
        let path = layer.path(layer: index)
        let named = targets.patterns.filter { matches(path, $0) }
        let excepted = targets.exceptions.filter { matches(path, $0) }
        unmet.subtract(named + excepted)
        guard excepted.isEmpty, targets.layers.contains(layer) || !named.isEmpty else { continue }
        let shape = shape(of: layer)
        modules.append(
          AdapterModule(path: path, inputs: shape.inputs, outputs: shape.outputs))
      }
    }
    if let pattern = unmet.min() {
      throw TransformersError.target(
        "“\(pattern)” is the path of no linear layer of this model; they are called "
          + "\(LinearLayer.query.path(layer: 0)) and so on")
    }
    guard !modules.isEmpty else { throw TransformersError.target("nothing is left of the layers") }
    return modules
  }
}
