/// A position in a GGUF header that never passes the end of the file.
struct GGUFCursor {
  let bytes: UnsafeRawBufferPointer
  let path: String
  var position: Int
  /// What is being read, for messages.
  var place = "header"
  private var elementsLeft = GGUFLimits.elements
  private var textBytesLeft = GGUFLimits.textBytes

  init(bytes: UnsafeRawBufferPointer, path: String, position: Int) {
    self.bytes = bytes
    self.path = path
    self.position = min(position, bytes.count)
  }

  private var left: Int { bytes.count - position }

  func fault(_ reason: String) -> ContainerError {
    .malformed(path: path, place: "\(place) (offset \(position))", reason: reason)
  }

  /// The next little-endian integer.
  mutating func integer<Word: FixedWidthInteger>(
    _ type: Word.Type, _ what: String
  ) throws -> Word {
    let size = MemoryLayout<Word>.size
    guard left >= size else { throw fault("the file ends inside the \(what)") }
    let value = bytes.loadUnaligned(fromByteOffset: position, as: Word.self)
    position += size
    return Word(littleEndian: value)
  }

  /// A count of things of at least `eachAtLeast` bytes that must still fit the file.
  mutating func count(_ what: String, limit: Int, eachAtLeast size: Int) throws -> Int {
    let count = try integer(UInt64.self, what)
    guard count <= UInt64(limit) else { throw fault("a \(what) of \(count) is above \(limit)") }
    guard Int(count) <= left / size else {
      throw fault("a \(what) of \(count) does not fit the \(left) bytes left")
    }
    return Int(count)
  }

  /// A length and so many bytes of UTF-8.
  mutating func text(_ what: String, limit: Int) throws -> String {
    let length = try integer(UInt64.self, what)
    // A file full of holes costs its maker nothing, however many bytes it claims to have.
    let limit = min(limit, textBytesLeft)
    guard length <= UInt64(min(limit, left)) else {
      throw fault(
        "\(what) of \(length) bytes does not fit (limit \(limit), \(left) bytes left in the file)")
    }
    textBytesLeft -= Int(length)
    let slice = UnsafeRawBufferPointer(rebasing: bytes[position..<position + Int(length)])
    guard let text = String(validating: slice, as: UTF8.self) else {
      throw fault("\(what) is not UTF-8")
    }
    position += Int(length)
    return text
  }

  /// A value of the type numbered `type` (`gguf_metadata_value_type`).
  mutating func value(type: UInt32, depth: Int) throws -> MetadataValue {
    switch type {
    case 0: return .unsigned(UInt64(try integer(UInt8.self, "value")))
    case 1: return .signed(Int64(try integer(Int8.self, "value")))
    case 2: return .unsigned(UInt64(try integer(UInt16.self, "value")))
    case 3: return .signed(Int64(try integer(Int16.self, "value")))
    case 4: return .unsigned(UInt64(try integer(UInt32.self, "value")))
    case 5: return .signed(Int64(try integer(Int32.self, "value")))
    case 6: return .real(Double(Float(bitPattern: try integer(UInt32.self, "value"))))
    case 7:
      let byte = try integer(UInt8.self, "value")
      guard byte <= 1 else { throw fault("\(byte) is not a truth value") }
      return .bool(byte == 1)
    case 8: return .string(try text("a text", limit: .max))
    case 9: return try array(depth: depth)
    case 10: return .unsigned(try integer(UInt64.self, "value"))
    case 11: return .signed(try integer(Int64.self, "value"))
    case 12: return .real(Double(bitPattern: try integer(UInt64.self, "value")))
    default: throw fault("a value of the unknown type \(type)")
    }
  }

  private mutating func array(depth: Int) throws -> MetadataValue {
    guard depth < GGUFLimits.arrayDepth else { throw fault("arrays nested too deeply") }
    let type = try integer(UInt32.self, "array's type")
    let smallest: [UInt32: Int] = [
      0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 8: 8, 9: 12, 10: 8, 11: 8, 12: 8,
    ]
    guard let size = smallest[type] else { throw fault("an array of the unknown type \(type)") }
    let count = try count("array's length", limit: GGUFLimits.arrayElements, eachAtLeast: size)
    guard count <= elementsLeft else {
      throw fault("the arrays have more than \(GGUFLimits.elements) elements together")
    }
    elementsLeft -= count
    var elements: [MetadataValue] = []
    elements.reserveCapacity(count)
    for _ in 0..<count { elements.append(try value(type: type, depth: depth + 1)) }
    return .array(elements)
  }
}
