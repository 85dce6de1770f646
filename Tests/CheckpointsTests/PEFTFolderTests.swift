import Adapters
import Checkpoints
import Containers
import FoundationEssentials
import Testing
import Transformers

@Suite struct PEFTFolderTests {
  @Test func whatPEFTWroteIsRead() throws {
    let configuration = try Checkpoint.open(Fixture.tied).configuration
    let contents = try PEFTFolder.read(Fixture.tied + "/adapter", for: configuration)
    let layout = contents.adapter.layout
    #expect(layout.rank == 4 && layout.alpha == 8)
    #expect(try layout.modules == configuration.linearModules(targets: .allLinear))
    #expect(contents.dropout == 0 && contents.baseModel == nil)
    let file = try TensorFile.open(Fixture.tied + "/adapter/adapter_model.safetensors")
    for factor in layout.factors {
      let entry = try file.require("base_model.model.\(factor.name).weight")
      #expect(try file.floats(of: entry) == Array(contents.adapter.values[factor.range]))
    }
  }

  @Test func whatIsWrittenIsReadBackBitForBit() throws {
    let folder = Folder()
    let adapter = try PEFTFolder.read(Fixture.untied + "/adapter").adapter
    try PEFTFolder.write(adapter, baseModel: "some/model", to: folder.path + "/deep/out")
    let again = try PEFTFolder.read(folder.path + "/deep/out")
    #expect(again.adapter == adapter)
    #expect(again.baseModel == "some/model")
    let config = String(
      decoding: try #require(
        FileManager.default.contents(atPath: folder.path + "/deep/out/adapter_config.json")),
      as: UTF8.self)
    #expect(config.contains("\"down_proj\",\n    \"gate_proj\""))
    #expect(!config.contains("all-linear"))
  }

  @Test func rankStabilisedFactorsAndDropoutAreRead() throws {
    let folder = Folder()
    let path = try folder.copy(Fixture.tied + "/adapter")
    let config = path + "/adapter_config.json"
    try edit(config, replace: "\"use_rslora\": false", with: "\"use_rslora\": true")
    try edit(config, replace: "\"lora_dropout\": 0.0", with: "\"lora_dropout\": 0.1")
    try edit(
      config, replace: "\"layers_to_transform\": null", with: "\"layers_to_transform\": [0, 1]")
    try edit(
      config, replace: "\"exclude_modules\": null", with: "\"exclude_modules\": [\"lm_head\"]")
    let contents = try PEFTFolder.read(path)
    #expect(contents.adapter.layout.scaling == .rankStabilised)
    #expect(contents.adapter.layout.scale == 4 && contents.dropout == 0.1)
    try PEFTFolder.write(
      contents.adapter, baseModel: "x", dropout: 0.1, to: folder.path + "/again")
    let again = try PEFTFolder.read(folder.path + "/again")
    #expect(again.adapter == contents.adapter && again.dropout == 0.1)
    // llama.cpp divides by the rank: 4 · 4 of them make what √4 made.
    let base = try Checkpoint.open(Fixture.tied)
    try GGUFAdapter.write(contents.adapter, for: base, to: folder.path + "/adapter.gguf")
    let file = try TensorFile.open(folder.path + "/adapter.gguf")
    #expect(file.metadata["adapter.lora.alpha"]?.real == 16)
  }

  @Test func aSubsetOfModulesIsEnough() throws {
    let folder = Folder()
    let modules = [
      AdapterModule(path: "model.layers.1.self_attn.v_proj", inputs: 48, outputs: 16),
      AdapterModule(path: "model.layers.1.mlp.down_proj", inputs: 80, outputs: 48),
    ]
    var adapter = Adapter.zero(layout: try AdapterLayout(rank: 2, alpha: 3, modules: modules))
    for index in adapter.values.indices { adapter.values[index] = Float(index) / 7 }
    try PEFTFolder.write(adapter, baseModel: "x", to: folder.path)
    let configuration = try Checkpoint.open(Fixture.untied).configuration
    #expect(try PEFTFolder.read(folder.path, for: configuration).adapter == adapter)
    let config = String(
      decoding: try #require(
        FileManager.default.contents(atPath: folder.path + "/adapter_config.json")),
      as: UTF8.self)
    #expect(config.contains("\"model.layers.1.self_attn.v_proj\""))
  }

  @Test(arguments: [ElementType.f16, .bf16])
  func shorterFloatsAreRead(type: ElementType) throws {
    let folder = Folder()
    let path = try folder.copy(Fixture.tied + "/adapter")
    try rewrite(path, as: type) { $0 }
    let short = try PEFTFolder.read(path).adapter
    let long = try PEFTFolder.read(Fixture.tied + "/adapter").adapter
    let gap = zip(short.values, long.values).map { abs($0 - $1) }.max() ?? 1
    #expect(gap > 0 && gap < 0.005)
  }

  @Test(arguments: [
    ("\"use_dora\": false", "\"use_dora\": true", "use_dora"),
    ("\"use_rslora\": false", "\"use_rslora\": 2", "use_rslora"),
    ("\"layers_to_transform\": null", "\"layers_to_transform\": [0]", "layers.1."),
    ("\"layers_to_transform\": null", "\"layers_to_transform\": \"0\"", "layers_to_transform"),
    ("\"layers_pattern\": null", "\"layers_pattern\": \"h\"", "layers_pattern"),
    ("\"exclude_modules\": null", "\"exclude_modules\": [\"v_proj\"]", "v_proj"),
    ("\"exclude_modules\": null", "\"exclude_modules\": \".*v_proj\"", "exclude_modules"),
    ("\"lora_dropout\": 0.0", "\"lora_dropout\": 1.0", "lora_dropout"),
    ("\"target_parameters\": null", "\"target_parameters\": [\"x\"]", "target_parameters"),
    ("\"trainable_token_indices\": null", "\"trainable_token_indices\": [1]", "trainable_token"),
    ("\"layer_replication\": null", "\"layer_replication\": [[0, 2]]", "layer_replication"),
    ("\"bias\": \"none\"", "\"bias\": \"all\"", "bias"),
    ("\"modules_to_save\": null", "\"modules_to_save\": [\"lm_head\"]", "modules_to_save"),
    ("\"rank_pattern\": {}", "\"rank_pattern\": {\"q_proj\": 8}", "rank_pattern"),
    ("\"alpha_pattern\": {}", "\"alpha_pattern\": {\"q_proj\": 8}", "alpha_pattern"),
    ("\"fan_in_fan_out\": false", "\"fan_in_fan_out\": true", "fan_in_fan_out"),
    ("\"init_lora_weights\": true", "\"init_lora_weights\": \"pissa\"", "init_lora_weights"),
    ("\"lora_bias\": false", "\"lora_bias\": true", "lora_bias"),
    ("\"velora_config\": null", "\"some_later_field\": 3", "some_later_field"),
    ("\"peft_type\": \"LORA\"", "\"peft_type\": \"IA3\"", "peft_type"),
    ("\"task_type\": \"CAUSAL_LM\"", "\"task_type\": \"SEQ_CLS\"", "task_type"),
    ("\"lora_alpha\": 8", "\"lora_alpha\": 8.5", "lora_alpha"),
    ("\"r\": 4", "\"r\": 8", "lora_A.weight"),
    ("\"r\": 4", "\"r\": 99999999999999999999", "r "),
    ("\"lora_dropout\": 0.0", "\"lora_dropout\": 7", "lora_dropout"),
    ("\"model.layers.0.mlp.up_proj\"", "\"embed_tokens\"", "layers.0.mlp.up_proj.lora"),
  ])
  func fieldsThatChangeTheMeaningAreRefusedByName(old: String, new: String, named: String) throws {
    let folder = Folder()
    let path = try folder.copy(Fixture.tied + "/adapter")
    try edit(path + "/adapter_config.json", replace: old, with: new)
    #expect {
      try PEFTFolder.read(path)
    } throws: { error in
      "\(error)".contains(named) && "\(error)".contains("hint: ")
    }
  }

  @Test func shapesThatDoNotFitTheBaseNameTheTensor() throws {
    let other = try Checkpoint.open(Fixture.untied).configuration
    #expect {
      try PEFTFolder.read(Fixture.tied + "/adapter", for: other)
    } throws: { error in
      guard case CheckpointError.wrongShape(_, let name, let found, let expected) = error else {
        return false
      }
      return name == "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
        && found == [4, 64] && expected == [4, 48]
    }
  }

  @Test func halvesAndStrangersAreNamed() throws {
    for (change, named) in [
      ("drop lora_B", "layers.1.mlp.gate_proj.lora_B.weight"),
      ("drop lora_A", "layers.1.mlp.gate_proj.lora_A.weight"),
      ("rename", "lora_magnitude_vector"),
    ] {
      let folder = Folder()
      let path = try folder.copy(Fixture.tied + "/adapter")
      let gate = "base_model.model.model.layers.1.mlp.gate_proj."
      try rewrite(path, as: .f32) { name in
        switch (change, name) {
        case ("drop lora_B", gate + "lora_B.weight"): nil
        case ("drop lora_A", gate + "lora_A.weight"): nil
        case ("rename", gate + "lora_B.weight"): gate + "lora_magnitude_vector"
        default: name
        }
      }
      #expect { try PEFTFolder.read(path) } throws: { "\($0)".contains(named) }
    }
  }

  /// Writes the factors again under other names or as another type.
  private func rewrite(
    _ folder: String, as type: ElementType, name rename: (String) -> String?
  ) throws {
    let path = folder + "/adapter_model.safetensors"
    let file = try TensorFile.open(path)
    var writer = SafetensorsWriter()
    for entry in file.tensors {
      guard let name = rename(entry.name) else { continue }
      try writer.add(name: name, shape: entry.shape, floats: file.floats(of: entry), as: type)
    }
    try writer.write(to: path)
  }
}
