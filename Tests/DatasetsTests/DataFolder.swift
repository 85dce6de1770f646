import FoundationEssentials
import Tokenizers

/// A folder with data files and a tokenizer of single bytes, gone with the object.
final class DataFolder {
  let path: String
  let tokenizer: Tokenizer

  /// Ids: 0 separates, 1 and 2 mark turns, 3… are the letters.
  init(chatTemplate: String = "{{'<|im_start|>' + message['role'] + '<|im_end|>'}}") throws {
    path = FileManager.default.temporaryDirectory.path + "/datasets-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    let letters = Array("abcdefghijklmnopqrstuvwxyzĠĊï¿½<|_>")
    let vocabulary = letters.enumerated().map { "\"\($1)\":\($0 + 3)" }.joined(separator: ",")
    let specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].enumerated().map {
      #"{"id":\#($0),"content":"\#($1)","special":true}"#
    }.joined(separator: ",")
    let json =
      #"{"model":{"type":"BPE","vocab":{\#(vocabulary)},"merges":[]},"pre_tokenizer":"#
      + #"{"type":"ByteLevel","add_prefix_space":false},"added_tokens":[\#(specials)]}"#
    try Data(json.utf8).write(to: URL(filePath: path + "/tokenizer.json"))
    try Data(#"{"chat_template":"\#(chatTemplate)"}"#.utf8)
      .write(to: URL(filePath: path + "/tokenizer_config.json"))
    tokenizer = try Tokenizer.load(model: path)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file and gives its path.
  func file(_ name: String, _ text: String) throws -> String {
    try file(name, bytes: Array(text.utf8))
  }

  func file(_ name: String, bytes: [UInt8]) throws -> String {
    let target = path + "/" + name
    try Data(bytes).write(to: URL(filePath: target))
    return target
  }
}
