import Adapters
import Deltas
import Foundation
import Testing

/// Bits per parameter, error and speed. Sizes are asserted; speeds, which depend on the machine,
/// are printed.
@Suite(.serialized) struct RateTests {
  /// Raw float32 numbers of a change that training made, in the order of `Samples.largeLayout`.
  private static let realChange = ProcessInfo.processInfo.environment["HANSE_TEST_CHANGE"]

  @Test(arguments: zip(DeltaTier.allCases, [3.7, 2.7, 0.155, 0.27, 0.46, 0.83]))
  func staysWithinItsBitsPerParameter(tier: DeltaTier, limit: Double) throws {
    let layout = try Samples.largeLayout(layers: 4)
    let wanted = Samples.change(layout, seed: 11)
    #expect(try measure(wanted, layout: layout, tier: tier) < limit)
  }

  @Test(
    .enabled(if: realChange != nil, "HANSE_TEST_CHANGE names no file"),
    arguments: zip(DeltaTier.allCases, [3.7, 2.7, 0.155, 0.28, 0.5, 0.9]))
  func staysWithinItsBitsOnARealChange(tier: DeltaTier, limit: Double) throws {
    let layout = try Samples.largeLayout(layers: 30)
    let data = try Data(contentsOf: URL(filePath: try #require(Self.realChange)))
    try #require(data.count == 4 * layout.count)
    let wanted = data.withUnsafeBytes { bytes in
      (0..<layout.count).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
    #expect(try measure(wanted, layout: layout, tier: tier) < limit)
  }

  private func measure(
    _ wanted: [Float], layout: AdapterLayout, tier: DeltaTier
  ) throws -> Double {
    let clock = ContinuousClock()
    var cut: Delta?
    var packed: [UInt8] = []
    let quantising = try clock.measure {
      cut = try Delta.quantise(wanted: wanted, layout: layout, tier: tier).delta
    }
    let delta = try #require(cut)
    let packing = clock.measure { packed = delta.pack() }
    let unpacking = try clock.measure {
      _ = try Delta.unpack(packed, layout: layout, tier: tier)
    }
    let norms = clock.measure { _ = delta.factorNorms() }
    let hashing = clock.measure { _ = delta.symbolsHash() }
    let bits = Double(packed.count * 8) / Double(layout.count)
    print(
      "\(tier.name) of \(layout.count): \(bits) bits, error \(error(delta, wanted)), quantise "
        + "\(quantising), pack \(packing), unpack \(unpacking), norms \(norms), hash \(hashing)")
    return bits
  }

  /// The length of what is left unsaid over the length of what was wanted.
  private func error(_ delta: Delta, _ wanted: [Float]) -> Double {
    var unsaid = 0.0
    var total = 0.0
    for (unit, value) in zip(delta.units(), wanted) {
      let left = Double(value) - Double(unit) * 0x1p-40
      unsaid += left * left
      total += Double(value) * Double(value)
    }
    return (unsaid / total).squareRoot()
  }
}
