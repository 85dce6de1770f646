/// What a request to a node can end with, other than its page.
public struct ControlError: Error, Codable, Sendable, Equatable, CustomStringConvertible {
  /// The kinds of failure; each is one exit code of the command line.
  public enum Kind: String, Codable, Sendable, CaseIterable {
    /// It was tried and did not work.
    case failed
    /// The request makes no sense.
    case wrongUse = "wrong-use"
    /// There is no such thing.
    case notFound = "not-found"
    /// A rule, a peer or a check refused it.
    case refused
    /// Nobody answers: the daemon is not running.
    case notRunning = "not-running"

    /// The exit code that says the same.
    public var exitCode: Int32 {
      switch self {
      case .failed: 1
      case .wrongUse: 2
      case .notFound: 3
      case .refused: 4
      case .notRunning: 5
      }
    }
  }

  /// Which kind.
  public var kind: Kind
  /// What happened, naming the thing.
  public var message: String
  /// The way out, when there is one.
  public var hint: String?

  /// A failure with its way out.
  public init(_ kind: Kind, _ message: String, hint: String? = nil) {
    self.kind = kind
    self.message = message
    self.hint = hint
  }

  /// A failure made from any error: a `hint:` line within its text becomes the hint.
  public init(_ error: any Error, kind: Kind = .failed) {
    if let error = error as? ControlError {
      self = error
      return
    }
    let text = "\(error)"
    let parts = text.split(separator: "\nhint: ", maxSplits: 1).map(String.init)
    self.init(kind, parts.first ?? text, hint: parts.count > 1 ? parts[1] : nil)
  }

  public var description: String { message + (hint.map { "\nhint: " + $0 } ?? "") }
}
