import Tensors

/// What stands between the two products of the feed-forward block.
public enum Activation: String, Sendable, Equatable {
  /// silu(gate) ⊙ up (Shazeer, 2020, arXiv:2002.05202).
  case swiglu
  /// xIELU(up), without a gate; each block has a curve of its own (arXiv:2411.13010).
  case xielu

  /// Whether the block has a gate.
  var isGated: Bool { self == .swiglu }
}

extension TensorReader {
  /// The curve of a block from four numbers, named as transformers names them:
  /// α₊ = softplus(alpha_p), α₋ = beta + softplus(alpha_n).
  func curve(layer index: Int) throws -> XIELUCurve {
    let prefix = "model.layers.\(index).mlp.act_fn."
    let beta = try number(prefix + "beta")
    return XIELUCurve(
      positive: Float(softplus(Double(try number(prefix + "alpha_p")))),
      negative: Float(Double(beta) + softplus(Double(try number(prefix + "alpha_n")))),
      beta: beta, epsilon: try number(prefix + "eps"))
  }
}

extension BlockForward {
  /// act[R, strip] ← the activation of y's products with the strip's columns, gate and up kept.
  ///
  /// - Parameters:
  ///   - y: the block's input, `[R, H]`, prepared; h: its H, `[R, LoRA width]`.
  func activate(
    _ index: Int, strip: Range<Int>, _ y: Operand, h: UnsafePointer<Float>,
    _ spread: [LowRank.Work?], to act: UnsafeMutablePointer<Float>
  ) {
    let kept = pass.layers[index]
    let count = rows.count * padded(strip.count)
    switch shape.activation {
    case .swiglu:
      let gate = half(.gate, slots.gate, strip, y, h, spread, index, kept.gate)
      let up = half(.up, slots.up, strip, y, h, spread, index, kept.up)
      Kernels.swiglu(count: count, gate: gate, up: up, to: act)
    case .xielu:
      let up = half(.up, slots.up, strip, y, h, spread, index, kept.up)
      Kernels.xielu(count: count, model.layers[index].curve!, up: up, to: act)
    }
  }
}

extension BlockBackward {
  /// From the gradient of act[R, strip] to those of gate and up; dact[R, strip] ← act.
  func deactivate(
    _ index: Int, strip: Range<Int>, dact: UnsafeMutablePointer<Float>
  ) -> [(linear: LinearLayer, gradient: UnsafeMutablePointer<Float>)] {
    let kept = pass.layers[index]
    let count = rows.count * padded(strip.count)
    let up = recallStrip(kept.up!, strip, slots.up)
    switch shape.activation {
    case .swiglu:
      let gate = recallStrip(kept.gate!, strip, slots.gate)
      Kernels.swigluBackward(count: count, gate: gate, up: up, dact: dact)
      return [(.gate, gate), (.up, up)]
    case .xielu:
      Kernels.xieluBackward(count: count, model.layers[index].curve!, up: up, dact: dact)
      return [(.up, up)]
    }
  }
}
