import Tensors

/// Where the norm of attention and of the feed-forward block stands.
public enum NormPlacement: String, Sendable, Equatable {
  /// x + f(norm(x)): Llama.
  case before
  /// x + norm(f(x)): OLMo 2.
  case after
}

/// What the way back through a sub-layer's norm needs.
struct NormSlots {
  /// The unit rows and their factors; absent when only losses are wanted.
  let unit, factors: Slot?
  /// The sub-layer's input where that is not the norm's output, which follows from the unit rows.
  let input: Slot?

  init(
    shape: DecoderConfiguration, tokens: Int, storage: Storage, purpose: Purpose,
    layout: inout ArenaLayout
  ) {
    let whole = purpose == .gradient
    unit = whole ? layout.kept(tokens * padded(shape.hidden), as: storage) : nil
    factors = whole ? layout.floats(tokens) : nil
    input =
      whole && shape.normPlacement == .after
      ? layout.kept(tokens * padded(shape.hidden), as: storage) : nil
  }
}

extension BlockForward {
  /// y[R, H], the input of a sub-layer: the norm of x, or x itself.
  func enter(_ weight: FloatBuffer, _ kept: NormSlots) -> UnsafeMutablePointer<Float> {
    switch shape.normPlacement {
    case .before:
      let y = pass.arena.floats(slots.wideA)
      norm(x, weight, to: y, kept)
      return y
    case .after:
      if let input = kept.input {
        Kernels.keep(
          x, count: rows.count * hidden, in: pass.row(input, rows.lowerBound, shape.hidden),
          as: pass.storage)
      }
      return x
    }
  }

  /// Where a sub-layer's output goes: onto x, or into scratch that is overwritten.
  var output: (sum: UnsafeMutablePointer<Float>, onto: Bool) {
    shape.normPlacement == .before ? (x, true) : (pass.arena.floats(slots.wideB), false)
  }

  /// x[R, H] += norm of the output, where that is not on x already.
  func settle(_ weight: FloatBuffer, _ kept: NormSlots) {
    guard shape.normPlacement == .after else { return }
    let y = pass.arena.floats(slots.wideA)
    norm(output.sum, weight, to: y, kept)
    Kernels.add(count: rows.count * hidden, y, to: x)
  }

  private func norm(
    _ x: UnsafePointer<Float>, _ weight: FloatBuffer, to y: UnsafeMutablePointer<Float>,
    _ kept: NormSlots
  ) {
    Kernels.norm(
      rows: rows.count, width: shape.hidden, x, weight: weight.start,
      epsilon: shape.normEpsilon, to: y,
      kept: kept.unit.map { pass.row($0, rows.lowerBound, shape.hidden) }, as: pass.storage,
      factors: kept.factors.map { pass.floats($0, rows.lowerBound, 1) })
  }
}

extension BlockBackward {
  /// The gradient of a sub-layer's output: dx, or dx through the norm.
  func unsettle(_ weight: FloatBuffer, _ kept: NormSlots) -> UnsafeMutablePointer<Float> {
    guard shape.normPlacement == .after else { return dx }
    let dout = pass.arena.floats(slots.wideB)
    dout.update(repeating: 0, count: rows.count * hidden)
    normBackward(dx, weight, kept, addingTo: dout)
    return dout
  }

  /// dx += the gradient of a sub-layer's input, dy[R, H], through the norm where it stands there.
  func leave(_ dy: UnsafePointer<Float>, _ weight: FloatBuffer, _ kept: NormSlots) {
    switch shape.normPlacement {
    case .before: normBackward(dy, weight, kept, addingTo: dx)
    case .after: Kernels.add(count: rows.count * hidden, dy, to: dx)
    }
  }

  /// The sub-layer's input once more.
  func input(_ weight: FloatBuffer, _ kept: NormSlots) -> UnsafePointer<Float> {
    let y = pass.arena.floats(slots.wideB)
    if let input = kept.input {
      Kernels.recall(
        pass.row(input, rows.lowerBound, shape.hidden), as: pass.storage,
        count: rows.count * hidden, to: y)
    } else {
      Kernels.normAgain(
        rows: rows.count, width: shape.hidden,
        kept: pass.row(kept.unit!, rows.lowerBound, shape.hidden), as: pass.storage,
        weight: weight.start, to: y)
    }
    return UnsafePointer(y)
  }

  private func normBackward(
    _ dy: UnsafePointer<Float>, _ weight: FloatBuffer, _ kept: NormSlots,
    addingTo dx: UnsafeMutablePointer<Float>
  ) {
    Kernels.normBackward(
      rows: rows.count, width: shape.hidden, dy, weight: weight.start,
      kept: pass.row(kept.unit!, rows.lowerBound, shape.hidden), as: pass.storage,
      factors: pass.floats(kept.factors!, rows.lowerBound, 1), addingTo: dx)
  }
}
