import Containers
import Glibc
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
    // To Swift the slash and the accent are one character that is no slash.
    "{\"weight_map\":{\"a\":\"one.safetensors/\u{301}\"}}", #"{"weight_map":{"a":".hidden"}}"#,
    "{\"weight_map\":{\"a\":\".\u{301}/../one.safetensors\"}}",
    #"{"weight_map":{"a":"one.safetensors\u0000"}}"#,
  ])
  func aBrokenIndexIsRefused(json: String) throws {
    try index(json)
    #expect(throws: ContainerError.self) { try TensorFile.open(folder.path) }
  }

  @Test(arguments: ["a/\u{301}b", "/\u{301}b", ".\u{301}b"])
  func aSlashUnderAnAccentIsASlash(name: String) throws {
    try index("{\"weight_map\":{\"a\":\"\(name)\"}}")
    let error = #expect(throws: ContainerError.self) { try TensorFile.open(folder.path) }
    #expect(error?.description.contains("plain file name") == true, "\(error?.description ?? "")")
  }

  @Test func linksInCirclesFoldersAndPipesAreRefusedByName() throws {
    try index(#"{"weight_map":{"a":"circle","b":"folder","c":"pipe"}}"#)
    #expect(symlink("circle", folder.path + "/circle") == 0)
    #expect(mkdir(folder.path + "/folder", 0o755) == 0)
    #expect(mkfifo(folder.path + "/pipe", 0o600) == 0)
    for (name, says) in [("circle", "symbolic links"), ("folder", "plain"), ("pipe", "plain")] {
      try index("{\"weight_map\":{\"a\":\"\(name)\"}}")
      let error = #expect(throws: ContainerError.self) { try TensorFile.open(folder.path) }
      let text = error?.description ?? ""
      #expect(text.contains("/\(name)") && text.contains(says), "\(text)")
    }
  }

  /// A file full of holes costs its maker nothing; it must cost the reader nothing either.
  @Test func anIndexLargerThanAnyIsRefusedUnread() throws {
    try index("{")
    #expect(truncate(folder.path + "/model.safetensors.index.json", 1 << 40) == 0)
    let error = #expect(throws: ContainerError.self) { try TensorFile.open(folder.path) }
    #expect(error?.description.contains("\(1 << 40) bytes") == true)
  }
}
