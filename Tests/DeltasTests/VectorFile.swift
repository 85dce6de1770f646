import Foundation

/// A test vector as it stands in Protocol/Vectors: lines of `key: value`, an empty line, hex.
struct VectorFile: Equatable {
  var name: String
  var fields: [Field]
  var body: [UInt8]

  struct Field: Equatable {
    var key: String
    var value: String
  }

  init(_ name: String, _ fields: [(String, String)], body: [UInt8] = []) {
    self.name = name
    self.fields = fields.map { Field(key: $0.0, value: $0.1) }
    self.body = body
  }

  /// Reads a file; nil when it is not of the form.
  init?(name: String, text: String) {
    let parts = text.split(separator: "\n\n", maxSplits: 1, omittingEmptySubsequences: false)
    self.name = name
    fields = []
    for line in parts[0].split(separator: "\n") {
      let halves = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      guard halves.count == 2, halves[1].first == " " || halves[1].isEmpty else { return nil }
      fields.append(Field(key: String(halves[0]), value: String(halves[1].dropFirst())))
    }
    body = []
    if parts.count == 2 {
      guard let bytes = Self.bytes(hex: parts[1].filter { $0 != "\n" }) else { return nil }
      body = bytes
    }
  }

  /// The file's text.
  var text: String {
    var text = fields.map { $0.value.isEmpty ? "\($0.key):\n" : "\($0.key): \($0.value)\n" }
      .joined()
    if !body.isEmpty {
      text += "\n"
      for start in stride(from: 0, to: body.count, by: 32) {
        text += Self.hex(body[start..<min(start + 32, body.count)]) + "\n"
      }
    }
    return text
  }

  /// The value of the first line with a key.
  subscript(key: String) -> String? { fields.first { $0.key == key }?.value }

  /// The values of all lines with a key.
  func all(_ key: String) -> [String] { fields.filter { $0.key == key }.map(\.value) }

  static func hex(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  static func bytes(hex: some StringProtocol) -> [UInt8]? {
    let digits = hex.compactMap(\.hexDigitValue)
    guard digits.count == hex.count, digits.count.isMultiple(of: 2) else { return nil }
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
  }
}

/// One folder of Protocol/Vectors.
struct VectorFolder {
  let url: URL

  init(_ name: String) {
    url = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "Protocol/Vectors").appending(path: name)
  }

  /// Whether this run writes the vectors instead of checking them.
  static var isForging: Bool { ProcessInfo.processInfo.environment["HANSE_FORGE_VECTORS"] == "1" }

  /// The names of the vectors, sorted.
  func names() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: url.path)
      .filter { $0.hasSuffix(".txt") }.map { String($0.dropLast(4)) }.sorted()
  }

  func text(_ name: String) throws -> String {
    try String(contentsOf: url.appending(path: name + ".txt"), encoding: .utf8)
  }

  func read(_ name: String) throws -> VectorFile? {
    VectorFile(name: name, text: try text(name))
  }

  /// Replaces the folder's vectors.
  func write(_ vectors: [VectorFile]) throws {
    for name in try names() {
      try FileManager.default.removeItem(at: url.appending(path: name + ".txt"))
    }
    for vector in vectors {
      try Data(vector.text.utf8).write(to: url.appending(path: vector.name + ".txt"))
    }
  }
}
