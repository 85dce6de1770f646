/// A tensor on its way into a file: its description, and its bytes when they are asked for.
///
/// Bytes are produced one tensor at a time, so that a model larger than memory can be written.
struct TensorSource {
  let name: String
  let elementType: ElementType
  let shape: [Int]
  let byteCount: Int
  let bytes: () throws -> [UInt8]

  /// - Throws: `ContainerError.misfit` when the shape does not fit the type.
  init(
    name: String, elementType: ElementType, shape: [Int], bytes: @escaping () throws -> [UInt8]
  ) throws {
    guard let byteCount = elementType.byteCount(shape: shape) else {
      throw ContainerError.misfit(
        name: name, reason: "\(elementType.rawValue) cannot have the shape \(shape)")
    }
    self.name = name
    self.elementType = elementType
    self.shape = shape
    self.byteCount = byteCount
    self.bytes = bytes
  }

  /// The bytes, of exactly the announced number.
  func checkedBytes() throws -> [UInt8] {
    let result = try bytes()
    guard result.count == byteCount else {
      throw ContainerError.misfit(
        name: name, reason: "\(byteCount) bytes announced, \(result.count) produced")
    }
    return result
  }
}

/// `floats` in the bytes of `type`, each rounded to the nearest, ties to even.
///
/// - Throws: `ContainerError.misfit` for a type other than f32, f16 and bf16.
package func encodeFloats(_ floats: [Float], as type: ElementType, name: String) throws -> [UInt8] {
  switch type {
  case .f32: littleEndianBytes(floats.count, { floats[$0].bitPattern })
  case .f16: littleEndianBytes(floats.count, { Float16(floats[$0]).bitPattern })
  case .bf16: littleEndianBytes(floats.count, { bfloat16Bits(floats[$0]) })
  default:
    throw ContainerError.misfit(name: name, reason: "numbers are not written as \(type.rawValue)")
  }
}

private func littleEndianBytes<Word: FixedWidthInteger>(
  _ count: Int, _ word: (Int) -> Word
) -> [UInt8] {
  let size = MemoryLayout<Word>.size
  // All empty arrays share their storage, and filling in the count would write to it.
  if count == 0 { return [] }
  return [UInt8](unsafeUninitializedCapacity: count * size) { buffer, written in
    let raw = UnsafeMutableRawBufferPointer(buffer)
    for index in 0..<count {
      raw.storeBytes(of: word(index).littleEndian, toByteOffset: index * size, as: Word.self)
    }
    written = count * size
  }
}

/// The upper half of a float, rounded to nearest even; not-a-number stays one.
package func bfloat16Bits(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  if value.isNaN { return UInt16(bits >> 16) | 0x40 }
  return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
}
