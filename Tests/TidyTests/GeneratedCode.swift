/// The committed Swift of the messages against the `.proto` files that it was made from.
///
/// Compares names of messages, names of fields and their numbers, which is what a forgotten
/// regeneration gets wrong. Needs no compiler.
enum GeneratedCode {
  struct Message: Equatable {
    var name: String
    /// Field number → the name that generated Swift gives it.
    var fields: [Int: String]
  }

  private static var fieldPattern: Regex<(Substring, Substring, Substring)> {
    /^\s*(?:repeated\s+|optional\s+)?[\w.]+\s+(\w+)\s*=\s*(\d+)/
  }

  /// The messages of one `.proto` file; nested messages and enumerations are not used here.
  static func messages(in proto: String) -> [Message] {
    var messages: [Message] = []
    for line in Code(proto).lines {
      if let name = line.firstMatch(of: /^\s*message\s+(\w+)/)?.1 {
        messages.append(Message(name: String(name), fields: [:]))
      } else if !messages.isEmpty,
        let field = line.firstMatch(of: fieldPattern)
      {
        messages[messages.count - 1].fields[Int(field.2) ?? 0] = camel(String(field.1))
      }
    }
    return messages
  }

  /// Findings for one `.proto` file and the Swift made from it.
  static func findings(proto: HouseFile, swift: HouseFile) -> [Finding] {
    let lines = swift.lines
    return messages(in: proto.text).flatMap { message -> [Finding] in
      func find(_ what: String) -> Finding {
        Finding(
          file: swift.path, line: nil,
          message: "\(message.name) \(what): run Protocol/hanse/v1/generate.sh")
      }
      let opening = "extension Hanse_V1_\(message.name): SwiftProtobuf.Message"
      guard let start = lines.firstIndex(where: { $0.mentions(opening) }) else {
        return [find("is missing")]
      }
      let body = lines[(start + 1)...].prefix { !$0.mentions("extension Hanse_V1_") }
      let numbers = Set(
        body.compactMap { $0.firstMatch(of: /^\s*case (\d+): try/) }
          .compactMap { Int($0.1) })
      var findings: [Finding] = []
      if numbers != Set(message.fields.keys) {
        let odd = numbers.symmetricDifference(message.fields.keys).sorted()
        findings.append(find("differs in the fields \(odd)"))
      }
      let structOpening = "public nonisolated struct Hanse_V1_\(message.name):"
      let structStart = lines.firstIndex { $0.hasPrefix(structOpening) }
      let properties = structStart.map { begin in
        Set(
          lines[begin...].prefix { $0 != "}" }.compactMap { line in
            line.firstMatch(of: /^  public var `?(\w+)/).map { String($0.1) }
          })
      }
      for (number, name) in message.fields.sorted(by: { $0.key < $1.key })
      where properties?.contains(name) != true {
        findings.append(find("has no \(name) (field \(number))"))
      }
      return findings
    }
  }

  /// `created_seconds` → `createdSeconds`; `lab_id` → `labID`, as SwiftProtobuf has it.
  static func camel(_ name: String) -> String {
    let parts = name.split(separator: "_")
    return parts.enumerated().map { index, part in
      if ["id", "url", "http", "https"].contains(part) {
        return index == 0 ? String(part) : part.uppercased()
      }
      return index == 0 ? String(part) : part.prefix(1).uppercased() + part.dropFirst()
    }.joined()
  }
}
