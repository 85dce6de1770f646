import Tensors

/// The keys and values of a text so far, for generation token by token.
public final class KeyValueCache {
  /// Positions the cache has room for.
  public let capacity: Int
  /// Positions filled.
  public internal(set) var count = 0

  let arena: Arena
  let keys: [Slot]
  let values: [Slot]
  let panels: [Slot]
  let x, y, q, k, v, attended, gate, up, act, h, scores, logits, operand: Slot
  let rotation: RotationTable

  init(shape: DecoderConfiguration, capacity: Int, lowRank: Int) {
    self.capacity = capacity
    var layout = ArenaLayout()
    let narrow = padded(shape.keyValueWidth)
    keys = (0..<shape.layers).map { _ in layout.floats(capacity * narrow) }
    values = (0..<shape.layers).map { _ in layout.floats(capacity * narrow) }
    panels = (0..<Workers.count).map { _ in layout.floats(FrozenMatrix.panelFloats) }
    x = layout.floats(padded(shape.hidden))
    y = layout.floats(padded(shape.hidden))
    q = layout.floats(padded(shape.queryWidth))
    k = layout.floats(narrow)
    v = layout.floats(narrow)
    attended = layout.floats(padded(shape.queryWidth))
    gate = layout.floats(padded(shape.intermediate))
    up = layout.floats(padded(shape.intermediate))
    act = layout.floats(padded(shape.intermediate))
    h = layout.floats(lowRank)
    scores = layout.floats(padded(capacity))
    logits = layout.floats(padded(shape.vocabulary))
    operand = layout.floats(
      Operand.floats(rows: 1, depth: max(shape.hidden, shape.queryWidth, shape.intermediate)))
    arena = Arena(layout)
    rotation = RotationTable(length: capacity, configuration: shape)
  }

  /// Forgets all positions from `count` on, so that another continuation can be tried.
  public func truncate(to count: Int) {
    self.count = min(self.count, max(0, count))
  }
}

extension Decoder {
  /// Room for the keys and values of up to `capacity` positions, empty.
  public func makeCache(capacity: Int) -> KeyValueCache {
    precondition(capacity > 0, "a cache holds at least one position")
    let widths = adapter?.layers.compactMap { $0 }.flatMap(\.groups).map(\.width) ?? []
    return KeyValueCache(
      shape: configuration, capacity: capacity, lowRank: widths.max() ?? 0)
  }

  /// Appends one token to the cache's text and gives the logits for the next, `[vocabulary]`.
  ///
  /// The cache must be of this decoder with the adapter it has on, and not be full.
  public func step(token: Int32, cache: KeyValueCache) -> [Float] {
    precondition(cache.count < cache.capacity, "the cache is full: make one with more capacity")
    precondition(
      token >= 0 && Int(token) < configuration.vocabulary, "the token is in the vocabulary")
    let step = SingleStep(model: model, adapter: adapter, cache: cache)
    step.embed(Int(token))
    for index in 0..<configuration.layers {
      step.attend(index)
      step.feedForward(index)
    }
    cache.count += 1
    return step.logits()
  }
}

/// One position's way through the model; products are split by their columns.
private struct SingleStep {
  let model: FrozenModel
  let adapter: ModelAdapter?
  let cache: KeyValueCache

  private var shape: DecoderConfiguration { model.shape }
  private func floats(_ slot: Slot) -> UnsafeMutablePointer<Float> { cache.arena.floats(slot) }

  func embed(_ token: Int) { model.embedding.readRow(token, into: floats(cache.x)) }

  func attend(_ index: Int) {
    let layer = model.layers[index]
    let groups = adapter?.layers[index]
    norm(layer.inputNorm)
    groups?.attention?.project(rows: 1, floats(cache.y), width: 0, to: floats(cache.h))
    for (linear, slot) in [(LinearLayer.query, cache.q), (.key, cache.k), (.value, cache.v)] {
      product(layer[linear], cache.y, to: slot)
      expand(groups?.attention, linear, to: slot)
    }
    rotate(cache.q, heads: shape.heads)
    rotate(cache.k, heads: shape.keyValueHeads)
    let narrow = padded(shape.keyValueWidth)
    (floats(cache.keys[index]) + cache.count * narrow).update(from: floats(cache.k), count: narrow)
    (floats(cache.values[index]) + cache.count * narrow)
      .update(from: floats(cache.v), count: narrow)
    CausalAttention.step(
      heads: shape.heads, keyValueHeads: shape.keyValueHeads, dimension: shape.headDimension,
      count: cache.count + 1, floats(cache.q), keys: floats(cache.keys[index]),
      values: floats(cache.values[index]), width: narrow, to: floats(cache.attended),
      scores: floats(cache.scores))
    product(layer[.output], cache.attended, to: cache.x, adding: true)
    groups?.output?.project(rows: 1, floats(cache.attended), width: 0, to: floats(cache.h))
    expand(groups?.output, .output, to: cache.x)
  }

  func feedForward(_ index: Int) {
    let layer = model.layers[index]
    let groups = adapter?.layers[index]
    norm(layer.middleNorm)
    groups?.feedForward?.project(rows: 1, floats(cache.y), width: 0, to: floats(cache.h))
    for (linear, slot) in [(LinearLayer.gate, cache.gate), (.up, cache.up)] {
      product(layer[linear], cache.y, to: slot)
      expand(groups?.feedForward, linear, to: slot)
    }
    Kernels.swiglu(
      count: padded(shape.intermediate), gate: floats(cache.gate), up: floats(cache.up),
      to: floats(cache.act))
    product(layer[.down], cache.act, to: cache.x, adding: true)
    groups?.down?.project(rows: 1, floats(cache.act), width: 0, to: floats(cache.h))
    expand(groups?.down, .down, to: cache.x)
  }

  func logits() -> [Float] {
    norm(model.finalNorm)
    product(model.head, cache.y, to: cache.logits)
    return [Float](UnsafeBufferPointer(start: floats(cache.logits), count: shape.vocabulary))
  }

  private func norm(_ weight: FloatBuffer) {
    Kernels.norm(
      rows: 1, width: shape.hidden, floats(cache.x), weight: weight.start,
      epsilon: shape.normEpsilon, to: floats(cache.y), kept: nil, as: .f32, factors: nil)
  }

  private func rotate(_ slot: Slot, heads: Int) {
    Kernels.rotate(
      rows: 1, first: cache.count, length: cache.capacity, heads: heads,
      dimension: shape.headDimension, floats(slot), width: 0, turns: cache.rotation.start)
  }

  private func expand(_ group: LowRank?, _ linear: LinearLayer, to slot: Slot) {
    guard let group, let member = group.member(linear) else { return }
    group.expand(member, rows: 1, floats(cache.h), addingTo: floats(slot), width: 0)
  }

  private func product(_ matrix: FrozenMatrix, _ a: Slot, to c: Slot, adding: Bool = false) {
    let strip = 192
    let operand = Operand(
      rows: 1, depth: matrix.columns, floats(a), width: 0, for: matrix,
      scratch: floats(cache.operand))
    Workers.run(tasks: (matrix.rows + strip - 1) / strip) { task, worker in
      let outputs = task * strip..<min((task + 1) * strip, matrix.rows)
      matrix.forward(
        rows: 1, operand, outputs: outputs, to: floats(c) + outputs.lowerBound, width: 0,
        adding: adding, panel: floats(cache.panels[worker]))
    }
  }
}
