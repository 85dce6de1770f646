/// How the numbers of a tensor are stored.
///
/// The quantised kinds are llama.cpp's, under its names: fixed blocks of 32 or 256 numbers with
/// their scales. The raw value is the spelling used in messages and by `hanse inspect`.
// swift-format-ignore: AlwaysUseLowerCamelCase
public enum ElementType: String, Sendable, Hashable, CaseIterable {
  case f64, f32, f16, bf16
  case i8, i16, i32, i64
  case u8, u16, u32, u64
  case bool
  case q4_0, q4_1, q5_0, q5_1, q8_0
  case q2_k, q3_k, q4_k, q5_k, q6_k

  /// Numbers in one block; 1 where every number stands alone.
  public var blockElements: Int {
    switch self {
    case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0: 32
    case .q2_k, .q3_k, .q4_k, .q5_k, .q6_k: 256
    default: 1
    }
  }

  /// Bytes of one block.
  public var blockBytes: Int {
    switch self {
    case .f64, .i64, .u64: 8
    case .f32, .i32, .u32: 4
    case .f16, .bf16, .i16, .u16: 2
    case .i8, .u8, .bool: 1
    case .q4_0: 18
    case .q4_1: 20
    case .q5_0: 22
    case .q5_1: 24
    case .q8_0: 34
    case .q2_k: 84
    case .q3_k: 110
    case .q4_k: 144
    case .q5_k: 176
    case .q6_k: 210
    }
  }

  /// Whether the type holds real numbers that `TensorFile.floats(of:)` can give.
  public var isReal: Bool {
    switch self {
    case .i8, .i16, .i32, .i64, .u8, .u16, .u32, .u64, .bool: false
    default: true
    }
  }

  /// The bytes of a tensor of this type and shape, or nil when the row does not fill whole blocks,
  /// a dimension is negative, or the product overflows.
  public func byteCount(shape: [Int]) -> Int? {
    guard let elements = elementCount(of: shape) else { return nil }
    guard blockElements == 1 || (shape.last ?? 1) % blockElements == 0 else { return nil }
    let (bytes, overflow) = (elements / blockElements).multipliedReportingOverflow(by: blockBytes)
    return overflow ? nil : bytes
  }

  /// The name safetensors gives this type, or nil when that format has none for it.
  public var safetensorsName: String? {
    switch self {
    case .bool: "BOOL"
    case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2_k, .q3_k, .q4_k, .q5_k, .q6_k: nil
    default: rawValue.uppercased()
    }
  }

  /// The type that safetensors calls `name`.
  package init?(safetensorsName name: String) {
    guard let found = Self.allCases.first(where: { $0.safetensorsName == name }) else { return nil }
    self = found
  }

  /// The number GGUF gives this type, or nil when that format has none for it.
  ///
  /// Source: `enum ggml_type` in ggml.h.
  public var ggufCode: UInt32? {
    switch self {
    case .f32: 0
    case .f16: 1
    case .q4_0: 2
    case .q4_1: 3
    case .q5_0: 6
    case .q5_1: 7
    case .q8_0: 8
    case .q2_k: 10
    case .q3_k: 11
    case .q4_k: 12
    case .q5_k: 13
    case .q6_k: 14
    case .i8: 24
    case .i16: 25
    case .i32: 26
    case .i64: 27
    case .f64: 28
    case .bf16: 30
    case .u8, .u16, .u32, .u64, .bool: nil
    }
  }

  /// The type that GGUF numbers `code`.
  package init?(ggufCode code: UInt32) {
    guard let found = Self.allCases.first(where: { $0.ggufCode == code }) else { return nil }
    self = found
  }
}

/// Names of the GGUF types that are not read here, so that a refusal can say which one it met.
package func ggufTypeName(_ code: UInt32) -> String {
  let others: [UInt32: String] = [
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL",
    21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
  ]
  return ElementType(ggufCode: code)?.rawValue.uppercased() ?? others[code] ?? "number \(code)"
}

/// The product of the dimensions, or nil when one is negative or the product overflows.
package func elementCount(of shape: [Int]) -> Int? {
  var product = 1
  for dimension in shape {
    guard dimension >= 0 else { return nil }
    let (next, overflow) = product.multipliedReportingOverflow(by: dimension)
    guard !overflow else { return nil }
    product = next
  }
  return product
}
