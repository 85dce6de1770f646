/// Stored bytes to floats, in the arithmetic of llama.cpp's reference (`dequantize_row_*` in
/// ggml-quants.c): each product and sum rounded to a float by itself, so results are equal bit for
/// bit. The test fixture is made by the Python package `gguf`.
///
/// - Precondition: `source` has exactly the bytes of `target.count` numbers of `type`.
package func dequantise(
  _ source: UnsafeRawBufferPointer, as type: ElementType,
  into target: UnsafeMutableBufferPointer<Float>
) {
  guard target.count > 0 else { return }
  precondition(source.count == target.count / type.blockElements * type.blockBytes)
  guard let from = source.baseAddress, let to = target.baseAddress else { return }
  let blocks = target.count / type.blockElements
  switch type {
  case .f64, .f32, .f16, .bf16: convert(from, as: type, to, count: blocks)
  case .q4_0: forEachBlock(blocks, type, from, to, dequantiseQ40)
  case .q4_1: forEachBlock(blocks, type, from, to, dequantiseQ41)
  case .q5_0: forEachBlock(blocks, type, from, to, dequantiseQ50)
  case .q5_1: forEachBlock(blocks, type, from, to, dequantiseQ51)
  case .q8_0: forEachBlock(blocks, type, from, to, dequantiseQ80)
  case .q2_k: forEachBlock(blocks, type, from, to, dequantiseQ2K)
  case .q3_k: forEachBlock(blocks, type, from, to, dequantiseQ3K)
  case .q4_k: forEachBlock(blocks, type, from, to, dequantiseQ4K)
  case .q5_k: forEachBlock(blocks, type, from, to, dequantiseQ5K)
  case .q6_k: forEachBlock(blocks, type, from, to, dequantiseQ6K)
  case .i8, .i16, .i32, .i64, .u8, .u16, .u32, .u64, .bool:
    preconditionFailure("\(type.rawValue) does not hold real numbers")
  }
}

@inline(__always)
private func forEachBlock(
  _ count: Int, _ type: ElementType, _ from: UnsafeRawPointer, _ to: UnsafeMutablePointer<Float>,
  _ block: (UnsafeRawPointer, UnsafeMutablePointer<Float>) -> Void
) {
  let bytes = type.blockBytes
  let elements = type.blockElements
  for index in 0..<count { block(from + index * bytes, to + index * elements) }
}

private func convert(
  _ from: UnsafeRawPointer, as type: ElementType, _ to: UnsafeMutablePointer<Float>, count: Int
) {
  switch type {
  case .f64:
    for index in 0..<count {
      let bits = from.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)
      to[index] = Float(Double(bitPattern: UInt64(littleEndian: bits)))
    }
  case .f32:
    for index in 0..<count {
      let bits = from.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self)
      to[index] = Float(bitPattern: UInt32(littleEndian: bits))
    }
  case .f16:
    for index in 0..<count { to[index] = half(from, index * 2) }
  default:
    for index in 0..<count {
      let bits = from.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)
      to[index] = Float(bitPattern: UInt32(UInt16(littleEndian: bits)) << 16)
    }
  }
}

/// The half-precision number at `offset`, exactly.
///
/// Moving the exponent into place and scaling by 2^112 is right for normal and subnormal numbers;
/// infinities and not-a-numbers have their exponent filled instead.
@inline(__always)
func half(_ pointer: UnsafeRawPointer, _ offset: Int) -> Float {
  let bits = UInt32(
    UInt16(littleEndian: pointer.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
  let shifted = (bits & 0x7FFF) << 13
  let magnitude =
    bits & 0x7C00 == 0x7C00
    ? shifted | 0x7F80_0000 : (Float(bitPattern: shifted) * 0x1p112).bitPattern
  return Float(bitPattern: magnitude | (bits & 0x8000) << 16)
}

@inline(__always)
func byte(_ pointer: UnsafeRawPointer, _ offset: Int) -> UInt8 {
  pointer.load(fromByteOffset: offset, as: UInt8.self)
}

// The block formats of 32. Lower nibbles are the first half of a block, upper ones the second.

/// Scale (half), 16 bytes of nibbles; value = (nibble − 8) · scale.
private func dequantiseQ40(_ from: UnsafeRawPointer, _ to: UnsafeMutablePointer<Float>) {
  let scale = half(from, 0)
  for index in 0..<16 {
    let pair = byte(from, 2 + index)
    to[index] = Float(Int32(pair & 15) - 8) * scale
    to[index + 16] = Float(Int32(pair >> 4) - 8) * scale
  }
}

/// Scale and minimum (halves), 16 bytes of nibbles; value = nibble · scale + minimum.
private func dequantiseQ41(_ from: UnsafeRawPointer, _ to: UnsafeMutablePointer<Float>) {
  let scale = half(from, 0)
  let minimum = half(from, 2)
  for index in 0..<16 {
    let pair = byte(from, 4 + index)
    to[index] = Float(pair & 15) * scale + minimum
    to[index + 16] = Float(pair >> 4) * scale + minimum
  }
}

/// Scale (half), 32 fifth bits, 16 bytes of nibbles; value = (five bits − 16) · scale.
private func dequantiseQ50(_ from: UnsafeRawPointer, _ to: UnsafeMutablePointer<Float>) {
  let scale = half(from, 0)
  let high = UInt32(littleEndian: from.loadUnaligned(fromByteOffset: 2, as: UInt32.self))
  for index in 0..<16 {
    let pair = UInt32(byte(from, 6 + index))
    let low = pair & 15 | (high >> UInt32(index) & 1) << 4
    let upper = pair >> 4 | (high >> UInt32(index + 16) & 1) << 4
    to[index] = Float(Int32(low) - 16) * scale
    to[index + 16] = Float(Int32(upper) - 16) * scale
  }
}

/// Scale and minimum (halves), 32 fifth bits, 16 bytes of nibbles; value = five bits · scale +
/// minimum.
private func dequantiseQ51(_ from: UnsafeRawPointer, _ to: UnsafeMutablePointer<Float>) {
  let scale = half(from, 0)
  let minimum = half(from, 2)
  let high = UInt32(littleEndian: from.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
  for index in 0..<16 {
    let pair = UInt32(byte(from, 8 + index))
    let low = pair & 15 | (high >> UInt32(index) & 1) << 4
    let upper = pair >> 4 | (high >> UInt32(index + 16) & 1) << 4
    to[index] = Float(low) * scale + minimum
    to[index + 16] = Float(upper) * scale + minimum
  }
}

/// Scale (half), 32 signed bytes; value = byte · scale.
private func dequantiseQ80(_ from: UnsafeRawPointer, _ to: UnsafeMutablePointer<Float>) {
  let scale = half(from, 0)
  for index in 0..<32 { to[index] = Float(Int8(bitPattern: byte(from, 2 + index))) * scale }
}
