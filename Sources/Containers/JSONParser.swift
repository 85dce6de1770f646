/// A recursive-descent reader over borrowed bytes; every step checks its bound, because the
/// subscript of an unsafe buffer does not in a release build.
struct JSONParser {
  /// Deeper than any file this program reads, shallow enough for any thread's stack.
  static let maximumDepth = 64
  /// Values in one text, of 24 bytes each in memory: a header of a million tensors has eight
  /// million, and a text of a hundred megabytes could hold fifty.
  static let maximumValues = 1 << 23

  let bytes: UnsafeRawBufferPointer
  private var position = 0
  private var valuesLeft = Self.maximumValues

  init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  mutating func document() throws -> JSONValue {
    let value = try value(depth: 0)
    skipSpace()
    guard position == bytes.count else { throw fault("text after the value") }
    return value
  }

  private func fault(_ reason: String) -> JSONError {
    JSONError(offset: position, reason: reason)
  }

  private func peek() throws -> UInt8 {
    guard position < bytes.count else { throw fault("the text ends early") }
    return bytes[position]
  }

  private mutating func skipSpace() {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      default: return
      }
    }
  }

  private mutating func expect(_ byte: UInt8) throws {
    guard try peek() == byte else {
      throw fault("expected \(Character(Unicode.Scalar(byte)))")
    }
    position += 1
  }

  private mutating func word(_ word: StaticString, _ value: JSONValue) throws -> JSONValue {
    for index in 0..<word.utf8CodeUnitCount {
      guard try peek() == word.utf8Start[index] else { throw fault("unknown word") }
      position += 1
    }
    return value
  }

  private mutating func value(depth: Int) throws -> JSONValue {
    guard depth < Self.maximumDepth else { throw fault("nested too deeply") }
    guard valuesLeft > 0 else { throw fault("more than \(Self.maximumValues) values") }
    valuesLeft -= 1
    skipSpace()
    switch try peek() {
    case UInt8(ascii: "{"): return try .object(object(depth: depth))
    case UInt8(ascii: "["): return try .array(array(depth: depth))
    case UInt8(ascii: "\""): return try .string(string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return try number()
    }
  }

  private mutating func object(depth: Int) throws -> JSONObject {
    var object = JSONObject()
    var seen: Set<ExactText> = []
    position += 1
    skipSpace()
    if try peek() == UInt8(ascii: "}") {
      position += 1
      return object
    }
    while true {
      skipSpace()
      guard try peek() == UInt8(ascii: "\"") else { throw fault("expected a name") }
      let start = position
      let key = try string()
      guard seen.insert(ExactText(key)).inserted else {
        throw JSONError(offset: start, reason: "the name \"\(printable(key))\" occurs twice")
      }
      skipSpace()
      try expect(UInt8(ascii: ":"))
      object.keys.append(key)
      object.values.append(try value(depth: depth + 1))
      skipSpace()
      if try peek() == UInt8(ascii: ",") {
        position += 1
        continue
      }
      try expect(UInt8(ascii: "}"))
      return object
    }
  }

  private mutating func array(depth: Int) throws -> [JSONValue] {
    var array: [JSONValue] = []
    position += 1
    skipSpace()
    if try peek() == UInt8(ascii: "]") {
      position += 1
      return array
    }
    while true {
      array.append(try value(depth: depth + 1))
      skipSpace()
      if try peek() == UInt8(ascii: ",") {
        position += 1
        continue
      }
      try expect(UInt8(ascii: "]"))
      return array
    }
  }

  private mutating func string() throws -> String {
    try expect(UInt8(ascii: "\""))
    let start = position
    while position < bytes.count {
      let byte = bytes[position]
      if byte == UInt8(ascii: "\"") {
        let slice = UnsafeRawBufferPointer(rebasing: bytes[start..<position])
        guard let text = String(validating: slice, as: UTF8.self) else {
          throw JSONError(offset: start, reason: "the text is not UTF-8")
        }
        position += 1
        return text
      }
      if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
      guard byte >= 0x20 else { throw fault("a control character inside a text") }
      position += 1
    }
    throw fault("a text without an end")
  }

  private mutating func escapedString(from start: Int) throws -> String {
    var units = Array(bytes[start..<position])
    while true {
      let byte = try peek()
      guard byte >= 0x20 else { throw fault("a control character inside a text") }
      position += 1
      if byte == UInt8(ascii: "\"") { break }
      if byte == UInt8(ascii: "\\") {
        try appendEscape(to: &units)
      } else {
        units.append(byte)
      }
    }
    guard let text = String(validating: units, as: UTF8.self) else {
      throw JSONError(offset: start, reason: "the text is not UTF-8")
    }
    return text
  }

  private mutating func appendEscape(to units: inout [UInt8]) throws {
    let byte = try peek()
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): units.append(byte)
    case UInt8(ascii: "b"): units.append(0x08)
    case UInt8(ascii: "f"): units.append(0x0C)
    case UInt8(ascii: "n"): units.append(0x0A)
    case UInt8(ascii: "r"): units.append(0x0D)
    case UInt8(ascii: "t"): units.append(0x09)
    case UInt8(ascii: "u"):
      units.append(contentsOf: String(Character(try escapedScalar())).utf8)
    default: throw fault("an unknown escape")
    }
  }

  /// A scalar after `\u`, joining the two halves of a surrogate pair.
  private mutating func escapedScalar() throws -> Unicode.Scalar {
    let first = try hexadecimal()
    if let scalar = Unicode.Scalar(first) { return scalar }
    guard first < 0xDC00, try peek() == UInt8(ascii: "\\") else {
      throw fault("half of a surrogate pair")
    }
    position += 1
    try expect(UInt8(ascii: "u"))
    let second = try hexadecimal()
    guard (0xDC00..<0xE000).contains(second),
      let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
    else { throw fault("half of a surrogate pair") }
    return scalar
  }

  private mutating func hexadecimal() throws -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = Character(Unicode.Scalar(try peek())).hexDigitValue else {
        throw fault("expected four hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }

  private mutating func number() throws -> JSONValue {
    let start = position
    if try peek() == UInt8(ascii: "-") { position += 1 }
    let integerStart = position
    try digits()
    guard bytes[integerStart] != UInt8(ascii: "0") || position == integerStart + 1 else {
      throw fault("a number with a leading zero")
    }
    var whole = true
    if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
      whole = false
      position += 1
      try digits()
    }
    if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
      whole = false
      position += 1
      if [UInt8(ascii: "+"), UInt8(ascii: "-")].contains(try peek()) { position += 1 }
      try digits()
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if whole, let integer = Int(text) { return .integer(integer) }
    guard let real = Double(text), real.isFinite else { throw fault("a number out of range") }
    return .real(real)
  }

  private mutating func digits() throws {
    let start = position
    while position < bytes.count, (0x30...0x39).contains(bytes[position]) { position += 1 }
    guard position > start else { throw fault("expected a value") }
  }
}
