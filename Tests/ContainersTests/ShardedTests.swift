import Containers
import Testing

@Suite struct ShardedTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    for (name, tensors) in [("one", ["a", "b"]), ("two", ["c", "spare"])] {
      var writer = SafetensorsWriter(metadata: ["format": "pt"])
      for tensor in tensors {
        try writer.add(name: tensor, shape: [1], floats: [Float(tensor.utf8.first ?? 0)])
      }
      try writer.write(to: folder.path + "/\(name).safetensors")
    }
  }

  private func index(_ json: String) throws {
    _ = try folder.file("model.safetensors.index.json", Array(json.utf8))
  }

  @Test func severalFilesAreOneCheckpoint() throws {
    try index(
      """
      {"metadata":{"total_size":12},"weight_map":{"a":"one.safetensors","b":"one.safetensors",\
      "c":"two.safetensors"}}
      """)
    let file = try TensorFile.open(folder.path)
    #expect(file.tensors.map(\.name) == ["a", "b", "c"])
    #expect(file.files.count == 2)
    for entry in file.tensors {
      #expect(try file.floats(of: entry) == [Float(entry.name.utf8.first ?? 0)])
    }
    #expect(file.tensor(named: "spare") == nil)
  }

  @Test(arguments: [
    #"{"weight_map":{"a":"../one.safetensors"}}"#, #"{"weight_map":{"a":"/etc/passwd"}}"#,
    #"{"weight_map":{"a":""}}"#, #"{"weight_map":{"a":1}}"#, #"{"weight_map":[]}"#, "{}", "",
    #"{"weight_map":{"c":"one.safetensors"}}"#, #"{"weight_map":{"a":"three.safetensors"}}"#,
    #"{"weight_map":{"a":"one.safetensors","a":"two.safetensors"}}"#,
  ])
  func aBrokenIndexIsRefused(json: String) throws {
    try index(json)
    #expect(throws: ContainerError.self) { try TensorFile.open(folder.path) }
  }
}
