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
  let x, y, sum, q, k, v, attended, gate, up, act, h, scores, logits, operand: Slot
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
    sum = layout.floats(padded(shape.hidden))
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
    let widths = adapter?.layers.compactMap { $0 }.flatMap(\.groups).map(\.stride) ?? []
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
    let y = enter(layer.attentionNorm)
    groups?.attention?.project(rows: 1, floats(y), width: 0, to: floats(cache.h))
    for (linear, slot) in [(LinearLayer.query, cache.q), (.key, cache.k), (.value, cache.v)] {
      product(layer[linear], y, to: slot)
      expand(groups?.attention, linear, to: slot)
      addBias(linear, index, to: slot)
      place(linear, index, slot)
    }
    let narrow = padded(shape.keyValueWidth)
    let (keys, values) = (floats(cache.keys[index]), floats(cache.values[index]))
    (keys + cache.count * narrow).update(from: floats(cache.k), count: narrow)
    (values + cache.count * narrow).update(from: floats(cache.v), count: narrow)
    let first = Sight.first(cache.count, window: shape.window(of: index))
    CausalAttention.step(
      heads: shape.heads, keyValueHeads: shape.keyValueHeads, dimension: shape.headDimension,
      count: cache.count + 1 - first, floats(cache.q), keys: keys + first * narrow,
      values: values + first * narrow, width: narrow, to: floats(cache.attended),
      scores: floats(cache.scores))
    let (out, onto) = output
    product(layer[.output], cache.attended, to: out, adding: onto)
    groups?.output?.project(rows: 1, floats(cache.attended), width: 0, to: floats(cache.h))
    expand(groups?.output, .output, to: out)
    addBias(.output, index, to: out)
    settle(layer.attentionNorm)
  }

  func feedForward(_ index: Int) {
    let layer = model.layers[index]
    let groups = adapter?.layers[index]
    let y = enter(layer.feedForwardNorm)
    groups?.feedForward?.project(rows: 1, floats(y), width: 0, to: floats(cache.h))
    for linear in shape.linears where linear == .gate || linear == .up {
      let slot = linear == .gate ? cache.gate : cache.up
      product(layer[linear], y, to: slot)
      expand(groups?.feedForward, linear, to: slot)
      addBias(linear, index, to: slot)
    }
    let width = padded(shape.intermediate)
    if let curve = layer.curve {
      Kernels.xielu(count: width, curve, up: floats(cache.up), to: floats(cache.act))
    } else {
      Kernels.swiglu(
        count: width, gate: floats(cache.gate), up: floats(cache.up), to: floats(cache.act))
    }
    let (out, onto) = output
    product(layer[.down], cache.act, to: out, adding: onto)
    groups?.down?.project(rows: 1, floats(cache.act), width: 0, to: floats(cache.h))
    expand(groups?.down, .down, to: out)
    addBias(.down, index, to: out)
    settle(layer.feedForwardNorm)
  }

  func logits() -> [Float] {
    norm(cache.x, model.finalNorm)
    product(model.head, cache.y, to: cache.logits)
    return [Float](UnsafeBufferPointer(start: floats(cache.logits), count: shape.vocabulary))
  }

  // MARK: Parts, as in the files of the differences

  /// A sub-layer's input.
  private func enter(_ weight: FloatBuffer) -> Slot {
    guard shape.normPlacement == .before else { return cache.x }
    norm(cache.x, weight)
    return cache.y
  }

  /// Where a sub-layer's output goes, and whether onto what is there.
  private var output: (slot: Slot, onto: Bool) {
    shape.normPlacement == .before ? (cache.x, true) : (cache.sum, false)
  }

  private func settle(_ weight: FloatBuffer) {
    guard shape.normPlacement == .after else { return }
    norm(cache.sum, weight)
    Kernels.add(count: padded(shape.hidden), floats(cache.y), to: floats(cache.x))
  }

  private func norm(_ x: Slot, _ weight: FloatBuffer) {
    Kernels.norm(
      rows: 1, width: shape.hidden, floats(x), weight: weight.start,
      epsilon: shape.normEpsilon, to: floats(cache.y), kept: nil, as: .f32, factors: nil)
  }

  private func addBias(_ linear: LinearLayer, _ index: Int, to slot: Slot) {
    guard let bias = model.layers[index].bias(linear) else { return }
    Kernels.add(
      row: bias.start, count: shape.shape(of: linear).outputs, toRows: 1, floats(slot), width: 0)
  }

  /// The norm and the rotation of q or k.
  private func place(_ linear: LinearLayer, _ index: Int, _ slot: Slot) {
    if let heads = shape.normedHeads(of: linear) {
      Kernels.headNorm(
        rows: 1, heads: heads.count, dimension: heads.width, floats(slot), width: 0,
        weight: model.layers[index].headNorm(linear)!.start, epsilon: shape.normEpsilon,
        kept: nil, as: .f32, factors: nil)
    }
    guard linear != .value, !shape.unrotatedLayers.contains(index) else { return }
    Kernels.rotate(
      rows: 1, first: cache.count, length: cache.capacity,
      heads: shape.shape(of: linear).outputs / shape.headDimension,
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
