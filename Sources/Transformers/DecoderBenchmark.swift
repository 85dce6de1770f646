import Adapters
import Tensors

/// Where the time of a pass goes, in seconds of processor time, all cores' time added: so that
/// others on the machine disturb it little.
public struct PhaseTimes: Sendable, Equatable {
  /// The phases of a training step, in the order of their first appearance.
  public enum Phase: String, Sendable, CaseIterable {
    case fill, forward, attention, head, backward, attentionBackward, reduce
  }

  /// Seconds by phase.
  public private(set) var seconds: [Phase: Double] = [:]

  mutating func add(_ elapsed: Double, to phase: Phase) {
    seconds[phase, default: 0] += elapsed
  }

  /// All phases together.
  public var total: Double { seconds.values.reduce(0, +) }
}

/// Times a decoder of random weights: how fast a training step is here, and what it spends.
public struct DecoderBenchmark {
  /// What one measurement found.
  public struct Result: Sendable {
    /// Loss, gradient and reduction, without the optimiser.
    public var trainingTokensPerSecond: Double
    /// Loss alone.
    public var lossTokensPerSecond: Double
    /// Training tokens per second of processor time, all cores' time added: what the figure above
    /// would be on one core with nobody else on the machine.
    public var trainingTokensPerCoreSecond: Double
    /// The same for the loss alone.
    public var lossTokensPerCoreSecond: Double
    /// Processor time of the leanest training pass, by phase.
    public var phases: PhaseTimes
  }

  private let decoder: Decoder
  private let adapter: Adapter

  /// Builds a decoder of the shape with random weights, and an adapter on the targets whose B is
  /// not zero, so that no product is spared.
  public init(
    configuration: DecoderConfiguration = .smolLM2Small, computeType: ComputeType,
    rank: Int = 16, targets: Targets = .allLinear
  ) throws {
    decoder = try Decoder(
      configuration: configuration, weights: RandomWeights(), computeType: computeType)
    let layout = try AdapterLayout(
      rank: rank, alpha: 2 * rank, modules: try configuration.linearModules(targets: targets))
    var noise = Noise(state: 7)
    adapter = try Adapter(
      layout: layout, values: (0..<layout.count).map { _ in 0.02 * noise.next() })
  }

  /// Runs `repeats` training passes and loss passes on random tokens; the best of each counts.
  public func run(batch: Int = 4, length: Int = 512, repeats: Int = 3) throws -> Result {
    var noise = Noise(state: 11)
    let vocabulary = Float(decoder.configuration.vocabulary)
    let tokens = (0..<batch * length).map { _ in
      Int32((noise.next() + 1) / 2 * (vocabulary - 1))
    }
    let count = Double(batch * length)
    var gradient = [Float](repeating: 0, count: adapter.layout.count)
    var best = Result(
      trainingTokensPerSecond: 0, lossTokensPerSecond: 0, trainingTokensPerCoreSecond: 0,
      lossTokensPerCoreSecond: 0, phases: PhaseTimes())
    let clock = ContinuousClock()
    for _ in 0..<repeats {
      decoder.phases = PhaseTimes()
      var spent = processorSeconds()
      let start = clock.now
      try decoder.setAdapter(adapter)
      decoder.phases?.add(processorSeconds() - spent, to: .fill)
      gradient.withUnsafeMutableBufferPointer {
        _ = decoder.lossAndGradient(
          tokens: tokens, batch: batch, length: length, gradientScale: 1 / Float(count),
          gradient: $0)
      }
      let rate = count / seconds(clock.now - start)
      spent = processorSeconds() - spent
      best.trainingTokensPerCoreSecond = max(best.trainingTokensPerCoreSecond, count / spent)
      best.trainingTokensPerSecond = max(best.trainingTokensPerSecond, rate)
      if let phases = decoder.phases, best.phases.total == 0 || phases.total < best.phases.total {
        best.phases = phases
      }
      decoder.phases = nil
      spent = processorSeconds()
      let again = clock.now
      _ = decoder.loss(tokens: tokens, batch: batch, length: length)
      best.lossTokensPerSecond = max(
        best.lossTokensPerSecond, count / seconds(clock.now - again))
      best.lossTokensPerCoreSecond = max(
        best.lossTokensPerCoreSecond, count / (processorSeconds() - spent))
    }
    return best
  }
}

/// Seconds of a duration.
func seconds(_ duration: Duration) -> Double {
  Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
}

/// Weights as a fresh model has them: norms one, everything else small and random.
private struct RandomWeights: DecoderWeights {
  func readTensor(_ name: String, into values: UnsafeMutableBufferPointer<Float>) throws {
    if name.hasSuffix("norm.weight") {
      values.update(repeating: 1)
      return
    }
    var noise = Noise(state: UInt32(truncatingIfNeeded: name.utf8.count) &+ 3)
    for index in values.indices { values[index] = 0.05 * noise.next() }
  }
}

/// Even noise in ±1 from a linear congruence: good enough to time with.
private struct Noise {
  var state: UInt32

  mutating func next() -> Float {
    state = state &* 1_664_525 &+ 1_013_904_223
    return Float(state >> 8) * 0x1p-23 - 1
  }
}
