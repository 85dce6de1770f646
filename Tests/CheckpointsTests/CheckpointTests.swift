import Checkpoints
import Containers
import FoundationEssentials
import Testing
import Transformers

@Suite struct CheckpointTests {
  @Test func aFolderTellsItsShape() throws {
    let checkpoint = try Checkpoint.open(Fixture.untied)
    #expect(
      checkpoint.configuration
        == DecoderConfiguration(
          vocabulary: 96, hidden: 48, layers: 2, heads: 4, keyValueHeads: 1, headDimension: 16,
          intermediate: 80, ropeTheta: 500_000, normEpsilon: 1e-6, tiedEmbeddings: false,
          maximumPositions: 256))
    #expect(checkpoint.architecture == "LlamaForCausalLM")
    let names = checkpoint.files.map { String($0.split(separator: "/").last ?? "") }
    #expect(names == ["config.json", "model.safetensors"])
  }

  @Test func ashardedFolderListsItsShards() throws {
    let names = try Checkpoint.open(Fixture.tied).files
      .map { String($0.split(separator: "/").last ?? "") }
    #expect(
      names == [
        "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
      ])
  }

  @Test func aGGUFFileIsTheSameModelAsItsFolder() throws {
    let folder = try Checkpoint.open(Fixture.tied)
    let file = try Checkpoint.open(Fixture.tied + "/model.gguf")
    #expect(file.configuration == folder.configuration)
    #expect(file.configuration.tiedEmbeddings)
    for part in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.down_proj"] {
      let name = "model.layers.1.\(part).weight"
      let count = part == "mlp.down_proj" ? 64 * 96 : part == "self_attn.q_proj" ? 4096 : 2048
      let left = try read(folder, name, count: count)
      #expect(try read(file, name, count: count) == left)
      #expect(left.contains { $0 != 0 })
    }
    #expect(try file.fingerprint() == folder.fingerprint())
  }

  @Test(arguments: [
    ("\"model_type\": \"llama\"", "\"model_type\": \"gemma2\"", "model_type"),
    ("\"LlamaForCausalLM\"", "\"Qwen2ForCausalLM\"", "architectures"),
    ("\"attention_bias\": false", "\"attention_bias\": true", "self_attn.q_proj.bias"),
    ("\"mlp_bias\": false", "\"mlp_bias\": true", "mlp.gate_proj.bias"),
    ("\"mlp_bias\": false", "\"sliding_window\": 128", "sliding_window"),
    ("\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", "hidden_act"),
    ("\"attention_dropout\": 0.0", "\"attention_dropout\": 0.1", "attention_dropout"),
    ("\"rope_type\": \"default\"", "\"rope_type\": \"llama3\"", "rope_parameters.low_freq_factor"),
    ("\"rope_type\": \"default\"", "\"rope_type\": \"yarn\"", "rope_parameters.rope_type"),
    ("\"rope_type\": \"default\"", "\"rope_type\": \"linear\"", "rope_parameters.factor"),
    ("\"rope_type\": \"default\"", "\"mscale\": 2", "rope_parameters.mscale"),
    ("\"rope_type\": \"default\"", "\"type\": \"default\", \"rope_type\": \"linear\"", "type"),
    (
      "\"mlp_bias\": false", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}",
      "rope_scaling beside"
    ),
    ("\"mlp_bias\": false", "\"partial_rotary_factor\": 0.5", "partial_rotary_factor"),
    (
      "\"mlp_bias\": false", "\"layer_types\": [\"full_attention\", \"sliding_attention\"]",
      "layer_types[1]"
    ),
    ("\"vocab_size\": 96", "\"vocab_size\": -1", "vocab_size"),
    ("\"vocab_size\": 96", "\"vocab_size\": 1e40", "vocab_size"),
    ("\"hidden_size\": 48,", "", "hidden_size"),
    ("\"num_key_value_heads\": 1", "\"num_key_value_heads\": 3", "key-value heads"),
    ("\"intermediate_size\": 80", "\"intermediate_size\": 81", "mlp.gate_proj.weight"),
    ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "model.layers.2"),
    ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", "model.layers.1"),
    ("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true", "lm_head.weight"),
  ])
  func aFolderThatAsksForSomethingElseIsRefusedByName(
    old: String, new: String, named: String
  ) throws {
    let folder = Folder()
    let path = try folder.copy(Fixture.untied)
    try edit(path + "/config.json", replace: old, with: new)
    #expect {
      try Checkpoint.open(path)
    } throws: { error in
      "\(error)".contains(named) && "\(error)".contains("hint: ")
    }
  }

  @Test func harmlessFieldsPass() throws {
    let folder = Folder()
    let path = try folder.copy(Fixture.untied)
    try edit(
      path + "/config.json", replace: "\"mlp_bias\": false",
      with: "\"rope_interleaved\": false, \"is_llama_config\": true, \"rope_scaling\": null")
    _ = try Checkpoint.open(path)
  }

  @Test func theRotaryBaseOfOlderFilesIsRead() throws {
    let folder = Folder()
    let path = try folder.copy(Fixture.untied)
    try edit(path + "/config.json", replace: "\"rope_parameters\"", with: "\"ignored\"")
    try edit(
      path + "/config.json", replace: "\"vocab_size\"", with: "\"rope_theta\": 7e4, \"vocab_size\"")
    #expect(try Checkpoint.open(path).configuration.ropeTheta == 70_000)
  }

  @Test func whatIsNotThereIsNamed() throws {
    let folder = Folder()
    #expect(throws: CheckpointError.notFound(path: "/no/model", reason: "no such file or folder")) {
      try Checkpoint.open("/no/model")
    }
    #expect { try Checkpoint.open(folder.path) } throws: { "\($0)".contains("config.json") }
    let path = try folder.copy(Fixture.tied)
    try FileManager.default.removeItem(atPath: path + "/model-00002-of-00002.safetensors")
    #expect { try Checkpoint.open(path) } throws: { "\($0)".contains("model-00002-of-00002") }
  }

  @Test(arguments: [
    ("general.architecture", GGUFWriter.Value.string("gemma2")),
    ("llama.expert_count", .u32(8)),
    ("llama.rope.scaling.type", .string("linear")),
    ("llama.attention.sliding_window", .u32(64)),
    ("llama.rope.dimension_count", .u32(8)),
    ("llama.attention.head_count_kv", .u32(3)),
    ("llama.block_count", .u32(1)),
    ("llama.block_count", .u32(3)),
    ("llama.embedding_length", .u32(0)),
    ("llama.attention.layer_norm_rms_epsilon", .f32(-1)),
  ])
  func aGGUFFileThatAsksForSomethingElseIsRefusedByName(
    key: String, value: GGUFWriter.Value
  ) throws {
    let folder = Folder()
    let path = folder.path + "/model.gguf"
    try rewriteGGUF(to: path, changing: key, to: value)
    #expect { try Checkpoint.open(path) } throws: { error in
      let text = "\(error)"
      return text.contains(key) || text.contains("tensor ") || text.contains("key-value heads")
    }
  }

  @Test func anUntouchedRewriteOpens() throws {
    let folder = Folder()
    let path = folder.path + "/model.gguf"
    try rewriteGGUF(to: path, changing: "llama.vocab_size", to: .u32(128))
    #expect(
      try Checkpoint.open(path).configuration
        == Checkpoint.open(Fixture.tied + "/model.gguf").configuration)
  }

  private func read(_ checkpoint: Checkpoint, _ name: String, count: Int) throws -> [Float] {
    var values = [Float](repeating: 0, count: count)
    try values.withUnsafeMutableBufferPointer {
      try checkpoint.weights.readTensor(name, into: $0)
    }
    return values
  }

  /// The tied fixture's file again, one of its keys changed or added.
  private func rewriteGGUF(
    to path: String, changing key: String, to value: GGUFWriter.Value
  ) throws {
    let file = try TensorFile.open(Fixture.tied + "/model.gguf")
    var writer = GGUFWriter()
    for (name, old) in file.metadata.sorted(by: { $0.key < $1.key }) where name != key {
      switch old {
      case .unsigned(let number): writer.add(key: name, .u32(UInt32(number)))
      case .real(let number): writer.add(key: name, .f32(Float(number)))
      case .string(let text): writer.add(key: name, .string(text))
      default: continue
      }
    }
    writer.add(key: key, value)
    for entry in file.tensors {
      try writer.add(name: entry.name, shape: entry.shape, floats: try file.floats(of: entry))
    }
    try writer.write(to: path)
  }
}
