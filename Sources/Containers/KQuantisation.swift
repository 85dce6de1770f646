// The block formats of 256 ("K-quants"): sub-blocks of 16 or 32 with small scales of their own.
// Source: dequantize_row_q2_K … dequantize_row_q6_K in ggml-quants.c.

/// Sixteen bytes of 4-bit scales and minima, 64 bytes of 2-bit values, scale and minimum (halves).
func dequantiseQ2K(_ from: UnsafeRawPointer, _ to: UnsafeMutablePointer<Float>) {
  let scale = half(from, 80)
  let minimum = half(from, 82)
  for sub in 0..<16 {
    let packed = byte(from, sub)
    let step = scale * Float(packed & 15)
    let offset = minimum * Float(packed >> 4)
    // Eight sub-blocks share 32 bytes: four pairs of bits, two halves of 16 bytes.
    let start = 16 + sub / 8 * 32 + sub % 2 * 16
    let shift = UInt8(sub % 8 / 2 * 2)
    for index in 0..<16 {
      to[sub * 16 + index] = step * Float(byte(from, start + index) >> shift & 3) - offset
    }
  }
}

/// 32 bytes of third bits, 64 bytes of 2-bit values, twelve bytes of 6-bit scales, a scale (half).
func dequantiseQ3K(_ from: UnsafeRawPointer, _ to: UnsafeMutablePointer<Float>) {
  let scale = half(from, 108)
  for sub in 0..<16 {
    let low = byte(from, 96 + sub % 8) >> UInt8(sub / 8 * 4) & 15
    let high = byte(from, 104 + sub % 4) >> UInt8(sub / 4 * 2) & 3
    let step = scale * Float(Int32(low | high << 4) - 32)
    let start = 32 + sub / 8 * 32 + sub % 2 * 16
    let shift = UInt8(sub % 8 / 2 * 2)
    let bit = UInt8(sub / 2)
    for index in 0..<16 {
      let value = Int32(byte(from, start + index) >> shift & 3)
      let third = byte(from, sub % 2 * 16 + index) >> bit & 1
      to[sub * 16 + index] = step * Float(value - (third == 1 ? 0 : 4))
    }
  }
}

/// The 6-bit scale and minimum of sub-block `sub` of Q4_K and Q5_K, packed into twelve bytes.
@inline(__always)
private func scaleAndMinimum(_ scales: UnsafeRawPointer, _ sub: Int) -> (UInt8, UInt8) {
  if sub < 4 { return (byte(scales, sub) & 63, byte(scales, sub + 4) & 63) }
  let low = byte(scales, sub + 4)
  return (
    low & 15 | (byte(scales, sub - 4) & 0xC0) >> 2,
    low >> 4 | (byte(scales, sub) & 0xC0) >> 2
  )
}

/// Scale and minimum (halves), twelve bytes of 6-bit scales and minima, 128 bytes of nibbles.
func dequantiseQ4K(_ from: UnsafeRawPointer, _ to: UnsafeMutablePointer<Float>) {
  let scale = half(from, 0)
  let minimum = half(from, 2)
  for sub in 0..<8 {
    let (subScale, subMinimum) = scaleAndMinimum(from + 4, sub)
    let step = scale * Float(subScale)
    let offset = minimum * Float(subMinimum)
    let start = 16 + sub / 2 * 32
    let shift = UInt8(sub % 2 * 4)
    for index in 0..<32 {
      to[sub * 32 + index] = step * Float(byte(from, start + index) >> shift & 15) - offset
    }
  }
}

/// As Q4_K, with 32 bytes of fifth bits before the nibbles.
func dequantiseQ5K(_ from: UnsafeRawPointer, _ to: UnsafeMutablePointer<Float>) {
  let scale = half(from, 0)
  let minimum = half(from, 2)
  for sub in 0..<8 {
    let (subScale, subMinimum) = scaleAndMinimum(from + 4, sub)
    let step = scale * Float(subScale)
    let offset = minimum * Float(subMinimum)
    let start = 48 + sub / 2 * 32
    let shift = UInt8(sub % 2 * 4)
    for index in 0..<32 {
      let low = byte(from, start + index) >> shift & 15
      let fifth = byte(from, 16 + index) >> UInt8(sub) & 1
      to[sub * 32 + index] = step * Float(low | fifth << 4) - offset
    }
  }
}

/// 128 bytes of lower nibbles, 64 bytes of upper pairs of bits, 16 signed scales, a scale (half).
func dequantiseQ6K(_ from: UnsafeRawPointer, _ to: UnsafeMutablePointer<Float>) {
  let scale = half(from, 208)
  for sub in 0..<16 {
    let step = scale * Float(Int8(bitPattern: byte(from, 192 + sub)))
    // Half a block (128 values) has 64 bytes of nibbles and 32 of pairs, in four runs of 32.
    let half = sub / 8
    let run = sub % 8 / 2
    let column = sub % 2 * 16
    let lowStart = half * 64 + run % 2 * 32 + column
    let lowShift = UInt8(run / 2 * 4)
    let highStart = 128 + half * 32 + column
    let highShift = UInt8(run * 2)
    for index in 0..<16 {
      let low = byte(from, lowStart + index) >> lowShift & 15
      let high = byte(from, highStart + index) >> highShift & 3
      to[sub * 16 + index] = step * Float(Int32(low | high << 4) - 32)
    }
  }
}
