import Adapters
import Testing
import Transformers

/// LoRA as laboratories use it: dropout, rank-stabilised scaling, modules by pattern.
@Suite struct DropoutTests {
  private func gradient(
    _ decoder: Decoder, _ specimen: Specimen, _ dropout: Dropout?
  ) -> (LossSum, [Float]) {
    var gradient = [Float](repeating: 0, count: specimen.adapter.layout.count)
    let loss = gradient.withUnsafeMutableBufferPointer {
      decoder.lossAndGradient(
        tokens: specimen.tokens, batch: specimen.batch, length: specimen.length,
        gradientScale: 1, gradient: $0, dropout: dropout)
    }
    return (loss, gradient)
  }

  /// The referee's loss of all windows with the same zeros.
  private func loss(_ specimen: Specimen, _ dropout: Dropout, moving: Int, by shift: Double)
    -> Double
  {
    var referee = specimen.referee()
    referee.dropout = dropout
    referee.values[moving] += shift
    var total = 0.0
    for (index, window) in specimen.windows().enumerated() {
      referee.firstRow = index * specimen.length
      total += referee.loss(window)
    }
    return total
  }

  @Test(arguments: [Specimen.odd, FamilyShapes.all[11]])
  func lossAndGradientAreTheReferees(shape: DecoderConfiguration) throws {
    let specimen = try Specimen(shape, batch: 2, length: 6)
    let decoder = try specimen.decoder(.f32)
    let plain = gradient(decoder, specimen, nil)
    let dropout = Dropout(probability: 0.4, seed: 3, step: 5, part: 0)
    let (found, gradient) = gradient(decoder, specimen, dropout)
    let expected = loss(specimen, dropout, moving: 0, by: 0)
    #expect(abs(found.nats - expected) < 1e-5 * expected)
    #expect(abs(found.nats - plain.0.nats) > 1e-3 * expected, "the dropout must matter")
    let size = Double(gradient.map(abs).max() ?? 0)
    for factor in specimen.adapter.layout.factors {
      for index in stride(from: factor.offset, to: factor.range.upperBound, by: 37) {
        let slope =
          (loss(specimen, dropout, moving: index, by: 1e-5)
            - loss(specimen, dropout, moving: index, by: -1e-5)) / 2e-5
        #expect(
          abs(Double(gradient[index]) - slope) < 2e-5 * size + 1e-4 * abs(slope),
          "\(factor.name) coordinate \(index - factor.offset)")
      }
    }
  }

  @Test func theSameCallDropsTheSameAndOthersDoNot() throws {
    let specimen = try Specimen(Specimen.odd, batch: 5, length: 300)
    for type in ComputeType.allCases {
      let decoder = try specimen.decoder(type)
      let dropout = Dropout(probability: 0.1, seed: 1, step: 2, part: 3)
      let first = gradient(decoder, specimen, dropout)
      let plain = gradient(decoder, specimen, nil)
      let again = gradient(try specimen.decoder(type), specimen, dropout)
      #expect(first.0 == again.0 && first.1 == again.1)
      #expect(first.1 != plain.1)
      for other in [
        Dropout(probability: 0.1, seed: 2, step: 2, part: 3),
        Dropout(probability: 0.1, seed: 1, step: 3, part: 3),
        Dropout(probability: 0.1, seed: 1, step: 2, part: 4),
        Dropout(probability: 0.2, seed: 1, step: 2, part: 3),
      ] {
        #expect(gradient(decoder, specimen, other).1 != first.1)
      }
      // Without probability nothing is lost.
      let none = gradient(decoder, specimen, Dropout(probability: 0, seed: 1, step: 2, part: 3))
      #expect(difference(none.1, plain.1.map(Double.init)) < (type == .f32 ? 1e-5 : 1e-2))
    }
  }

  @Test(arguments: [0.05, 0.1, 0.5, 0.9])
  func asManyAreDroppedAsAsked(probability: Double) {
    let dropout = Dropout(probability: probability, seed: 11, step: 1, part: 0)
    let kept = Float(1 / (1 - probability))
    var (zeros, pairs, rows, modules) = (0, 0, 0, 0)
    let side = 400
    for row in 0..<side {
      for column in 0..<side {
        let factor = dropout.factor(offset: 96, row: row, column: column)
        #expect(factor == 0 || factor == kept)
        guard factor == 0 else { continue }
        zeros += 1
        // Neighbours in every direction are dropped as if alone.
        if dropout.factor(offset: 96, row: row, column: column + 1) == 0 { pairs += 1 }
        if dropout.factor(offset: 96, row: row + 1, column: column) == 0 { rows += 1 }
        if dropout.factor(offset: 192, row: row, column: column) == 0 { modules += 1 }
      }
    }
    let all = Double(side * side)
    let spread = 5 * (probability * (1 - probability) / all).squareRoot()
    #expect(abs(Double(zeros) / all - probability) < spread)
    for both in [pairs, rows, modules] {
      #expect(abs(Double(both) / all - probability * probability) < 2 * spread)
    }
  }

  @Test func rankStabilisedFactorsCountMore() throws {
    let specimen = try Specimen(Specimen.odd, rank: 4)
    let layout = specimen.adapter.layout
    let stable = try AdapterLayout(
      rank: 4, alpha: layout.alpha, modules: layout.modules, scaling: .rankStabilised)
    #expect(stable != layout && stable.scale == 2 * layout.scale)
    let decoder = try specimen.decoder(.f32)
    try decoder.setAdapter(Adapter(layout: stable, values: specimen.adapter.values))
    var referee = specimen.referee()
    referee.layout = stable
    let expected = specimen.windows().flatMap { referee.logits($0).flatMap(\.self) }
    let found = decoder.logits(tokens: specimen.tokens, batch: 2, length: 7)
    #expect(difference(found, expected) < 1e-5)
  }

  @Test func modulesAreChosenByPathToo() throws {
    func paths(_ text: String) throws -> [String] {
      try Specimen.odd.linearModules(targets: Targets(text: text)).map(\.path)
    }
    #expect(try paths("all-linear,!model.layers.0.*").count == 7)
    #expect(try paths("all-linear,!*.mlp.*").count == 8)
    #expect(
      try paths("q_proj,model.layers.1.mlp.*") == [
        "model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj",
        "model.layers.1.mlp.gate_proj", "model.layers.1.mlp.up_proj",
        "model.layers.1.mlp.down_proj",
      ])
    #expect(try paths("*1*k_p*j") == ["model.layers.1.self_attn.k_proj"])
    for (text, named) in [
      ("model.layers.7.*", "model.layers.7.*"), ("q_proj,!*.lm_head", "*.lm_head"),
      ("q_proj,!*q_proj", "nothing is left"),
    ] {
      let error = #expect(throws: TransformersError.self) { try paths(text) }
      #expect(error.map(String.init(describing:))?.contains(named) == true)
    }
    for text in ["all-linear", "q_proj,v_proj", "all-linear,!model.layers.0.*", "*.mlp.*"] {
      #expect(try Targets(text: text).text == text)
    }
  }
}
