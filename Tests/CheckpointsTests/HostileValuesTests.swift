import Adapters
import Checkpoints
import Containers
import FoundationEssentials
import Testing
import Transformers

/// Checkpoints that are whole files and yet no models.
@Suite struct HostileValuesTests {
  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func weightsThatAreNoNumbersAreRefusedByName(value: Float) throws {
    let folder = Folder()
    let path = try folder.copy(Fixture.untied)
    for name in ["model.layers.1.mlp.up_proj.weight", "model.norm.weight"] {
      try rewrite(path + "/model.safetensors", from: Fixture.untied + "/model.safetensors") {
        tensor, values in
        if tensor == name { values[values.count - 1] = value }
      }
      let checkpoint = try Checkpoint.open(path)
      #expect {
        try checkpoint.decoder(computeType: .f32)
      } throws: { error in
        "\(error)".contains(name) && "\(error)".contains("element")
      }
    }
  }

  @Test func factorsThatAreNoNumbersAreRefusedByName() throws {
    let folder = Folder()
    let path = try folder.copy(Fixture.untied + "/adapter")
    let name = "base_model.model.model.layers.0.self_attn.k_proj.lora_B.weight"
    let file = "/adapter_model.safetensors"
    try rewrite(path + file, from: Fixture.untied + "/adapter" + file) { tensor, values in
      if tensor == name { values[0] = .nan }
    }
    #expect { try PEFTFolder.read(path) } throws: { "\($0)".contains(name) }
  }

  @Test func aTruncatedFileIsRefusedWhateverItsLength() throws {
    let folder = Folder()
    let path = try folder.copy(Fixture.root + "/apertus")
    let whole = try #require(
      FileManager.default.contents(atPath: Fixture.root + "/apertus/model.safetensors"))
    for length in [0, 7, 8, 100, 2000, whole.count / 2, whole.count - 1] {
      _ = FileManager.default.createFile(
        atPath: path + "/model.safetensors", contents: whole.prefix(length))
      #expect(throws: (any Error).self, "\(length) bytes") { try Checkpoint.open(path) }
    }
  }

  /// A configuration that asks for more than the files hold is refused before anything is
  /// allocated for it.
  @Test func aConfigurationOfAHugeModelIsRefusedAtOnce() throws {
    let folder = Folder()
    let path = try folder.copy(Fixture.untied)
    try edit(path + "/config.json", replace: "\"vocab_size\": 96", with: "\"vocab_size\": 4194304")
    try edit(
      path + "/config.json", replace: "\"hidden_size\": 48", with: "\"hidden_size\": 262144")
    #expect {
      try Checkpoint.open(path)
    } throws: { error in
      guard case CheckpointError.wrongShape(_, let name, let found, _) = error else { return false }
      return name == "model.embed_tokens.weight" && found == [96, 48]
    }
  }

  /// Without a width of heads in the file it is a quotient, which is nothing when there are more
  /// heads than numbers.
  @Test func headsOfNoWidthAreRefused() throws {
    let folder = Folder()
    let path = folder.path + "/x.gguf"
    for (heads, width) in [(8, 4), (1, 8192)] {
      var writer = GGUFWriter()
      writer.add(key: "general.architecture", .string("llama"))
      for (key, value) in [
        ("embedding_length", width), ("attention.head_count", heads), ("block_count", 1),
        ("feed_forward_length", 4), ("context_length", 64),
      ] { writer.add(key: "llama." + key, .u32(UInt32(value))) }
      writer.add(key: "llama.attention.layer_norm_rms_epsilon", .f32(1e-5))
      try writer.add(
        name: "token_embd.weight", shape: [2, width],
        floats: [Float](repeating: 1, count: 2 * width))
      try writer.write(to: path)
      #expect {
        try Checkpoint.open(path)
      } throws: { error in
        "\(error)".contains("a head is \(width / heads) wide")
      }
    }
  }

  /// Names come from the file; printing one must not move anybody's cursor.
  @Test func namesInMessagesAreMadeFitForATerminal() throws {
    let folder = Folder()
    let path = try folder.copy(Fixture.untied)
    let file = try TensorFile.open(Fixture.untied + "/model.safetensors")
    var writer = SafetensorsWriter()
    for entry in file.tensors {
      try writer.add(name: entry.name, shape: entry.shape, floats: file.floats(of: entry))
    }
    try writer.add(name: "\u{1B}[2J\u{202E}evil", shape: [1], floats: [1])
    try writer.write(to: path + "/model.safetensors")
    #expect {
      try Checkpoint.open(path)
    } throws: { error in
      let text = "\(error)"
      return text.contains("\\u{1b}[2J") && !text.unicodeScalars.contains("\u{1B}")
        && !text.unicodeScalars.contains("\u{202E}")
    }
  }

  private func rewrite(
    _ path: String, from source: String, _ change: (String, inout [Float]) -> Void
  ) throws {
    let file = try TensorFile.open(source)
    var writer = SafetensorsWriter()
    for entry in file.tensors {
      var values = try file.floats(of: entry)
      change(entry.name, &values)
      try writer.add(name: entry.name, shape: entry.shape, floats: values)
    }
    try writer.write(to: path)
  }
}
