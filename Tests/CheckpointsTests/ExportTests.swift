import Adapters
import Checkpoints
import Containers
import Testing
import Transformers

@Suite struct ExportTests {
  @Test func aMergedFolderComputesWhatBaseAndAdapterDo() throws {
    let (folder, base) = (Folder(), try Checkpoint.open(Fixture.untied))
    let adapter = try PEFTFolder.read(Fixture.untied + "/adapter").adapter
    try MergedModel.write(base, adapter, to: folder.path + "/merged")
    let merged = try Checkpoint.open(folder.path + "/merged")
    #expect(merged.configuration == base.configuration)
    try expectSameLogits(base, adapter, merged, tolerance: 1e-4)
  }

  @Test func aMergedFileComputesWhatBaseAndAdapterDo() throws {
    let (folder, base) = (Folder(), try Checkpoint.open(Fixture.tied + "/model.gguf"))
    let adapter = try PEFTFolder.read(Fixture.tied + "/adapter").adapter
    let path = folder.path + "/merged.gguf"
    try MergedModel.write(base, adapter, to: path)
    let merged = try Checkpoint.open(path)
    #expect(merged.configuration == base.configuration)
    // Its matrices are bfloat16, which rounds the sum.
    try expectSameLogits(base, adapter, merged, tolerance: 0.03)
    let (old, new) = (try TensorFile.open(base.path), try TensorFile.open(path))
    #expect(new.metadata["llama.rope.freq_base"] == old.metadata["llama.rope.freq_base"])
    let norm = "blk.0.attn_norm.weight"
    #expect(
      new.bytes(of: try new.require(norm)).elementsEqual(old.bytes(of: try old.require(norm))))
  }

  @Test func theBaseIsNotOverwritten() throws {
    let base = try Checkpoint.open(Fixture.tied + "/model.gguf")
    let adapter = try PEFTFolder.read(Fixture.tied + "/adapter").adapter
    #expect(throws: CheckpointError.self) { try MergedModel.write(base, adapter, to: base.path) }
  }

  @Test func anAdapterOfAnotherBaseIsRefused() throws {
    let folder = Folder()
    let adapter = try PEFTFolder.read(Fixture.untied + "/adapter").adapter
    #expect {
      try MergedModel.write(
        try Checkpoint.open(Fixture.tied), adapter, to: folder.path + "/merged")
    } throws: { "\($0)".contains("model.layers.0.self_attn.q_proj") }
  }

  /// llama.cpp adds B·A to a matrix whose rows are in its own rotary order, so B's must be too.
  @Test func theGGUFAdapterHasItsRowsInTheOrderOfTheFile() throws {
    let folder = Folder()
    let base = try Checkpoint.open(Fixture.tied + "/model.gguf")
    let adapter = try PEFTFolder.read(Fixture.tied + "/adapter").adapter
    try GGUFAdapter.write(adapter, for: base, to: folder.path + "/adapter.gguf")
    let file = try TensorFile.open(folder.path + "/adapter.gguf")
    #expect(file.metadata["general.type"]?.string == "adapter")
    #expect(file.metadata["adapter.type"]?.string == "lora")
    #expect(file.metadata["adapter.lora.alpha"]?.real == 8)
    #expect(file.tensors.count == adapter.layout.factors.count)
    // 2 key heads of 16 rows: row 2i + j of the file is row (j, i) here.
    let stored = try file.floats(of: try file.require("blk.1.attn_k.weight.lora_b"))
    let factor = try #require(
      adapter.layout.factors.first { $0.name == "model.layers.1.self_attn.k_proj.lora_B" })
    let own = Array(adapter.values[factor.range])
    for head in 0..<2 {
      for row in 0..<16 {
        let source = head * 16 + (row % 2) * 8 + row / 2
        let to = (head * 16 + row) * 4
        #expect(Array(stored[to..<to + 4]) == Array(own[source * 4..<source * 4 + 4]))
      }
    }
    let plain = try file.floats(of: try file.require("blk.1.ffn_down.weight.lora_b"))
    let down = try #require(
      adapter.layout.factors.first { $0.name == "model.layers.1.mlp.down_proj.lora_B" })
    #expect(plain == Array(adapter.values[down.range]))
  }

  private func expectSameLogits(
    _ base: Checkpoint, _ adapter: Adapter, _ merged: Checkpoint, tolerance: Double
  ) throws {
    let tokens = (0..<24).map { Int32($0 * 7 % 90) }
    let left = try base.decoder(computeType: .f32)
    try left.setAdapter(adapter)
    let right = try merged.decoder(computeType: .f32)
    let wanted = left.logits(tokens: tokens, batch: 1, length: 24)
    let found = right.logits(tokens: tokens, batch: 1, length: 24)
    var (gap, norm) = (0.0, 0.0)
    for (a, b) in zip(wanted, found) {
      gap += Double((a - b) * (a - b))
      norm += Double(a * a)
    }
    #expect((gap / norm).squareRoot() < tolerance)
    #expect(gap > 0)
  }
}
