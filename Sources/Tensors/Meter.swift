import CKernels

/// Where the time of a step goes, kernel by kernel, all threads' time added. While nobody measures
/// a kernel's call costs one branch more.
public enum Meter {
  /// A part of the work.
  public enum Part: String, CaseIterable, Sendable, Codable {
    case frozenForward = "frozen products, forward"
    case frozenBackward = "frozen products, backward"
    case lowRank = "LoRA products"
    case attentionForward = "attention, forward"
    case attentionBackward = "attention, backward"
    case pointwise = "norms, rotations, gates"
    case operands = "rounding of activations"
    case head = "vocabulary head and loss"
    case factors = "LoRA factors in, gradients out"
    case optimiser = "optimiser"
    case waiting = "threads without a task"

    var number: Int {
      switch self {
      case .frozenForward: Int(hk_meter_frozen_forward)
      case .frozenBackward: Int(hk_meter_frozen_backward)
      case .lowRank: Int(hk_meter_low_rank)
      case .attentionForward: Int(hk_meter_attention_forward)
      case .attentionBackward: Int(hk_meter_attention_backward)
      case .pointwise: Int(hk_meter_pointwise)
      case .operands: Int(hk_meter_operands)
      case .head: Int(hk_meter_head)
      case .factors: Int(hk_meter_factors)
      case .optimiser: Int(hk_meter_optimiser)
      case .waiting: Int(hk_meter_waiting)
      }
    }
  }

  /// What was measured.
  public struct Reading: Sendable {
    /// Seconds of threads, by part.
    public let seconds: [Part: Double]
    /// Multiplications and additions of products, by part.
    public let operations: [Part: Double]
  }

  /// Measures a body that runs on the calling thread and on the workers; one at a time.
  public static func read(_ body: () throws -> Void) rethrows -> Reading {
    hk_meter_start()
    var seconds = [Double](repeating: 0, count: Int(hk_meter_parts))
    var operations = seconds
    do {
      try body()
    } catch {
      hk_meter_stop(&seconds, &operations)
      throw error
    }
    hk_meter_stop(&seconds, &operations)
    return Reading(
      seconds: .init(uniqueKeysWithValues: Part.allCases.map { ($0, seconds[$0.number]) }),
      operations: .init(uniqueKeysWithValues: Part.allCases.map { ($0, operations[$0.number]) }))
  }

  /// Counts what a body does on this thread towards a part.
  public static func count<Value>(_ part: Part, _ body: () throws -> Value) rethrows -> Value {
    hk_meter_enter(Int32(part.number))
    defer { hk_meter_leave(0) }
    return try body()
  }

  /// The most multiplications and additions a second that our own products reach on this machine,
  /// all threads at once, with everything in each core's cache: what a step is measured against.
  ///
  /// The best of `rounds`, about a hundredth of a second each.
  public static func productCeiling(storage: Storage, rounds: Int = 24) -> Double {
    // As much as stays in a second-level cache of one megabyte: 252 rows are whole blocks of
    // registers on every instruction set.
    let (rows, depth, outputs) = (252, 512, 256)
    let values = FloatBuffer(count: depth * outputs)
    for index in 0..<values.count { values.start[index] = Float(index % 251) / 251 - 0.5 }
    let matrix = FrozenMatrix(
      UnsafeBufferPointer(values.values), rows: depth, columns: outputs, storage: storage)
    let workers = Workers.count
    var layout = ArenaLayout()
    let slots = (0..<workers).map { _ in
      (
        a: layout.floats(rows * depth), c: layout.floats(rows * outputs),
        panel: layout.floats(FrozenMatrix.panelFloats),
        operand: layout.floats(Operand.floats(rows: rows, depth: depth))
      )
    }
    let arena = Arena(layout)
    for slot in slots {
      for index in 0..<rows * depth { arena.floats(slot.a)[index] = Float(index % 127) / 127 }
    }
    func work(_ repeats: Int) -> Double {
      let start = hk_meter_nanoseconds()
      Workers.run(tasks: workers) { task, _ in
        let slot = slots[task]
        let operand = Operand(
          rows: rows, depth: depth, arena.floats(slot.a), width: depth, for: matrix,
          scratch: arena.floats(slot.operand))
        for _ in 0..<repeats {
          matrix.backward(
            rows: rows, operand, to: arena.floats(slot.c), width: outputs, adding: false,
            panel: arena.floats(slot.panel))
        }
      }
      return Double(hk_meter_nanoseconds() - start) * 1e-9
    }
    let repeats = max(1, Int(0.01 / max(work(1), 1e-5)))
    let operations = Double(2 * rows * depth * outputs * workers * repeats)
    return (0..<rounds).map { _ in operations / work(repeats) }.max() ?? 0
  }
}
