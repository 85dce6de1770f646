import Adapters

// Dense tiers: exponents, a byte each, then symbols, a nibble each, the first one low; of both,
// first those of all A and then those of all B. Training moves the two differently, and each
// compresses better without the other: by a tenth of a bit on a real change.
extension Delta {
  func packNibbles() -> [UInt8] {
    let size = tier.maximumStreamLength(of: layout)
    var stream = [UInt8]()
    stream.reserveCapacity(size)
    var ordered = [Int8]()
    ordered.reserveCapacity(symbols.count + 1)
    for run in tier.streamRuns(of: layout) {
      for exponent in exponents[run.blocks] { stream.append(UInt8(bitPattern: exponent)) }
      ordered.append(contentsOf: symbols[run.coordinates])
    }
    if ordered.count % 2 == 1 { ordered.append(0) }
    ordered.withUnsafeBufferPointer { ordered in
      for index in stride(from: 0, to: ordered.count, by: 2) {
        let low = UInt8(bitPattern: ordered[index]) & 15
        stream.append(low | UInt8(bitPattern: ordered[index + 1]) << 4)
      }
    }
    return stream
  }

  /// The stream has exactly the length that layout and tier call for; its header has seen to that.
  static func unpackNibbles(
    _ stream: [UInt8], layout: AdapterLayout, tier: DeltaTier
  ) throws -> Delta {
    let blocks = tier.blockCount(of: layout)
    if layout.count % 2 == 1, stream[stream.count - 1] >> 4 != 0 { throw DeltaError.padding }
    var exponents = [Int8](repeating: 0, count: blocks)
    var symbols = [Int8](repeating: 0, count: layout.count)
    var block = 0
    var nibble = 2 * blocks
    stream.withUnsafeBufferPointer { stream in
      symbols.withUnsafeMutableBufferPointer { symbols in
        for run in tier.streamRuns(of: layout) {
          for index in run.blocks {
            exponents[index] = Int8(bitPattern: stream[block])
            block += 1
          }
          for index in run.coordinates {
            // Up to the top of the byte and back down, so that the sign comes along.
            let byte = nibble & 1 == 0 ? stream[nibble >> 1] << 4 : stream[nibble >> 1] & 0xF0
            symbols[index] = Int8(bitPattern: byte) >> 4
            nibble += 1
          }
        }
      }
    }
    let delta = Delta(layout: layout, tier: tier, unchecked: exponents, symbols)
    try delta.check()
    return delta
  }
}

extension DeltaTier {
  /// A factor's blocks and coordinates.
  struct StreamRun {
    let blocks: Range<Int>
    let coordinates: Range<Int>
  }

  /// The factors in the order of a dense stream: all A in the layout's order, then all B.
  func streamRuns(of layout: AdapterLayout) -> [StreamRun] {
    var runs: [AdapterLayout.Factor.Kind: [StreamRun]] = [.a: [], .b: []]
    var block = 0
    for factor in layout.factors {
      let count = (factor.count + blockLength - 1) / blockLength
      runs[factor.kind]?.append(
        StreamRun(blocks: block..<block + count, coordinates: factor.range))
      block += count
    }
    return (runs[.a] ?? []) + (runs[.b] ?? [])
  }
}
