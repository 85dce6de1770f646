import Adapters
import Checkpoints
import Containers
import FoundationEssentials
import Testing
import Transformers

/// What the configurations of the family's architectures say, and what they may not.
@Suite struct FamilyConfigurationTests {
  private static let scaling = RotaryScaling.llama3(factor: 8, low: 1, high: 4, original: 64)

  @Test func everyDifferenceIsRead() throws {
    let llama = try open("llama3")
    #expect(llama.biases == Set(LinearLayer.allCases) && llama.rotaryScaling == Self.scaling)
    let mistral = try open("mistral")
    #expect(mistral.slidingWindow == 9 && mistral.slidingLayers == [0, 1])
    let qwen2 = try open("qwen2")
    #expect(qwen2.biases == [.query, .key, .value])
    #expect(qwen2.slidingWindow == 7 && qwen2.slidingLayers == [1])
    #expect(qwen2.rotaryScaling == .linear(factor: 4))
    let qwen3 = try open("qwen3")
    #expect(qwen3.headNorm == .perHead && qwen3.headDimension == 16 && qwen3.tiedEmbeddings)
    let smollm3 = try open("smollm3")
    #expect(smollm3.unrotatedLayers == [3] && smollm3.ropeTheta == 2_000_000)
    let olmo2 = try open("olmo2")
    #expect(olmo2.headNorm == .whole && olmo2.normPlacement == .after)
    let apertus = try open("apertus")
    #expect(apertus.activation == .xielu && apertus.headNorm == .perHead)
    #expect(apertus.rotaryScaling == Self.scaling)
    #expect(try Checkpoint.open(Fixture.root + "/apertus").architecture == "ApertusForCausalLM")
  }

  @Test(arguments: ["llama3", "qwen3", "smollm3", "olmo2", "apertus"])
  func aGGUFFileIsTheSameModelAsItsFolder(name: String) throws {
    let folder = try Checkpoint.open(Fixture.root + "/" + name)
    let file = try Checkpoint.open(Fixture.root + "/" + name + "/model.gguf")
    var (left, right) = (folder.configuration, file.configuration)
    #expect((left.rotaryScaling == .none) == (right.rotaryScaling == .none))
    left.rotaryScaling = .none
    right.rotaryScaling = .none
    #expect(left == right)
    var tensors = [
      ("self_attn.q_proj.weight", left.hidden * left.queryWidth),
      ("mlp.down_proj.weight", left.hidden * left.intermediate),
      (left.normNames.feedForward, left.hidden),
    ]
    if left.biases.contains(.key) { tensors.append(("self_attn.k_proj.bias", left.keyValueWidth)) }
    if left.activation == .xielu {
      tensors += ["alpha_p", "alpha_n", "beta"].map { ("mlp.act_fn." + $0, 1) }
    }
    for (part, count) in tensors {
      let tensor = "model.layers.1." + part
      let values = try read(folder, tensor, count: count)
      #expect(try read(file, tensor, count: count) == values, "\(tensor)")
      #expect(values.contains { $0 != 0 })
    }
  }

  @Test(arguments: [
    ("mistral", "\"sliding_window\": 9", "\"sliding_window\": 0", "sliding_window"),
    ("mistral", "\"sliding_window\": 9", "\"attention_bias\": true", "attention_bias"),
    ("mistral", "\"num_key_value_heads\": 2,", "", "num_key_value_heads"),
    ("qwen2", "\"full_attention\"", "\"chunked_attention\"", "layer_types[0]"),
    ("qwen2", "\"use_sliding_window\": true", "\"use_sliding_window\": false", "layer_types[1]"),
    ("qwen2", "\"Qwen2ForCausalLM\"", "\"Qwen2ForSequenceClassification\"", "architectures"),
    ("qwen3", "\"attention_bias\": false", "\"attention_bias\": true", "q_proj.bias"),
    ("qwen3", "\"head_dim\": 16,", "", "q_proj.weight"),
    ("smollm3", "    0\n  ],", "    2\n  ],", "no_rope_layers"),
    ("smollm3", "    0\n  ],", "    1\n  ], \"num_hidden_layers\": 5,", "num_hidden_layers"),
    ("olmo2", "\"model_type\": \"olmo2\"", "\"model_type\": \"olmo3\"", "olmo3"),
    ("olmo2", "\"hidden_act\": \"silu\"", "\"hidden_act\": \"xielu\"", "hidden_act"),
    ("apertus", "\"hidden_act\": \"xielu\"", "\"hidden_act\": \"silu\"", "hidden_act"),
    ("apertus", "\"use_cache\": true", "\"mlp_bias\": true", "mlp_bias"),
    ("apertus", "\"use_cache\": true", "\"post_norm\": true", "post_norm"),
    ("apertus", "\"low_freq_factor\": 1.0", "\"low_freq_factor\": 4.0", "high_freq_factor"),
    ("apertus", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "attention_layernorm"),
    ("llama3", "\"mlp_bias\": true", "\"mlp_bias\": false", "_proj.bias"),
  ])
  func whatIsNotComputedIsRefusedByName(
    name: String, old: String, new: String, named: String
  ) throws {
    let folder = Folder()
    let path = try folder.copy(Fixture.root + "/" + name)
    try edit(path + "/config.json", replace: old, with: new)
    #expect {
      try Checkpoint.open(path)
    } throws: { error in
      "\(error)".contains(named) && "\(error)".contains("hint: ")
    }
  }

  @Test func defaultsAreThoseOfTheClasses() throws {
    let folder = Folder()
    let path = try folder.copy(Fixture.root + "/mistral")
    try edit(path + "/config.json", replace: "\"sliding_window\": 9,", with: "")
    #expect(try Checkpoint.open(path).configuration.slidingWindow == 4096)
    try edit(
      path + "/config.json", replace: "\"vocab_size\"",
      with: "\"sliding_window\": null, \"vocab_size\"")
    let open = try Checkpoint.open(path).configuration
    #expect(open.slidingWindow == nil && open.slidingLayers.isEmpty)
    let other = Folder()
    let apertus = try other.copy(Fixture.root + "/apertus")
    try edit(apertus + "/config.json", replace: "\"rope_parameters\"", with: "\"elsewhere\"")
    let shape = try Checkpoint.open(apertus).configuration
    #expect(shape.ropeTheta == 12_000_000)
    #expect(shape.rotaryScaling == .llama3(factor: 8, low: 1, high: 4, original: 8192))
  }

  @Test func exportsKeepTheNamesAndOrderOfTheirFiles() throws {
    for (name, file) in [("apertus", ""), ("apertus", "/model.gguf"), ("olmo2", "/model.gguf")] {
      let folder = Folder()
      let base = try Checkpoint.open(Fixture.root + "/" + name + file)
      let adapter = try PEFTFolder.read(
        Fixture.root + "/" + name + "/adapter", for: base.configuration
      ).adapter
      let path = folder.path + (file.isEmpty ? "/merged" : "/merged.gguf")
      try MergedModel.write(base, adapter, to: path)
      let (old, new) = (try TensorFile.open(base.path), try TensorFile.open(path))
      #expect(Set(old.tensors.map(\.name)) == Set(new.tensors.map(\.name)))
      let merged = try Checkpoint.open(path)
      #expect(merged.configuration == base.configuration)
      let (left, right) = (
        try base.decoder(computeType: .f32), try merged.decoder(computeType: .f32)
      )
      try left.setAdapter(adapter)
      let tokens = (0..<12).map { Int32($0 * 7 % 60) }
      let wanted = left.logits(tokens: tokens, batch: 1, length: 12)
      let found = right.logits(tokens: tokens, batch: 1, length: 12)
      let size = wanted.map(abs).max() ?? 0
      #expect(zip(wanted, found).allSatisfy { abs($0 - $1) < 0.05 * size })
      try GGUFAdapter.write(adapter, for: base, to: folder.path + "/adapter.gguf")
      let exported = try TensorFile.open(folder.path + "/adapter.gguf")
      #expect(exported.metadata["general.architecture"]?.string == name)
      let factor = try #require(
        adapter.layout.factors.first { $0.name == "model.layers.1.self_attn.q_proj.lora_B" })
      #expect(
        try exported.floats(of: exported.require("blk.1.attn_q.weight.lora_b"))
          == Array(adapter.values[factor.range]))
    }
  }

  private func open(_ name: String) throws -> DecoderConfiguration {
    try Checkpoint.open(Fixture.root + "/" + name).configuration
  }

  private func read(_ checkpoint: Checkpoint, _ name: String, count: Int) throws -> [Float] {
    var values = [Float](repeating: 0, count: count)
    try values.withUnsafeMutableBufferPointer {
      try checkpoint.weights.readTensor(name, into: $0)
    }
    return values
  }
}
