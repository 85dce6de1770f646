import Adapters
import Testing
import Transformers

/// Several documents in one window of tokens are as good as windows of their own.
@Suite struct DocumentsTests {
  static let shapes = [Specimen.odd, FamilyShapes.all[7], FamilyShapes.all[11]]

  /// Two windows of 61 tokens, with documents of these lengths in them.
  private static let lengths = [[17, 1, 40, 3], [61]]

  private func starts() -> [Int32] {
    Self.lengths.flatMap { lengths in
      var begin = 0
      return lengths.flatMap { length in
        defer { begin += length }
        return [Int32](repeating: Int32(begin), count: length)
      }
    }
  }

  private func sums(
    _ decoder: Decoder, _ tokens: [Int32], batch: Int, length: Int, documents: [Int32]?,
    into gradient: inout [Float]
  ) -> LossSum {
    gradient.withUnsafeMutableBufferPointer {
      decoder.lossAndGradient(
        tokens: tokens, batch: batch, length: length, gradientScale: 1, gradient: $0,
        documents: documents)
    }
  }

  @Test(arguments: shapes)
  func lossAndGradientAreThoseOfTheDocumentsAlone(shape: DecoderConfiguration) throws {
    let specimen = try Specimen(shape, batch: 2, length: 61)
    for (type, tolerance) in [(ComputeType.f32, 1e-5), (.bf16, 3e-2)] {
      let decoder = try specimen.decoder(type)
      var packed = [Float](repeating: 0, count: specimen.adapter.layout.count)
      let together = sums(
        decoder, specimen.tokens, batch: 2, length: 61, documents: starts(), into: &packed)
      var alone = [Float](repeating: 0, count: packed.count)
      var apart = LossSum()
      var begin = 0
      for length in Self.lengths.joined() {
        apart += sums(
          decoder, Array(specimen.tokens[begin..<begin + length]), batch: 1, length: length,
          documents: nil, into: &alone)
        begin += length
      }
      #expect(together.tokens == apart.tokens && together.tokens == 2 * 60 - 3)
      #expect(abs(together.nats - apart.nats) < tolerance * apart.nats)
      #expect(difference(packed, alone.map(Double.init)) < 10 * tolerance)
      var whole = [Float](repeating: 0, count: packed.count)
      let mixed = sums(
        decoder, specimen.tokens, batch: 2, length: 61, documents: nil, into: &whole)
      #expect(mixed.tokens == 2 * 60)
      if type == .f32 { #expect(difference(whole, alone.map(Double.init)) > 1e-2) }
    }
  }

  @Test func manyWindowsGoThroughInSeveralPasses() throws {
    let specimen = try Specimen(Specimen.odd, batch: 5, length: 300)
    let decoder = try specimen.decoder(.f32)
    let documents = (0..<5 * 300).map { Int32($0 % 300 / 100 * 100) }
    var packed = [Float](repeating: 0, count: specimen.adapter.layout.count)
    let together = sums(
      decoder, specimen.tokens, batch: 5, length: 300, documents: documents, into: &packed)
    var alone = [Float](repeating: 0, count: packed.count)
    let apart = sums(
      decoder, specimen.tokens, batch: 15, length: 100, documents: nil, into: &alone)
    #expect(together.tokens == apart.tokens)
    #expect(abs(together.nats - apart.nats) < 1e-5 * apart.nats)
    #expect(difference(packed, alone.map(Double.init)) < 1e-4)
  }
}
