import Tensors

/// How queries and keys are normalised before they are turned.
public enum HeadNorm: String, Sendable, Equatable {
  /// Not at all: Llama.
  case none
  /// Each head by itself, all heads with one weight `[headDimension]`: Qwen3, Apertus.
  case perHead
  /// The whole projection, with a weight as wide: OLMo 2.
  case whole
}

extension DecoderConfiguration {
  /// The stretches that are normalised by themselves in a row of a layer's output, and how wide
  /// they are; nil where nothing is.
  func normedHeads(of linear: LinearLayer) -> (count: Int, width: Int)? {
    guard linear == .query || linear == .key else { return nil }
    let width = shape(of: linear).outputs
    switch headNorm {
    case .none: return nil
    case .perHead: return (width / headDimension, headDimension)
    case .whole: return (1, width)
    }
  }
}

extension DecoderConfiguration {
  /// Numbers in the weight of the norm of q or k; nil where there is none.
  public func headNormWidth(of linear: LinearLayer) -> Int? { normedHeads(of: linear)?.width }
}

/// What the way back through the norm of a row's queries or keys needs.
struct HeadNormSlots {
  /// The unit rows, laid out like the rows themselves.
  let unit: Slot
  /// One factor for each stretch.
  let factors: Slot

  /// Nil where nothing is normalised, or nothing needs to be kept.
  init?(
    _ linear: LinearLayer, shape: DecoderConfiguration, tokens: Int, storage: Storage,
    purpose: Purpose, layout: inout ArenaLayout
  ) {
    guard purpose == .gradient, let heads = shape.normedHeads(of: linear) else { return nil }
    unit = layout.kept(tokens * padded(shape.shape(of: linear).outputs), as: storage)
    factors = layout.floats(tokens * heads.count)
  }
}

extension LayerSlots {
  func headNorm(_ linear: LinearLayer) -> HeadNormSlots? {
    linear == .query ? queryNorm : keyNorm
  }
}

extension BlockForward {
  /// q[R, Q] or k[R, V] ← its norm, in place; other layers stay as they are.
  func normHeads(_ linear: LinearLayer, _ index: Int, _ x: UnsafeMutablePointer<Float>) {
    guard let heads = shape.normedHeads(of: linear) else { return }
    let width = shape.shape(of: linear).outputs
    let kept = pass.layers[index].headNorm(linear)
    Kernels.headNorm(
      rows: rows.count, heads: heads.count, dimension: heads.width, x, width: padded(width),
      weight: model.layers[index].headNorm(linear)!.start, epsilon: shape.normEpsilon,
      kept: kept.map { pass.row($0.unit, rows.lowerBound, width) }, as: pass.storage,
      factors: kept.map { pass.floats($0.factors, rows.lowerBound, heads.count) })
  }
}

extension BlockBackward {
  /// The gradient after the norm of q or k becomes that before it, in place.
  func unnormHeads(_ linear: LinearLayer, _ index: Int, _ dx: UnsafeMutablePointer<Float>) {
    guard let heads = shape.normedHeads(of: linear),
      let kept = pass.layers[index].headNorm(linear)
    else { return }
    let width = shape.shape(of: linear).outputs
    Kernels.headNormBackward(
      rows: rows.count, heads: heads.count, dimension: heads.width, dx, width: padded(width),
      weight: model.layers[index].headNorm(linear)!.start,
      kept: pass.row(kept.unit, rows.lowerBound, width), as: pass.storage,
      factors: pass.floats(kept.factors, rows.lowerBound, heads.count))
  }
}
