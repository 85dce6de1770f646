import Tensors

/// Logits, loss and the loss's gradient for a stretch of rows: the full matrix of logits of a
/// batch never exists.
struct VocabularyHead {
  let model: FrozenModel
  let pass: Pass
  let tokens: UnsafePointer<Int32>

  private var shape: DecoderConfiguration { pass.shape }
  private var hidden: Int { padded(shape.hidden) }

  /// The token that a row predicts; none at a window's end.
  private func label(_ row: Int) -> Int? {
    row % pass.length == pass.length - 1 ? nil : Int(tokens[row + 1])
  }

  /// The last norm's output as the head's operand.
  private func operand(_ rows: Range<Int>, _ slots: WorkerSlots) -> Operand {
    Operand(
      rows: rows.count, depth: shape.hidden, pass.floats(pass.last, rows.lowerBound, hidden),
      width: hidden, for: model.head, scratch: pass.arena.floats(slots.operandA))
  }

  /// Loss of a stretch, its logits strip by strip of the vocabulary, none kept.
  func loss(rows: Range<Int>, worker: Int) -> Double {
    let slots = pass.workers[worker]
    let logits = pass.arena.floats(slots.logits)
    let y = operand(rows, slots)
    var partitions = [Partition](repeating: Partition(), count: rows.count)
    var nats = 0.0
    for start in stride(from: 0, to: shape.vocabulary, by: Pass.lossStrip) {
      let strip = start..<min(start + Pass.lossStrip, shape.vocabulary)
      let width = padded(strip.count)
      model.head.forward(
        rows: rows.count, y, outputs: strip, to: logits, width: width, adding: false,
        panel: pass.arena.floats(slots.panel))
      for row in rows {
        guard let label = label(row) else { continue }
        let line = logits + (row - rows.lowerBound) * width
        partitions[row - rows.lowerBound].fold(line, count: strip.count)
        if strip.contains(label) { nats -= Double(line[label - start]) }
      }
    }
    for row in rows where label(row) != nil {
      nats += partitions[row - rows.lowerBound].logarithm
    }
    return nats
  }

  /// Loss of a stretch; dx of its rows ← scale times the gradient through head and final norm.
  func lossAndGradient(rows: Range<Int>, scale: Float, worker: Int) -> Double {
    let slots = pass.workers[worker]
    let logits = pass.arena.floats(slots.logits)
    let panel = pass.arena.floats(slots.panel)
    let width = padded(shape.vocabulary)
    let y = pass.floats(pass.last, rows.lowerBound, hidden)
    model.head.forward(
      rows: rows.count, operand(rows, slots), to: logits, width: width, adding: false,
      panel: panel)
    var nats = 0.0
    for row in rows {
      let line = logits + (row - rows.lowerBound) * width
      guard let label = label(row) else {
        line.update(repeating: 0, count: width)
        continue
      }
      var partition = Partition()
      partition.fold(line, count: shape.vocabulary)
      nats += partition.logarithm - Double(line[label])
      partition.crossEntropyBackward(line, count: shape.vocabulary, label: label, scale: scale)
    }
    // The norm's output is not needed any more: its gradient takes its place.
    let gradient = Operand(
      rows: rows.count, depth: shape.vocabulary, overwriting: logits, for: model.head,
      restore: pass.arena.floats(slots.operandA))
    model.head.backward(
      rows: rows.count, gradient, to: y, width: hidden, adding: false, panel: panel)
    let dx = pass.floats(pass.dx, rows.lowerBound, hidden)
    dx.update(repeating: 0, count: rows.count * hidden)
    Kernels.normBackward(
      rows: rows.count, width: shape.hidden, y, weight: model.finalNorm.start,
      kept: pass.row(pass.lastUnit, rows.lowerBound, shape.hidden), as: pass.storage,
      factors: pass.floats(pass.lastFactors, rows.lowerBound, 1), addingTo: dx)
    return nats
  }

  /// All logits of a stretch, to rows of `vocabulary` floats.
  func logits(rows: Range<Int>, worker: Int, to out: UnsafeMutablePointer<Float>) {
    let slots = pass.workers[worker]
    let logits = pass.arena.floats(slots.logits)
    let y = operand(rows, slots)
    for start in stride(from: 0, to: shape.vocabulary, by: Pass.lossStrip) {
      let strip = start..<min(start + Pass.lossStrip, shape.vocabulary)
      let width = padded(strip.count)
      model.head.forward(
        rows: rows.count, y, outputs: strip, to: logits, width: width, adding: false,
        panel: pass.arena.floats(slots.panel))
      for row in rows {
        let line = logits + (row - rows.lowerBound) * width
        (out + row * shape.vocabulary + start).update(from: line, count: strip.count)
      }
    }
  }
}
