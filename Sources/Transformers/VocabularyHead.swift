import Glibc
import Tensors

/// Logits, loss and the loss's gradient for a stretch of rows: the full matrix of logits of a
/// batch never exists.
struct VocabularyHead {
  let model: FrozenModel
  let pass: Pass
  let tokens: UnsafePointer<Int32>

  private var shape: DecoderConfiguration { pass.shape }
  private var hidden: Int { padded(shape.hidden) }

  /// The token that a row predicts; none at a window's or a document's end.
  private func label(_ row: Int) -> Int? {
    row % pass.length == pass.length - 1 || pass.sight.beginsDocument(row + 1)
      ? nil : Int(tokens[row + 1])
  }

  /// The last norm's output as the head's operand.
  private func operand(_ rows: Range<Int>, _ slots: WorkerSlots) -> Operand {
    Operand(
      rows: rows.count, depth: shape.hidden, pass.floats(pass.last, rows.lowerBound, hidden),
      width: hidden, for: model.head, scratch: pass.arena.floats(slots.operandA))
  }

  /// The strips of the vocabulary whose logits exist at once, in order.
  private var strips: some Sequence<Range<Int>> {
    stride(from: 0, to: shape.vocabulary, by: Pass.headStrip).lazy.map {
      $0..<min($0 + Pass.headStrip, shape.vocabulary)
    }
  }

  /// Loss of a stretch, its logits strip by strip of the vocabulary, none kept.
  func loss(rows: Range<Int>, worker: Int) -> Double {
    let slots = pass.workers[worker]
    let logits = pass.arena.floats(slots.act)
    let y = operand(rows, slots)
    var partitions = [Partition](repeating: Partition(), count: rows.count)
    var nats = 0.0
    for strip in strips {
      let width = padded(strip.count)
      model.head.forward(
        rows: rows.count, y, outputs: strip, to: logits, width: width, adding: false,
        panel: pass.arena.floats(slots.panel))
      for row in rows {
        guard let label = label(row) else { continue }
        let line = logits + (row - rows.lowerBound) * width
        partitions[row - rows.lowerBound].fold(line, count: strip.count)
        if strip.contains(label) { nats -= Double(line[label - strip.lowerBound]) }
      }
    }
    for row in rows where label(row) != nil {
      nats += partitions[row - rows.lowerBound].logarithm
    }
    return nats
  }

  /// Loss of a stretch; dx of its rows ← scale times the gradient through head and final norm.
  ///
  /// The gradient of y is Σ p·W less the label's row of W. Strip by strip its sum is taken with
  /// exponentials over the largest logit so far, and scaled down when a larger one comes, as
  /// attention does it (Dao, "FlashAttention-2", 2023, section 3.1): the whole row of logits
  /// exists nowhere. The label's own term, 1 − p, is added apart: p near 1 would lose it to the
  /// rounding of operands.
  func lossAndGradient(rows: Range<Int>, scale: Float, worker: Int) -> Double {
    let slots = pass.workers[worker]
    let panel = pass.arena.floats(slots.panel)
    let logits = pass.arena.floats(slots.act)
    let dy = pass.arena.floats(slots.wideA)
    let y = operand(rows, slots)
    var partitions = [Partition](repeating: Partition(), count: rows.count)
    var found = [Float](repeating: 0, count: rows.count)
    for strip in strips {
      let width = padded(strip.count)
      let first = strip.lowerBound == 0
      model.head.forward(
        rows: rows.count, y, outputs: strip, to: logits, width: width, adding: false,
        panel: panel)
      for index in 0..<rows.count {
        let line = logits + index * width
        let label = label(rows.lowerBound + index).map { $0 - strip.lowerBound } ?? -1
        let isHere = label >= 0 && label < strip.count
        if isHere { found[index] = line[label] }
        let fade = partitions[index].exponentials(line, count: strip.count)
        if isHere { line[label] = 0 }
        if !first, fade != 1 { Kernels.blend(count: hidden, dy + index * hidden, times: fade) }
      }
      model.head.backward(
        rows: rows.count,
        Operand(
          rows: rows.count, depth: strip.count, logits, width: width, for: model.head,
          scratch: pass.arena.floats(slots.operandB)),
        outputs: strip, to: dy, width: hidden, adding: !first, panel: panel)
    }
    let nats = finish(
      rows: rows, dy, partitions, found, scale: scale, row: pass.arena.floats(slots.wideB))
    let dx = pass.floats(pass.dx, rows.lowerBound, hidden)
    dx.update(repeating: 0, count: rows.count * hidden)
    Kernels.normBackward(
      rows: rows.count, width: shape.hidden, dy, weight: model.finalNorm.start,
      kept: pass.row(pass.lastUnit, rows.lowerBound, shape.hidden), as: pass.storage,
      factors: pass.floats(pass.lastFactors, rows.lowerBound, 1), addingTo: dx)
    return nats
  }

  /// Sums over strips become gradients of y; the rows' loss. `found` are the labels' logits, and
  /// `weights` has room for one row of the head.
  private func finish(
    rows: Range<Int>, _ dy: UnsafeMutablePointer<Float>, _ partitions: [Partition],
    _ found: [Float], scale: Float, row weights: UnsafeMutablePointer<Float>
  ) -> Double {
    var nats = 0.0
    for index in 0..<rows.count {
      let line = dy + index * hidden
      guard let label = label(rows.lowerBound + index) else {
        line.update(repeating: 0, count: hidden)
        continue
      }
      let partition = partitions[index]
      let loss = partition.logarithm - Double(found[index])
      nats += loss
      model.head.readRow(label, into: weights)
      Kernels.blend(
        count: hidden, line, times: scale / partition.total, adding: weights,
        times: scale * Float(expm1(-loss)))
    }
    return nats
  }

  /// All logits of a stretch, to rows of `vocabulary` floats.
  func logits(rows: Range<Int>, worker: Int, to out: UnsafeMutablePointer<Float>) {
    let slots = pass.workers[worker]
    let logits = pass.arena.floats(slots.act)
    let y = operand(rows, slots)
    for strip in strips {
      let width = padded(strip.count)
      model.head.forward(
        rows: rows.count, y, outputs: strip, to: logits, width: width, adding: false,
        panel: pass.arena.floats(slots.panel))
      for row in rows {
        let line = logits + (row - rows.lowerBound) * width
        (out + row * shape.vocabulary + strip.lowerBound).update(from: line, count: strip.count)
      }
    }
  }
}
