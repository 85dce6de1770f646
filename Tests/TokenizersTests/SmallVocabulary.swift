import Containers
import FoundationEssentials
import Tokenizers

/// The committed small vocabulary (Tests/Tools/tokenizer_fixture.py) and tokenizers made from it.
struct SmallVocabulary {
  /// A text and the ids the reference gives.
  struct Case: Sendable {
    let text: String
    let ids: [Int32]
  }

  let json: JSONValue

  init() throws {
    let folder = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    let data = try Data(contentsOf: URL(filePath: "/\(folder)/Fixtures/tokenizers/small.json"))
    json = try JSONValue.parse([UInt8](data))
  }

  /// A tokenizer loaded from a folder with these parts of a tokenizer.json.
  func tokenizer(
    preTokenizer: JSONValue, normalizer: JSONValue = .null, added: JSONValue = .array([]),
    looksUpWords: Bool = false, template: String? = nil
  ) throws -> Tokenizer {
    var model = json["model"]?.object ?? JSONObject()
    model = model.replacing("ignore_merges", with: .bool(looksUpWords))
    let file = JSONObject([
      ("version", .string("1.0")), ("added_tokens", added), ("normalizer", normalizer),
      ("pre_tokenizer", preTokenizer), ("model", .object(model)),
    ])
    let folder = try TokenizerFolder(JSONValue.object(file).text)
    let configuration: JSONValue = .object(
      JSONObject([
        ("eos_token", .string("<|im_end|>")),
        ("chat_template", template.map(JSONValue.string) ?? .null),
      ]))
    try folder.write("tokenizer_config.json", configuration.text)
    return try Tokenizer.load(model: folder.path)
  }

  /// The special tokens as `added_tokens` of a tokenizer.json; they are the vocabulary's first.
  var specials: JSONValue {
    let names = json["specials"]?.array?.compactMap(\.string) ?? []
    return .array(
      names.enumerated().map { id, name in
        .object(
          JSONObject([
            ("id", .integer(id)), ("content", .string(name)), ("special", .bool(true)),
          ]))
      })
  }

  static func cases(_ variant: JSONValue) -> [Case] {
    (variant["cases"]?.array ?? []).compactMap { pair in
      guard let text = pair.array?.first?.string,
        let ids = pair.array?.last?.array?.compactMap(\.integer)
      else { return nil }
      return Case(text: text, ids: ids.map(Int32.init))
    }
  }
}

/// A folder with a tokenizer.json, gone with the object.
final class TokenizerFolder {
  let path: String

  init(_ json: String) throws {
    path = FileManager.default.temporaryDirectory.path + "/tokenizers-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    try write("tokenizer.json", json)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ name: String, _ text: String) throws {
    try Data(text.utf8).write(to: URL(filePath: path + "/" + name))
  }
}

extension JSONObject {
  /// A copy in which the member has this value.
  func replacing(_ key: String, with value: JSONValue) -> JSONObject {
    JSONObject(zip(keys, values).filter { $0.0 != key } + [(key, value)])
  }
}
