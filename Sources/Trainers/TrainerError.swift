import Glibc

/// Why a job was not done.
public enum TrainerError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The worker could not be started.
  case cannotStart(command: String, reason: String)
  /// The worker ended while it had the job, or before it was ready. `lastWords` is the end of what
  /// it said on standard error.
  case died(command: String, how: String, lastWords: [String])
  /// The worker did the job and it failed; the worker lives on.
  case failed(message: String, hint: String?)
  /// The worker said something that is not in the contract.
  case broke(command: String, reason: String)
  /// A line of the contract is not one.
  case badLine(reason: String)
  /// The worker was stopped; no job is taken any more.
  case stopped

  public var description: String {
    switch self {
    case .cannotStart(let command, let reason):
      "the worker `\(command)` cannot be started: \(reason)\n"
        + "hint: check `worker.command` in hanse.toml, and that `hanse` lies beside `hansed`"
    case .died(let command, let how, let lastWords):
      "the worker `\(command)` \(how)"
        + lastWords.map { "\n  | " + $0 }.joined()
        + "\nhint: it is started again; if it was killed, it may need more memory than there is"
    case .failed(let message, let hint): message + (hint.map { "\nhint: " + $0 } ?? "")
    case .broke(let command, let reason):
      "the worker `\(command)` broke the contract: \(reason)\nhint: see Protocol/Worker.md"
    case .badLine(let reason): "not a line of the worker's contract: \(reason)"
    case .stopped: "the worker was stopped"
    }
  }
}
