/// A value of a file's key-value part: GGUF's thirteen types, folded into the six that matter.
public enum MetadataValue: Sendable, Equatable {
  case unsigned(UInt64)
  case signed(Int64)
  case real(Double)
  case bool(Bool)
  case string(String)
  case array([MetadataValue])

  /// The value as a whole number, if it is one that fits.
  public var integer: Int? {
    switch self {
    case .unsigned(let value): Int(exactly: value)
    case .signed(let value): Int(value)
    default: nil
    }
  }

  /// The value as a real number; whole numbers count.
  public var real: Double? {
    switch self {
    case .real(let value): value
    case .unsigned(let value): Double(value)
    case .signed(let value): Double(value)
    default: nil
    }
  }

  /// The truth value, if it is one.
  public var bool: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }

  /// The text, if it is one.
  public var string: String? {
    if case .string(let value) = self { value } else { nil }
  }

  /// The elements, if it is an array.
  public var array: [MetadataValue]? {
    if case .array(let value) = self { value } else { nil }
  }

  /// The elements as text, if it is an array of nothing but text.
  public var strings: [String]? {
    guard let array else { return nil }
    var result: [String] = []
    result.reserveCapacity(array.count)
    for case .string(let text) in array { result.append(text) }
    return result.count == array.count ? result : nil
  }

  /// The elements as whole numbers, if it is an array of nothing else.
  public var integers: [Int]? {
    guard let array else { return nil }
    let result = array.compactMap(\.integer)
    return result.count == array.count ? result : nil
  }
}
