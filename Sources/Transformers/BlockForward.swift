import Tensors

/// The way forward of a stretch of rows: everything between two attentions needs only the row
/// itself, so a task takes its rows through all of it while they are in cache.
///
/// Shapes: rows R, hidden H, query width Q, key/value width V, intermediate F.
struct BlockForward {
  let model: FrozenModel
  let adapter: ModelAdapter?
  let pass: Pass
  let rows: Range<Int>
  let slots: WorkerSlots

  var shape: DecoderConfiguration { pass.shape }
  var hidden: Int { padded(shape.hidden) }
  private var panel: UnsafeMutablePointer<Float> { pass.arena.floats(slots.panel) }
  var x: UnsafeMutablePointer<Float> { pass.floats(pass.x, rows.lowerBound, hidden) }

  init(model: FrozenModel, adapter: ModelAdapter?, pass: Pass, block: Int, worker: Int) {
    self.model = model
    self.adapter = adapter
    self.pass = pass
    rows = pass.blocks[block]
    slots = pass.workers[worker]
  }

  /// x[R, H] ← the tokens' embeddings.
  func embed(_ tokens: UnsafePointer<Int32>) {
    for row in rows {
      model.embedding.readRow(Int(tokens[row]), into: pass.floats(pass.x, row, hidden))
    }
  }

  /// x[R, H] is kept, if block `index` will be computed again from it.
  func keepInput(_ index: Int) {
    guard pass.recomputes else { return }
    pass.floats(pass.inputs[index], rows.lowerBound, hidden).update(
      from: x, count: rows.count * hidden)
  }

  /// x[R, H] ← what was kept.
  func recallInput(_ index: Int) {
    x.update(
      from: pass.floats(pass.inputs[index], rows.lowerBound, hidden), count: rows.count * hidden)
  }

  /// x[R, H] → q[R, Q], k[R, V], v[R, V], normed, rotated and kept.
  func enterAttention(_ index: Int) {
    let layer = model.layers[index]
    let kept = pass.layers[index]
    let group = adapter?.layers[index]?.attention
    let y = enter(layer.attentionNorm, kept.attentionNorm)
    let h = lowRankInput(group, kept.hAttention)
    let operand = Operand(
      rows: rows.count, depth: shape.hidden, y, width: hidden, for: layer[.query], layer[.key],
      layer[.value], and: group?.factors, scratch: pass.arena.floats(slots.operandA))
    group?.project(rows: rows.count, y, width: hidden, work(operand), to: h, drop: drop)
    let spread = group?.operands(rows: rows.count, h, room) ?? []
    let targets = [
      (LinearLayer.query, slots.query, kept.q, shape.heads),
      (.key, slots.key, kept.k, shape.keyValueHeads),
      (.value, slots.value, kept.v, shape.keyValueHeads),
    ]
    for (linear, scratch, slot, heads) in targets {
      let width = heads * shape.headDimension
      let out = pass.arena.floats(scratch)
      layer[linear].forward(
        rows: rows.count, operand, to: out, width: padded(width), adding: false, panel: panel)
      if let group, let member = group.members.firstIndex(where: { $0.layer == linear }) {
        group.expand(
          group.members[member], rows: rows.count, h, spread[member], addingTo: out,
          width: padded(width))
      }
      addBias(linear, index, to: out, width: padded(width))
      normHeads(linear, index, out)
      rotate(linear, index, out)
      Kernels.keep(
        out, count: rows.count * padded(width), in: pass.row(slot, rows.lowerBound, width),
        as: pass.storage)
    }
  }

  /// x[R, H] += attended[R, Q] · Wₒᵀ.
  func leaveAttention(_ index: Int) {
    let kept = pass.layers[index]
    let width = padded(shape.queryWidth)
    let attended = pass.arena.floats(slots.query)
    Kernels.recall(
      pass.row(kept.attended, rows.lowerBound, shape.queryWidth), as: pass.storage,
      count: rows.count * width, to: attended)
    let matrix = model.layers[index][.output]
    let group = adapter?.layers[index]?.output
    let operand = Operand(
      rows: rows.count, depth: shape.queryWidth, attended, width: width, for: matrix,
      and: group?.factors, scratch: pass.arena.floats(slots.operandA))
    let (out, onto) = output
    matrix.forward(
      rows: rows.count, operand, to: out, width: hidden, adding: onto, panel: panel)
    if let group {
      let h = lowRankInput(group, kept.hOutput)
      group.project(rows: rows.count, attended, width: width, work(operand), to: h, drop: drop)
      group.expand(
        group.members[0], rows: rows.count, h, group.operands(rows: rows.count, h, room)[0],
        addingTo: out, width: hidden)
    }
    addBias(.output, index, to: out, width: hidden)
    settle(model.layers[index].attentionNorm, kept.attentionNorm)
  }

  /// x[R, H] += silu(y·W_gᵀ) ⊙ (y·W_uᵀ) · W_dᵀ with y the second norm, strip by strip of F; other
  /// activations and norms as the configuration says.
  ///
  /// - Parameter again: only what the way back needs is wanted, not x.
  func feedForward(_ index: Int, again: Bool = false) {
    let layer = model.layers[index]
    let kept = pass.layers[index]
    let groups = adapter?.layers[index]
    let y = enter(layer.feedForwardNorm, kept.feedForwardNorm)
    let h = lowRankInput(groups?.feedForward, kept.hFeedForward)
    let operand = Operand(
      rows: rows.count, depth: shape.hidden, y, width: hidden,
      for: layer[shape.activation.isGated ? .gate : .up], layer[.up],
      and: groups?.feedForward?.factors, scratch: pass.arena.floats(slots.operandA))
    groups?.feedForward?.project(
      rows: rows.count, y, width: hidden, work(operand), to: h, drop: drop)
    let spread = groups?.feedForward?.operands(rows: rows.count, h, room) ?? []
    // Its own place even when nothing is kept: h is in use until the last strip.
    let hDown = kept.hDown.map { downRow($0, groups) } ?? pass.arena.floats(slots.dh)
    let act = pass.arena.floats(slots.act)
    let (out, onto) = output
    // A norm behind has unit rows of its own, which the way back needs.
    let isWanted = !again || shape.normPlacement == .after
    for strip in pass.strips {
      let width = padded(strip.count)
      activate(index, strip: strip, operand, h: h, spread, to: act)
      let part = Operand(
        rows: rows.count, depth: strip.count, act, width: width, for: layer[.down],
        and: groups?.down?.factors, scratch: pass.arena.floats(slots.operandB))
      groups?.down?.project(
        rows: rows.count, act, width: width, work(part), inputs: strip, to: hDown,
        adding: strip.lowerBound > 0, drop: drop)
      guard isWanted else { continue }
      layer[.down].forward(
        rows: rows.count, part, inputs: strip, to: out, width: hidden,
        adding: onto || strip.lowerBound > 0, panel: panel)
    }
    if let group = groups?.down, isWanted {
      group.expand(
        group.members[0], rows: rows.count, hDown,
        group.operands(rows: rows.count, hDown, room)[0], addingTo: out, width: hidden)
    }
    addBias(.down, index, to: out, width: hidden)
    settle(layer.feedForwardNorm, kept.feedForwardNorm)
  }

  /// last[R, H] ← the final norm of x.
  func finish() {
    let first = rows.lowerBound
    let whole = pass.purpose == .gradient
    Kernels.norm(
      rows: rows.count, width: shape.hidden, x, weight: model.finalNorm.start,
      epsilon: shape.normEpsilon, to: pass.floats(pass.last, first, hidden),
      kept: whole ? pass.row(pass.lastUnit, first, shape.hidden) : nil, as: pass.storage,
      factors: whole ? pass.floats(pass.lastFactors, first, 1) : nil)
  }

  // MARK: Parts

  private func work(_ operand: Operand) -> LowRank.Work {
    LowRank.Work(operand: operand, panel: panel)
  }

  private var room: LowRank.Room {
    LowRank.Room(operands: pass.arena.floats(slots.operandH), panel: panel)
  }

  /// One strip of gate or up, with its LoRA, kept if the pass keeps it.
  func half(
    _ linear: LinearLayer, _ scratch: Slot, _ strip: Range<Int>, _ y: Operand,
    _ h: UnsafePointer<Float>, _ spread: [LowRank.Work?], _ index: Int, _ slot: Slot?
  ) -> UnsafeMutablePointer<Float> {
    let out = pass.arena.floats(scratch)
    let width = padded(strip.count)
    model.layers[index][linear].forward(
      rows: rows.count, y, outputs: strip, to: out, width: width, adding: false, panel: panel)
    if let group = adapter?.layers[index]?.feedForward,
      let member = group.members.firstIndex(where: { $0.layer == linear })
    {
      group.expand(
        group.members[member], rows: rows.count, h, spread[member], outputs: strip,
        addingTo: out, width: width)
    }
    addBias(linear, index, outputs: strip, to: out, width: width)
    if let slot {
      Kernels.keep(
        out, count: rows.count * width, in: pass.stripStart(slot, rows: rows, strip: strip),
        as: pass.storage)
    }
    return out
  }

  /// Where a group's H goes: its kept rows, or scratch.
  private func lowRankInput(_ group: LowRank?, _ slot: Slot?) -> UnsafeMutablePointer<Float> {
    guard let group, let slot else { return pass.arena.floats(slots.h) }
    return pass.floats(slot, rows.lowerBound, group.stride)
  }

  private func downRow(_ slot: Slot, _ groups: LayerAdapter?) -> UnsafeMutablePointer<Float> {
    pass.floats(slot, rows.lowerBound, groups?.down?.stride ?? 0)
  }
}
