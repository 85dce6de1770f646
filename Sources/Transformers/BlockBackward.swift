import Tensors

/// The way back of a stretch of rows, the mirror of `BlockForward`; `dx` is the gradient of the
/// residual stream. LoRA gradients of a task go to partial sums of its own, so their order, and
/// with it every bit, does not depend on which thread was faster.
struct BlockBackward {
  let model: FrozenModel
  let adapter: ModelAdapter
  let pass: Pass
  let rows: Range<Int>
  let slots: WorkerSlots
  let partials: UnsafeMutablePointer<Float>

  var shape: DecoderConfiguration { pass.shape }
  var hidden: Int { padded(shape.hidden) }
  private var panel: UnsafeMutablePointer<Float> { pass.arena.floats(slots.panel) }
  private var dh: UnsafeMutablePointer<Float> { pass.arena.floats(slots.dh) }
  var dx: UnsafeMutablePointer<Float> { pass.floats(pass.dx, rows.lowerBound, hidden) }

  init(model: FrozenModel, adapter: ModelAdapter, pass: Pass, block: Int, worker: Int) {
    self.model = model
    self.adapter = adapter
    self.pass = pass
    rows = pass.blocks[block]
    slots = pass.workers[worker]
    partials = pass.floats(pass.partials, block, pass.partialFloats)
  }

  /// Through x += act · W_dᵀ, the gate, and the second norm.
  func feedForward(_ index: Int) {
    let layer = model.layers[index]
    let kept = pass.layers[index]
    let groups = adapter.layers[index]
    let down = groups?.down
    let dhDown = pass.arena.floats(slots.h)
    let dout = unsettle(layer.feedForwardNorm, kept.feedForwardNorm)
    let operand = operandA(dout, depth: shape.hidden, for: layer[.down], and: down)
    if let down, let slot = kept.hDown {
      down.contract(
        down.members[0], rows: rows.count, dout, width: hidden, work(operand),
        h: pass.floats(slot, rows.lowerBound, down.stride), to: dhDown, partials: partials)
    }
    let reaching = down?.operand(rows: rows.count, dhDown, room)
    let dy = pass.arena.floats(slots.wideA)
    for strip in pass.strips {
      let width = padded(strip.count)
      let dact = pass.arena.floats(slots.act)
      layer[.down].backward(
        rows: rows.count, operand, inputs: strip, to: dact, width: width, adding: false,
        panel: panel)
      down?.reach(
        rows: rows.count, dhDown, reaching, inputs: strip, addingTo: dact, width: width,
        drop: drop)
      let gradients = deactivate(index, strip: strip, dact: dact)
      down?.collect(
        rows: rows.count, dh: dhDown, dact, width: width, inputs: strip, partials: partials,
        drop: drop)
      let first = strip.lowerBound == 0
      for (linear, gradient) in gradients {
        let part = operandB(
          gradient, depth: strip.count, for: layer[linear], and: groups?.feedForward)
        layer[linear].backward(
          rows: rows.count, part,
          outputs: strip, to: dy, width: hidden, adding: !(first && linear == gradients[0].linear),
          panel: panel)
        if let group = groups?.feedForward, let member = group.member(linear) {
          group.contract(
            member, rows: rows.count, gradient, width: width, work(part),
            h: pass.floats(kept.hFeedForward!, rows.lowerBound, group.stride), outputs: strip,
            to: dh, adding: !first, partials: partials)
        }
      }
    }
    finish(groups?.feedForward, dy: dy, norm: layer.feedForwardNorm, kept.feedForwardNorm)
  }

  /// Through x += attended · Wₒᵀ: the gradient of attended.
  func leaveAttention(_ index: Int) {
    let kept = pass.layers[index]
    let width = padded(shape.queryWidth)
    let dattended = pass.floats(pass.dattended, rows.lowerBound, width)
    let matrix = model.layers[index][.output]
    let dout = unsettle(model.layers[index].attentionNorm, kept.attentionNorm)
    let operand = operandA(
      dout, depth: shape.hidden, for: matrix, and: adapter.layers[index]?.output)
    matrix.backward(
      rows: rows.count, operand, to: dattended, width: width, adding: false, panel: panel)
    guard let group = adapter.layers[index]?.output, let slot = kept.hOutput else { return }
    group.contract(
      group.members[0], rows: rows.count, dout, width: hidden, work(operand),
      h: pass.floats(slot, rows.lowerBound, group.stride), to: dh, partials: partials)
    group.reach(
      rows: rows.count, dh, group.operand(rows: rows.count, dh, room), addingTo: dattended,
      width: width, drop: drop)
    let attended = pass.arena.floats(slots.query)
    Kernels.recall(
      pass.row(kept.attended, rows.lowerBound, shape.queryWidth), as: pass.storage,
      count: rows.count * width, to: attended)
    group.collect(
      rows: rows.count, dh: dh, attended, width: width, partials: partials, drop: drop)
  }

  /// Through rotation and norms of q and k, the products of q, k, v, and the first norm.
  ///
  /// - Parameter last: nothing below learns, so dx itself is not wanted.
  func enterAttention(_ index: Int, last: Bool) {
    let layer = model.layers[index]
    let kept = pass.layers[index]
    let group = adapter.layers[index]?.attention
    let dy = pass.arena.floats(slots.wideA)
    for linear in [LinearLayer.query, .key, .value] {
      let (gradient, width) = gathered(linear, index)
      let operand = operandB(
        gradient, depth: shape.shape(of: linear).outputs, for: layer[linear], and: group)
      if !last {
        layer[linear].backward(
          rows: rows.count, operand, to: dy, width: hidden, adding: linear != .query, panel: panel)
      }
      if let group, let member = group.member(linear) {
        group.contract(
          member, rows: rows.count, gradient, width: width, work(operand),
          h: pass.floats(kept.hAttention!, rows.lowerBound, group.stride), to: dh,
          partials: partials)
      }
    }
    if last {
      collect(group, norm: layer.attentionNorm, kept.attentionNorm)
    } else {
      finish(group, dy: dy, norm: layer.attentionNorm, kept.attentionNorm)
    }
  }

  // MARK: Parts

  private func work(_ operand: Operand) -> LowRank.Work {
    LowRank.Work(operand: operand, panel: panel)
  }

  private var room: LowRank.Room {
    LowRank.Room(operands: pass.arena.floats(slots.operandH), panel: panel)
  }

  private func operandA(
    _ a: UnsafePointer<Float>, depth: Int, for matrix: FrozenMatrix, and group: LowRank?
  ) -> Operand {
    Operand(
      rows: rows.count, depth: depth, a, width: padded(depth), for: matrix,
      and: group?.factors, scratch: pass.arena.floats(slots.operandA))
  }

  private func operandB(
    _ a: UnsafePointer<Float>, depth: Int, for matrix: FrozenMatrix, and group: LowRank?
  ) -> Operand {
    Operand(
      rows: rows.count, depth: depth, a, width: padded(depth), for: matrix,
      and: group?.factors, scratch: pass.arena.floats(slots.operandB))
  }

  /// A product input's gradient dy, with its LoRA part, goes through the norm into dx.
  private func finish(
    _ group: LowRank?, dy: UnsafeMutablePointer<Float>, norm: FloatBuffer, _ kept: NormSlots
  ) {
    if let group {
      group.reach(
        rows: rows.count, dh, group.operand(rows: rows.count, dh, room), addingTo: dy,
        width: hidden, drop: drop)
    }
    collect(group, norm: norm, kept)
    leave(dy, norm, kept)
  }

  /// The gradient of a group's A, whose input is computed or read once more.
  private func collect(_ group: LowRank?, norm: FloatBuffer, _ kept: NormSlots) {
    guard let group else { return }
    group.collect(
      rows: rows.count, dh: dh, input(norm, kept), width: hidden, partials: partials,
      drop: drop)
  }

  /// The gradient of q, k or v before rotation and norm, and its row width.
  private func gathered(
    _ linear: LinearLayer, _ index: Int
  ) -> (UnsafeMutablePointer<Float>, Int) {
    let wide = padded(shape.queryWidth)
    if linear == .query {
      let dq = pass.floats(pass.dq, rows.lowerBound, wide)
      rotateBack(linear, index, dq)
      unnormHeads(linear, index, dq)
      return (dq, wide)
    }
    let narrow = padded(shape.keyValueWidth)
    let source = linear == .key ? pass.dk : pass.dv
    let out = pass.arena.floats(linear == .key ? slots.key : slots.value)
    Kernels.sumGroups(
      rows: rows.count, heads: shape.heads, keyValueHeads: shape.keyValueHeads,
      dimension: shape.headDimension, pass.floats(source, rows.lowerBound, wide), width: wide,
      to: out, width: narrow)
    rotateBack(linear, index, out)
    unnormHeads(linear, index, out)
    return (out, narrow)
  }

  func recallStrip(
    _ slot: Slot, _ strip: Range<Int>, _ scratch: Slot
  ) -> UnsafeMutablePointer<Float> {
    let out = pass.arena.floats(scratch)
    Kernels.recall(
      pass.stripStart(slot, rows: rows, strip: strip), as: pass.storage,
      count: rows.count * padded(strip.count), to: out)
    return out
  }
}
