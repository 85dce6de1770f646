import Containers

extension JSONValue {
  /// True for what switches nothing on: null, false, an empty list, an empty object.
  var isNeutral: Bool {
    switch self {
    case .null, .bool(false): true
    case .array(let items): items.isEmpty
    case .object(let object): object.keys.isEmpty
    default: false
    }
  }

  /// The value as one short line, for messages.
  var brief: String {
    switch self {
    case .null: "null"
    case .bool(let flag): "\(flag)"
    case .integer(let integer): "\(integer)"
    case .real(let number): "\(number)"
    case .string(let text): "\"\(printable(text, limit: 40))\""
    case .array(let items): "a list of \(items.count)"
    case .object(let object):
      "{"
        + zip(object.keys, object.values).prefix(4)
        .map { "\(printable($0, limit: 40)): \($1.brief)" }.joined(separator: ", ") + "}"
    }
  }

  /// Whether this is the number `value`, however it is written.
  func equals(number value: Double) -> Bool {
    real == value
  }
}

/// The top-level object of a small JSON file, whose fields are asked for by name and type.
struct JSONFields {
  /// The largest file read here, in bytes: configurations are a few kilobytes.
  static let limit = 4 << 20

  let path: String
  private let object: JSONObject

  /// Reads a file. Throws when it is missing, too large, or not a JSON object.
  init(path: String) throws(CheckpointError) {
    self.path = path
    let bytes = try readBytes(path: path, limit: Self.limit)
    do {
      guard let object = try JSONValue.parse(bytes).object else {
        throw CheckpointError.malformed(path: path, reason: "the JSON is not an object")
      }
      self.object = object
    } catch let error as CheckpointError {
      throw error
    } catch {
      throw .malformed(path: path, reason: "\(error)")
    }
  }

  /// Names of all fields, in the file's order.
  var names: [String] { object.keys }

  /// A field's value; null when it is absent.
  subscript(name: String) -> JSONValue {
    object[name] ?? .null
  }

  /// A whole number within a range; `fallback` stands in for an absent or null field.
  func integer(
    _ name: String, in range: ClosedRange<Int>, default fallback: Int? = nil
  ) throws(CheckpointError) -> Int {
    let value = self[name]
    if value.isNull, let fallback { return fallback }
    guard !value.isNull else { throw .malformed(path: path, reason: "\(name) is missing") }
    guard let found = value.integer ?? value.real.flatMap(Int.init(exactly:)) else {
      throw .malformed(path: path, reason: "\(name) is \(value.brief), not a whole number")
    }
    guard range.contains(found) else {
      throw .malformed(
        path: path, reason: "\(name) is \(found), outside \(range.lowerBound)…\(range.upperBound)")
    }
    return found
  }

  /// A finite number above zero.
  func positiveNumber(_ name: String, default fallback: Double) throws(CheckpointError) -> Double {
    if self[name].isNull { return fallback }
    guard let value = self[name].real, value > 0, value.isFinite else {
      throw .malformed(path: path, reason: "\(name) is \(self[name].brief), not above zero")
    }
    return value
  }

  /// A true-or-false field.
  func flag(_ name: String, default fallback: Bool) throws(CheckpointError) -> Bool {
    if self[name].isNull { return fallback }
    guard let value = self[name].bool else {
      throw .malformed(path: path, reason: "\(name) is \(self[name].brief), not true or false")
    }
    return value
  }

  /// Refuses a field by name unless it switches nothing on or is one of the `harmless` values.
  func refuse(_ name: String, unless harmless: [JSONValue] = []) throws(CheckpointError) {
    let value = self[name]
    guard value.isNeutral || harmless.contains(value) else {
      throw .unsupported(path: path, field: name, value: value.brief)
    }
  }
}
