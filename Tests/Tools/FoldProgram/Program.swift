// Reads one vector of Protocol/Vectors/Merge, computes everything that follows from it and writes
// it anew: the same bytes come out, or the fold differs. Also folds a sample in many orders.
//
// Built by ../fold_on_arm64 as Embedded Swift for arm64, and beside it as plain Swift for the
// machine at hand. It needs of the system only read and write.
import Adapters
import Deltas
import Identities
@_spi(Vectors) import Ledger
import Merging

@main
struct Program {
  static func main() {
    guard let vector = Vector(readingInput()) else {
      write("this is no vector: lines of `key: value`, an empty line, hex\n")
      return
    }
    if vector["kind"] == "orders" {
      write(Orders(vector).outcome())
    } else {
      write(Script(vector).rewritten())
    }
  }

  private static func readingInput() -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = read_some(&buffer, buffer.count)
      guard count > 0 else { return bytes }
      bytes += buffer[..<Int(count)]
    }
  }

  private static func write(_ text: String) {
    let bytes = Array(text.utf8)
    var start = 0
    while start < bytes.count {
      let count = bytes.withUnsafeBytes { write_some($0.baseAddress! + start, $0.count - start) }
      guard count > 0 else { return }
      start += Int(count)
    }
  }
}

/// Lines of `key: value`, an empty line, hex.
struct Vector {
  var fields: [(key: String, value: String)] = []
  var body: [UInt8] = []

  init?(_ bytes: [UInt8]) {
    var isHead = true
    for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      if line.isEmpty {
        isHead = false
      } else if isHead {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        fields.append((text(line[..<colon]), text(line[(colon + 1)...].drop { $0 == 32 })))
      } else {
        guard let part = Self.bytes(hex: Array(line)) else { return nil }
        body += part
      }
    }
  }

  subscript(key: String) -> String? {
    for field in fields where field.key == key { return field.value }
    return nil
  }

  func number(_ key: String, otherwise: Int) -> Int {
    guard let text = self[key] else { return otherwise }
    return Int(text) ?? otherwise
  }

  static func bytes(hex: [UInt8]) -> [UInt8]? {
    guard hex.count % 2 == 0 else { return nil }
    var bytes: [UInt8] = []
    for index in stride(from: 0, to: hex.count, by: 2) {
      guard let high = digit(hex[index]), let low = digit(hex[index + 1]) else { return nil }
      bytes.append(high << 4 | low)
    }
    return bytes
  }

  static func hex(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var out: [UInt8] = []
    for (index, byte) in bytes.enumerated() {
      out.append(digits[Int(byte >> 4)])
      out.append(digits[Int(byte & 15)])
      if index % 32 == 31 || index == bytes.count - 1 { out.append(UInt8(ascii: "\n")) }
    }
    return text(out[...])
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    default: nil
    }
  }
}

func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

/// The words of a text, parted by one character.
func words(_ line: String, by separator: UInt8 = UInt8(ascii: " ")) -> [String] {
  Array(line.utf8).split(separator: separator).map(text)
}

func numbers<Number: FixedWidthInteger>(_ line: String) -> [Number] {
  words(line).map { Number($0) ?? 0 }
}

func list<Number: FixedWidthInteger>(_ values: [Number]) -> String {
  var line = ""
  for (index, value) in values.enumerated() {
    line += (index == 0 ? "" : " ") + value.description
  }
  return line
}
