import Adapters
import Deltas
import Determinism

/// Layouts and changes for tests, each from a seed.
enum Samples {
  /// Three modules whose factors end in the middle of a block; an odd number of coordinates.
  static func layout() throws -> AdapterLayout {
    try AdapterLayout(
      rank: 3, alpha: 6,
      modules: [
        AdapterModule(path: "layer.0.q_proj", inputs: 100, outputs: 7),
        AdapterModule(path: "layer.0.v_proj", inputs: 43, outputs: 128),
        AdapterModule(path: "layer.1.q_proj", inputs: 1, outputs: 1),
        AdapterModule(path: "layer.1.v_proj", inputs: 85, outputs: 1500),
      ])
  }

  /// A bell-shaped change with heavier tails and a scale of its own for each row of a factor.
  static func change(_ layout: AdapterLayout, seed: UInt64, scale: Float = 1e-3) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    var values = [Float](repeating: 0, count: layout.count)
    for factor in layout.factors {
      for row in 0..<factor.rows {
        let spread = scale * Float(0.25 + 1.5 * generator.nextUnit())
        for column in 0..<factor.columns {
          let bell = (0..<6).reduce(Float(0)) { sum, _ in sum + Float(generator.nextUnit()) } - 3
          values[factor.offset + row * factor.columns + column] = bell * spread
        }
      }
    }
    return values
  }

  static func delta(
    _ layout: AdapterLayout, seed: UInt64, scale: Float = 1e-3, tier: DeltaTier = .int4
  ) throws -> Delta {
    let wanted = change(layout, seed: seed, scale: scale)
    return try Delta.quantise(wanted: wanted, layout: layout, tier: tier).delta
  }

  /// LoRA of rank 16 on every linear map of so many of the 30 layers of SmolLM2-135M; all of them
  /// hold 4,884,480 numbers.
  static func largeLayout(layers: Int) throws -> AdapterLayout {
    var modules: [AdapterModule] = []
    for layer in 0..<layers {
      for (name, inputs, outputs) in [
        ("self_attn.q_proj", 576, 576), ("self_attn.k_proj", 576, 192),
        ("self_attn.v_proj", 576, 192), ("self_attn.o_proj", 576, 576),
        ("mlp.gate_proj", 576, 1536), ("mlp.up_proj", 576, 1536), ("mlp.down_proj", 1536, 576),
      ] {
        modules.append(
          AdapterModule(path: "model.layers.\(layer).\(name)", inputs: inputs, outputs: outputs))
      }
    }
    return try AdapterLayout(rank: 16, alpha: 32, modules: modules)
  }
}
