import Adapters
import Containers
import Transformers

/// LoRA adapters as llama.cpp loads them beside a model: one GGUF file of factors.
public enum GGUFAdapter {
  /// Writes an adapter of this base, as float32, replacing the file in one instant.
  ///
  /// Names, keys and the order of the rows of B are those of llama.cpp's `convert_lora_to_gguf.py`.
  /// Throws ``CheckpointError`` for a module that the format has no name for.
  public static func write(
    _ adapter: Adapter, for base: Checkpoint, to path: String
  ) throws {
    var writer = GGUFWriter()
    writer.add(key: "general.architecture", .string(base.family.ggufName))
    writer.add(key: "general.type", .string("adapter"))
    writer.add(key: "adapter.type", .string("lora"))
    // llama.cpp divides by the rank, whatever the scaling was.
    let layout = adapter.layout
    let alpha =
      layout.scaling == .standard ? Float(layout.alpha) : layout.scale * Float(layout.rank)
    writer.add(key: "adapter.lora.alpha", .f32(alpha))
    for factor in adapter.layout.factors {
      let module = adapter.layout.modules[factor.module].path
      guard let name = GGUFNames.ggufName(ofModule: module) else {
        throw CheckpointError.unexpectedTensor(path: path, name: factor.name)
      }
      var values = Array(adapter.values[factor.range])
      if factor.kind == .b, base.family.turnsNeighboursInGGUF,
        let heads = rotaryHeads(of: module, base.configuration)
      {
        values.withUnsafeMutableBufferPointer {
          interleaveHalves($0, heads: heads, columns: factor.columns)
        }
      }
      try writer.add(
        name: "\(name).\(factor.kind == .a ? "lora_a" : "lora_b")",
        shape: [factor.rows, factor.columns], floats: values)
    }
    try writer.write(to: path)
  }
}

/// How many heads' rows of a module's output are turned by position; nil for other modules.
func rotaryHeads(of module: String, _ configuration: DecoderConfiguration) -> Int? {
  if module.hasSuffix(".q_proj") { return configuration.heads }
  if module.hasSuffix(".k_proj") { return configuration.keyValueHeads }
  return nil
}
