import Adapters
import Transformers

extension MemoryNeeds {
  /// The parts in words.
  public var text: String {
    "weights \(weights >> 20), activations \(activations >> 20), adapter \(adapter >> 20)"
      + (peak > weights + activations + adapter ? ", reading \(reading >> 20)" : "")
  }
}

/// Whether training keeps its activations or computes them again, by the memory there is.
public struct MemoryPlan: Sendable, Equatable {
  /// What the chosen way takes.
  public let needs: MemoryNeeds
  /// Whether activations are computed again on the way back.
  public let recomputes: Bool

  /// Keeps activations if that fits into `limit` bytes, else computes them again.
  ///
  /// - Parameters:
  ///   - judges: whether held-out text is judged between the steps.
  ///   - limit: nil asks the system how much is left; where it cannot say, all fits.
  ///
  /// Throws ``TrainingError/tooLittleMemory(_:available:)`` with the figures when neither fits.
  public init(
    configuration: DecoderConfiguration, settings: TrainingSettings, layout: AdapterLayout,
    judges: Bool = false, limit: Int? = nil
  ) throws {
    let available = limit ?? availableBytes() ?? .max
    for recomputes in [false, true] {
      let needs = try MemoryNeeds(
        configuration: configuration, computeType: settings.computeType, layout: layout,
        batch: settings.batch, length: settings.length, recomputes: recomputes,
        dropsOut: settings.dropout > 0,
        judges: judges ? windowsJudgedAtOnce(length: settings.length) : 0,
        form: settings.weights)
      if needs.peak <= available {
        self.needs = needs
        self.recomputes = recomputes
        return
      }
      if recomputes {
        throw TrainingError.tooLittleMemory(needs, available: available)
      }
    }
    preconditionFailure("the loop ends with a plan or an error")
  }

  /// One line for whoever waits.
  public var text: String {
    "memory: about \(needs.peak >> 20) MiB (\(needs.text))"
      + (recomputes ? "; activations are computed again, for they would not fit" : "")
  }
}
