import Containers

/// Why a tokenizer cannot be had, or cannot render a chat.
public enum TokenizerError: Error, Equatable, CustomStringConvertible {
  /// Nothing to load at this path.
  case missing(path: String, reason: String)
  /// The file contradicts itself at `place`.
  case malformed(path: String, place: String, reason: String)
  /// A kind of tokenizer, step or pattern that is not built here; `what` names it.
  case unsupported(path: String, what: String)
  /// The chat cannot be rendered.
  case chat(reason: String)

  public var description: String {
    switch self {
    case .missing(let path, let reason):
      "no tokenizer at \(printable(path)): \(reason)\n"
        + "hint: name a GGUF file or a folder that holds tokenizer.json"
    case .malformed(let path, let place, let reason):
      "the tokenizer in \(printable(path)) is damaged at \(place): \(reason)"
    case .unsupported(let path, let what):
      "the tokenizer in \(printable(path)) is of a kind that is not read: \(what)"
    case .chat(let reason):
      "the chat cannot be rendered: \(reason)"
    }
  }
}
