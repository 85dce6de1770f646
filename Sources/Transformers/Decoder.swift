import Adapters
import Tensors

/// A frozen decoder of the Llama family with LoRA factors on it: loss, gradient, logits.
///
/// Grouped-query attention, rotary positions by halves (as Hugging Face lays them out), RMSNorm,
/// SwiGLU, tied or untied embeddings, and the differences that the configuration names, each in a
/// file of its own. Forward and backward are written out; there is no graph. One thread at a time
/// uses a decoder; it spreads its work over the cores itself. The same inputs give the same bits,
/// whatever the number of threads.
public final class Decoder {
  /// The model's shape.
  public let configuration: DecoderConfiguration
  /// How weights and kept activations are stored.
  public let computeType: ComputeType

  let model: FrozenModel
  private(set) var adapter: ModelAdapter?
  private var passes: [Purpose: Pass] = [:]

  /// Whether the way back computes activations again instead of keeping them: a third more work,
  /// exactly the same numbers, and memory for one number a token and column in each block.
  public var recomputesActivations = false {
    didSet { if recomputesActivations != oldValue { passes = [:] } }
  }

  /// Tokens that go through the model together. More would only cost memory: weights are unpacked
  /// once for a few hundred rows, and gradients are sums.
  static let tokensTogether = 1024

  /// Reads every frozen tensor once and packs it for its products.
  ///
  /// - Parameter form: how many bits the frozen weights take; their products are those of the
  ///   compute type, but on matrix tiles, whose place half precision takes.
  /// - Throws: `TransformersError.configuration` if the shape makes no sense, and what `weights`
  ///   throws.
  public init(
    configuration: DecoderConfiguration, weights: any DecoderWeights, computeType: ComputeType,
    form: WeightForm = .full
  ) throws {
    self.configuration = try configuration.checked()
    self.computeType = computeType
    model = try FrozenModel(
      shape: configuration, weights: weights, storage: computeType.storage,
      form: form)
  }

  /// Puts a copy of the adapter's values on the base; `nil` leaves the plain base.
  ///
  /// - Throws: `TransformersError.adapter` if a module is not one of the model's linear layers
  ///   with its very shape; the adapter that was on before stays.
  public func setAdapter(_ adapter: Adapter?) throws {
    guard let adapter else {
      self.adapter = nil
      passes = [:]
      return
    }
    if self.adapter?.layout != adapter.layout {
      let fitting = try ModelAdapter(
        layout: adapter.layout, configuration: configuration, storage: computeType.storage,
        form: model.form)
      self.adapter = fitting
      passes = [:]
    }
    self.adapter?.fill(adapter.values)
  }

  /// Loss of `batch` windows, and its gradient by the adapter's values.
  ///
  /// Position p predicts token p + 1, so a window of `length` tokens has `length` − 1 losses.
  /// - Parameters:
  ///   - tokens: `[batch * length]`, row-major, each in `0..<vocabulary`.
  ///   - gradientScale: what the gradient of the *sum* is multiplied by; 1 / tokens for the mean.
  ///   - gradient: flat, in the layout's order; the scaled gradient is added to it.
  ///   - dropout: what the factors' inputs lose on the way; nil: nothing.
  ///   - documents: for each token the position in its window at which its document begins. None
  ///     sees or predicts another, as if each were a window of its own; nil: windows are whole.
  public func lossAndGradient(
    tokens: [Int32], batch: Int, length: Int, gradientScale: Float,
    gradient: UnsafeMutableBufferPointer<Float>, dropout: Dropout? = nil,
    documents: [Int32]? = nil
  ) -> LossSum {
    guard let adapter, let gradientStart = gradient.baseAddress else {
      preconditionFailure("a gradient needs an adapter: call setAdapter first")
    }
    precondition(gradient.count == adapter.layout.count, "the gradient has the layout's count")
    return inPasses(
      tokens, batch: batch, length: length, purpose: .gradient, dropout: dropout,
      documents: documents
    ) { pass, tokens in
      forward(pass, tokens)
      let head = VocabularyHead(model: model, pass: pass, tokens: tokens)
      let nats = sumOverBlocks(pass) { rows, worker in
        Meter.count(.head) {
          head.lossAndGradient(rows: rows, scale: gradientScale, worker: worker)
        }
      }
      backward(pass, adapter, into: gradientStart)
      return nats
    }
  }

  /// Loss of `batch` windows by the forward pass alone; keeps no activations.
  public func loss(tokens: [Int32], batch: Int, length: Int) -> LossSum {
    inPasses(tokens, batch: batch, length: length, purpose: .loss) { pass, tokens in
      forward(pass, tokens)
      let head = VocabularyHead(model: model, pass: pass, tokens: tokens)
      return sumOverBlocks(pass) { rows, worker in head.loss(rows: rows, worker: worker) }
    }
  }

  /// All logits, `[batch * length, vocabulary]`: for tests and small inputs.
  public func logits(tokens: [Int32], batch: Int, length: Int) -> [Float] {
    check(tokens, batch: batch, length: length)
    let size = batch * length * configuration.vocabulary
    guard size > 0 else { return [] }
    let pass = self.pass(windows: batch, length: length, purpose: .loss)
    return tokens.withUnsafeBufferPointer { tokens in
      forward(pass, tokens.baseAddress!)
      let head = VocabularyHead(model: model, pass: pass, tokens: tokens.baseAddress!)
      return [Float](unsafeUninitializedCapacity: size) { out, count in
        let start = out.baseAddress!
        Workers.run(tasks: pass.blocks.count) { block, worker in
          head.logits(rows: pass.blocks[block], worker: worker, to: start)
        }
        count = size
      }
    }
  }

  // MARK: Passes

  /// Calls `body` for a few windows at a time and sums up the losses.
  private func inPasses(
    _ tokens: [Int32], batch: Int, length: Int, purpose: Purpose, dropout: Dropout? = nil,
    documents: [Int32]? = nil, _ body: (Pass, UnsafePointer<Int32>) -> Double
  ) -> LossSum {
    check(tokens, batch: batch, length: length)
    guard batch > 0, length > 1 else { return LossSum() }
    let windows = Self.windowsTogether(batch: batch, length: length)
    let pass = self.pass(
      windows: windows, length: length, purpose: purpose, dropsOut: dropout != nil)
    pass.dropout = dropout
    var total = LossSum()
    tokens.withUnsafeBufferPointer { tokens in
      for first in stride(from: 0, to: batch, by: windows) {
        pass.begin(windows: min(windows, batch - first))
        pass.firstRow = first * length
        begin(pass, documents)
        total.nats += body(pass, tokens.baseAddress! + first * length)
        total.tokens += pass.sight.predictions(rows: pass.windows * length)
      }
    }
    return total
  }

  /// Hands the pass its part of the documents.
  private func begin(_ pass: Pass, _ documents: [Int32]?) {
    let rows = pass.firstRow..<pass.firstRow + pass.windows * pass.length
    documents?.withUnsafeBufferPointer { starts in
      precondition(starts.count >= rows.upperBound, "documents are [batch * length]")
      for row in rows {
        let position = row % pass.length
        precondition(
          (position == 0 ? 0...0 : starts[row - 1]...Int32(position)).contains(starts[row]),
          "a document begins at its tokens or before, and not before the one to its left")
      }
      pass.sight.begin(documents: UnsafeBufferPointer(rebasing: starts[rows]))
    }
  }

  /// Windows of a batch that go through the model at a time.
  static func windowsTogether(batch: Int, length: Int) -> Int {
    let most = max(1, tokensTogether / length)
    let count = (batch + most - 1) / most
    return (batch + count - 1) / count
  }

  private func pass(
    windows: Int, length: Int, purpose: Purpose, dropsOut: Bool = false
  ) -> Pass {
    if let pass = passes[purpose], pass.length == length, pass.capacity >= windows,
      pass.dropsOut || !dropsOut
    {
      pass.begin(windows: windows)
      return pass
    }
    passes[purpose] = nil  // its memory goes before the new one comes
    let pass = Pass(
      shape: configuration, capacity: windows, length: length, purpose: purpose,
      storage: model.storage, adapter: adapter, recomputes: recomputesActivations,
      dropsOut: dropsOut)
    passes[purpose] = pass
    return pass
  }

  private func check(_ tokens: [Int32], batch: Int, length: Int) {
    precondition(tokens.count == batch * length, "tokens are [batch * length]")
    let vocabulary = Int32(clamping: configuration.vocabulary)
    precondition(
      tokens.allSatisfy { $0 >= 0 && $0 < vocabulary }, "every token is in the vocabulary")
  }

  /// The blocks' sums, added in the blocks' order.
  private func sumOverBlocks(
    _ pass: Pass, _ body: (_ rows: Range<Int>, _ worker: Int) -> Double
  ) -> Double {
    let sums = [Double](unsafeUninitializedCapacity: pass.blocks.count) { sums, count in
      let start = sums.baseAddress!
      Workers.run(tasks: pass.blocks.count) { block, worker in
        (start + block).initialize(to: body(pass.blocks[block], worker))
      }
      count = pass.blocks.count
    }
    return sums.reduce(0, +)
  }

  // MARK: Forward and backward

  /// From tokens to the last norm's output.
  private func forward(_ pass: Pass, _ tokens: UnsafePointer<Int32>) {
    let layers = configuration.layers
    for index in 0...layers {
      forwardBlocks(pass, index, tokens)
      guard index < layers else { break }
      attend(pass, index)
    }
  }

  private func attend(_ pass: Pass, _ index: Int) {
    let attention = attention(pass, index)
    Workers.run(tasks: pass.windows * configuration.heads) { task, worker in
      attention.forward(task: task, scratch: pass.arena.floats(pass.workers[worker].attention))
    }
  }

  /// The activations of a block once more, from its kept input. The last block's are still there.
  private func forwardAgain(_ pass: Pass, _ index: Int) {
    func run(_ body: @escaping (BlockForward) -> Void) {
      Workers.run(tasks: pass.blocks.count) { block, worker in
        body(
          BlockForward(model: model, adapter: adapter, pass: pass, block: block, worker: worker))
      }
    }
    run { work in
      work.recallInput(index)
      work.enterAttention(index)
    }
    attend(pass, index)
    run { work in
      work.leaveAttention(index)
      work.feedForward(index, again: true)
    }
  }

  /// All that lies between the attention of block `index` − 1 and that of block `index`.
  private func forwardBlocks(_ pass: Pass, _ index: Int, _ tokens: UnsafePointer<Int32>) {
    Workers.run(tasks: pass.blocks.count) { block, worker in
      let work = BlockForward(
        model: model, adapter: adapter, pass: pass, block: block, worker: worker)
      if index == 0 {
        work.embed(tokens)
      } else {
        work.leaveAttention(index - 1)
        work.feedForward(index - 1)
      }
      if index < configuration.layers {
        work.keepInput(index)
        work.enterAttention(index)
      } else {
        work.finish()
      }
    }
  }

  /// From the gradient of the last norm's input to that of every factor.
  private func backward(
    _ pass: Pass, _ adapter: ModelAdapter, into gradient: UnsafeMutablePointer<Float>
  ) {
    let layers = configuration.layers
    guard let lowest = adapter.layers.firstIndex(where: { $0 != nil }) else { return }
    for index in (lowest..<layers).reversed() {
      if pass.recomputes && index < layers - 1 { forwardAgain(pass, index) }
      backwardBlocks(pass, adapter, index)
      let above = index < layers - 1 ? adapter.layers[index + 1]?.attention : nil
      let here = adapter.layers[index]?.others ?? []
      reduce(pass, [above].compactMap(\.self) + here, into: gradient)
      let attention = attention(pass, index).backward(
        from: pass.arena.floats(pass.dattended), to: pass.arena.floats(pass.dq),
        pass.arena.floats(pass.dk), pass.arena.floats(pass.dv))
      Workers.run(tasks: pass.windows * configuration.heads) { task, worker in
        attention.backward(
          task: task, scratch: pass.arena.floats(pass.workers[worker].attention))
      }
    }
    Workers.run(tasks: pass.blocks.count) { block, worker in
      BlockBackward(model: model, adapter: adapter, pass: pass, block: block, worker: worker)
        .enterAttention(lowest, last: true)
    }
    reduce(pass, [adapter.layers[lowest]?.attention].compactMap(\.self), into: gradient)
  }

  /// All that lies between the attention of block `index` + 1 and that of block `index`.
  private func backwardBlocks(_ pass: Pass, _ adapter: ModelAdapter, _ index: Int) {
    Workers.run(tasks: pass.blocks.count) { block, worker in
      let work = BlockBackward(
        model: model, adapter: adapter, pass: pass, block: block, worker: worker)
      if index < configuration.layers - 1 { work.enterAttention(index + 1, last: false) }
      work.feedForward(index)
      work.leaveAttention(index)
    }
  }

  private func reduce(
    _ pass: Pass, _ groups: [LowRank], into gradient: UnsafeMutablePointer<Float>
  ) {
    let scale = adapter?.layout.scale ?? 1
    Workers.run(tasks: groups.count) { index, _ in
      Meter.count(.factors) {
        groups[index].reduce(
          partials: pass.arena.floats(pass.partials), stride: pass.partialFloats,
          blocks: pass.blocks.count, scale: scale, into: gradient)
      }
    }
  }

  private func attention(_ pass: Pass, _ index: Int) -> CausalAttention {
    let kept = pass.layers[index]
    let arena = pass.arena
    return CausalAttention(
      length: pass.length, heads: configuration.heads,
      keyValueHeads: configuration.keyValueHeads, dimension: configuration.headDimension,
      storage: pass.storage, q: arena.bytes(kept.q), k: arena.bytes(kept.k),
      v: arena.bytes(kept.v), out: arena.bytes(kept.attended),
      starts: pass.sight.starts(windowed: configuration.window(of: index) != nil),
      logSums: arena.floats(kept.logSums))
  }
}
