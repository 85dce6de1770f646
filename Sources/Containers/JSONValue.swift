/// A JSON text in memory, read strictly: the headers of files that strangers hand over.
///
/// Strict means: valid UTF-8, no key twice, bounded depth, whole numbers kept whole.
public enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  case integer(Int)
  case real(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  /// Reads one JSON value that fills `bytes` but for white space around it.
  ///
  /// - Throws: `JSONError` with the offset of the first byte that cannot stand there.
  public static func parse(_ bytes: UnsafeRawBufferPointer) throws -> JSONValue {
    var parser = JSONParser(bytes: bytes)
    return try parser.document()
  }

  /// Reads one JSON value that fills `bytes` but for white space around it.
  public static func parse(_ bytes: [UInt8]) throws -> JSONValue {
    try bytes.withUnsafeBytes { try parse($0) }
  }

  /// The member of this name, if this is an object that has it.
  public subscript(key: String) -> JSONValue? {
    if case .object(let object) = self { object[key] } else { nil }
  }

  public var object: JSONObject? {
    if case .object(let value) = self { value } else { nil }
  }
  public var array: [JSONValue]? {
    if case .array(let value) = self { value } else { nil }
  }
  public var string: String? {
    if case .string(let value) = self { value } else { nil }
  }
  public var integer: Int? {
    if case .integer(let value) = self { value } else { nil }
  }
  public var bool: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }
  /// The value as a real number; whole numbers count.
  public var real: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .real(let value): value
    default: nil
    }
  }
  public var isNull: Bool { self == .null }

  /// The value as JSON text without white space, members in their order.
  public var text: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .real(let value): "\(value)"
    case .string(let value): jsonText(value)
    case .array(let values): "[" + values.map(\.text).joined(separator: ",") + "]"
    case .object(let object):
      "{"
        + zip(object.keys, object.values).map { jsonText($0) + ":" + $1.text }
        .joined(separator: ",") + "}"
    }
  }
}

/// The members of a JSON object in the order of the text.
public struct JSONObject: Sendable, Equatable {
  /// The names, in the order of the text.
  public internal(set) var keys: [String] = []
  /// The values, in the order of `keys`.
  public internal(set) var values: [JSONValue] = []

  /// An object of these members, whose names must differ.
  public init(_ members: [(String, JSONValue)] = []) {
    keys = members.map(\.0)
    values = members.map(\.1)
  }

  /// The member of this name. Linear: large objects are walked, not asked.
  public subscript(key: String) -> JSONValue? {
    for (index, candidate) in keys.enumerated() where candidate.utf8.elementsEqual(key.utf8) {
      return values[index]
    }
    return nil
  }
}

/// Why a text is not JSON, and where.
public struct JSONError: Error, Equatable, CustomStringConvertible {
  /// Bytes before the fault.
  public let offset: Int
  public let reason: String

  public var description: String { "not valid JSON at byte \(offset): \(reason)" }
}

/// A text compared byte by byte. Swift's own equality follows Unicode's canonical equivalence,
/// under which two different vocabulary entries can be the same string.
package struct ExactText: Hashable {
  package let text: String

  package init(_ text: String) { self.text = text }

  package static func == (left: ExactText, right: ExactText) -> Bool {
    left.text.utf8.elementsEqual(right.text.utf8)
  }

  package func hash(into hasher: inout Hasher) {
    var copy = text
    copy.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}
