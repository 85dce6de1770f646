import Checkpoints
import Containers
import FoundationEssentials
import Testing

/// Every field of PEFT's own configuration, as Tests/Tools/peft_fields.py found them.
@Suite struct PEFTFieldsTests {
  /// The list: each field with values that are not its default.
  private static func list() throws -> [(name: String, others: [JSONValue])] {
    let path = Fixture.root + "/peft/lora_config.json"
    let data = try #require(FileManager.default.contents(atPath: path))
    let fields = try #require(try JSONValue.parse([UInt8](data))["fields"]?.object)
    return try zip(fields.keys, fields.values).map { name, field in
      (name, try #require(field["others"]?.array))
    }
  }

  @Test func noFieldIsUnknown() throws {
    let names = try Self.list().map(\.name)
    #expect(names.count > 35)
    let unknown = names.filter { !PEFTFolder.knownFields.contains($0) }
    #expect(unknown.isEmpty, "PEFTConfiguration.fields says nothing of \(unknown)")
    // runtime_config is a field that PEFT itself never writes.
    let gone = PEFTFolder.knownFields.filter { !names.contains($0) && $0 != "runtime_config" }
    #expect(gone.isEmpty, "PEFT has no \(gone)")
  }

  /// What no test elsewhere shows to be honoured is refused by name, whatever it is set to.
  @Test func whatIsNotHonouredIsRefusedByName() throws {
    // Honoured: each has an effect in PEFTFolderTests, or is a name for people alone.
    let honoured: Set<String> = [
      "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules", "exclude_modules",
      "layers_to_transform", "base_model_name_or_path", "auto_mapping", "peft_version",
      "revision", "inference_mode", "eva_config",
    ]
    let harmlessStarts: [JSONValue] = [
      .string("gaussian"), .string("orthogonal"), .string("eva"), .bool(false),
    ]
    for (name, others) in try Self.list() where !honoured.contains(name) {
      for value in others {
        let fault = try fault(setting: name, to: value)
        if name == "init_lora_weights", harmlessStarts.contains(value) {
          #expect(fault == nil, "\(value)")
        } else {
          #expect(
            fault?.contains(name) == true && fault?.contains("hint: ") == true,
            "\(name) = \(value): \(fault ?? "passed")")
        }
      }
    }
  }

  @Test func defaultsPass() throws {
    let path = Fixture.root + "/peft/lora_config.json"
    let data = try #require(FileManager.default.contents(atPath: path))
    let fields = try #require(try JSONValue.parse([UInt8](data))["fields"]?.object)
    for (name, field) in zip(fields.keys, fields.values)
    where !["r", "lora_alpha", "target_modules"].contains(name) {
      let fault = try fault(setting: name, to: try #require(field["default"]))
      #expect(fault == nil, "\(name): \(fault ?? "")")
    }
  }

  /// What is said of the tied fixture's adapter when a field has a value; nil when it is read.
  private func fault(setting name: String, to value: JSONValue) throws -> String? {
    let folder = Folder()
    let path = try folder.copy(Fixture.tied + "/adapter")
    let file = path + "/adapter_config.json"
    let data = try #require(FileManager.default.contents(atPath: file))
    let old = try #require(try JSONValue.parse([UInt8](data)).object)
    let members = zip(old.keys, old.values).filter { $0.0 != name } + [(name, value)]
    let text = Self.text(.object(JSONObject(members)))
    FileManager.default.createFile(atPath: file, contents: Data(text.utf8))
    do {
      _ = try PEFTFolder.read(path)
      return nil
    } catch { return "\(error)" }
  }

  /// A value as JSON.
  private static func text(_ value: JSONValue) -> String {
    switch value {
    case .null: "null"
    case .bool(let flag): "\(flag)"
    case .integer(let number): "\(number)"
    case .real(let number): "\(number)"
    case .string(let text): "\"\(text)\""
    case .array(let items): "[" + items.map(text).joined(separator: ",") + "]"
    case .object(let object):
      "{"
        + zip(object.keys, object.values).map { "\"\($0)\":" + text($1) }.joined(separator: ",")
        + "}"
    }
  }
}
