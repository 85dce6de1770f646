import ArgumentParser
import Checkpoints
import Control
import Datasets
import Glibc
import Node
import Storage
import Tensors
import Tokenizers
import Training
import Transformers

/// What the command line says, where, and how it ends: data on standard output, talk on standard
/// error, one exit code for each kind of end.
enum Speech {
  /// A daemon that goes away in the middle of a request is an error with a name, not a signal.
  static func prepare() {
    signal(SIGPIPE, SIG_IGN)
  }

  /// Whether standard output is a terminal that wants colour.
  static var style: PageStyle { PageStyle(colour: wantsColour(STDOUT_FILENO)) }

  private static func wantsColour(_ descriptor: Int32) -> Bool {
    guard isatty(descriptor) == 1 else { return false }
    if let no = getenv("NO_COLOR"), no.pointee != 0 { return false }
    return getenv("TERM").map { String(cString: $0) } != "dumb"
  }

  /// Facts, on standard output.
  static func say(_ lines: [String]) {
    if !lines.isEmpty { write(lines.joined(separator: "\n") + "\n", to: STDOUT_FILENO) }
  }

  /// A page, as JSON or as text.
  static func say<Content: Page>(
    _ page: Content, json: Bool, _ lines: (Content, PageStyle) -> [String]
  ) throws {
    say(json ? [try PageCoding.text(page)] : lines(page, style))
  }

  /// Talk, on standard error.
  static func note(_ text: String) { write(text + "\n", to: STDERR_FILENO) }

  /// Text without a line's end, at once.
  static func piece(_ text: String, to descriptor: Int32) {
    write(Array(text.utf8), to: descriptor)
  }

  private static func write(_ text: String, to descriptor: Int32) {
    write(Array(text.utf8), to: descriptor)
  }

  /// Bytes as they are.
  static func write(_ bytes: [UInt8], to descriptor: Int32) {
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.write(descriptor, $0.baseAddress! + written, $0.count - written)
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { endWithout(descriptor, errno) }
      written += count
    }
  }

  /// Ends the process, for nobody hears it any more.
  private static func endWithout(_ descriptor: Int32, _ number: Int32) -> Never {
    // A reader that has read enough, as `head` does, is no failure: the process ends as every
    // program does that does not hold the signal back.
    if number == EPIPE {
      signal(SIGPIPE, SIG_DFL)
      raise(SIGPIPE)
    }
    if descriptor == STDOUT_FILENO {
      note("error: cannot write standard output: \(String(cString: strerror(number)))")
    }
    exit(1)
  }

  /// All of standard input as text, without the end of its last line; bytes that are not UTF-8
  /// count as U+FFFD. Throws when it cannot be read or is longer than `limit` bytes.
  static func readInput(limit: Int) throws -> String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = read(STDIN_FILENO, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else {
        throw ControlError(
          .failed, "cannot read standard input: \(String(cString: strerror(errno)))")
      }
      guard count > 0 else { break }
      bytes += chunk[..<count]
      guard bytes.count <= limit else {
        throw ControlError(
          .wrongUse, "standard input is longer than \(limit >> 20) MiB", hint: "give less text")
      }
    }
    if bytes.last == 0x0A { bytes.removeLast() }
    if bytes.last == 0x0D { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }

  // MARK: endings

  /// Ends the process: prints help or version as asked for, or the error and its hint.
  static func end(with error: any Error) -> Never {
    if let silent = error as? SilentEnd { exit(silent.code) }
    let code = Hanse.exitCode(for: error)
    if code == .success {
      write(Hanse.fullMessage(for: error) + "\n", to: STDOUT_FILENO)
      exit(0)
    }
    if code == .validationFailure {
      note(complaint(Hanse.fullMessage(for: error)))
      exit(2)
    }
    let failure = ControlError(error, kind: kind(of: error))
    note(mark("error:", "31") + " " + failure.message)
    if let hint = failure.hint { note(mark("hint:", "36") + " " + hint) }
    exit(failure.kind.exitCode)
  }

  /// The parser's complaint in the form that all errors have.
  private static func complaint(_ message: String) -> String {
    var lines = message.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    if let first = lines.first, first.hasPrefix("Error: ") {
      lines[0] = mark("error:", "31") + " " + PlainText.escape(String(first.dropFirst(7)))
    }
    return lines.joined(separator: "\n")
  }

  private static func mark(_ word: String, _ colour: String) -> String {
    wantsColour(STDERR_FILENO) ? "\u{1B}[\(colour)m\(word)\u{1B}[0m" : word
  }

  private static func kind(of error: any Error) -> ControlError.Kind {
    switch error {
    case let error as ControlError: error.kind
    case let error as StorageError: kind(of: error)
    case let error as NodeError: kind(of: error)
    case CheckpointError.notFound, TokenizerError.missing: .notFound
    case DatasetError.noFiles, DatasetError.unknownKind, DatasetError.badSetting: .wrongUse
    case TrainingError.setting, TransformersError.target, is MachineSettingError: .wrongUse
    case TrainingError.doesNotContinue, TrainingError.tooLittleMemory: .refused
    default: "\(error)".contains(String(cString: strerror(ENOENT))) ? .notFound : .failed
    }
  }

  private static func kind(of error: NodeError) -> ControlError.Kind {
    switch error {
    case .homeExists, .otherFile, .joinRefused, .differentRoots, .recovery, .bundle: .refused
    case .notFound: .notFound
    case .ticket: .wrongUse
    default: "\(error)".contains(String(cString: strerror(ENOENT))) ? .notFound : .failed
    }
  }

  private static func kind(of error: StorageError) -> ControlError.Kind {
    switch error {
    case .notAHome, .incompleteHome, .unknownObject: .notFound
    case .exists, .locked, .openKey, .brokenKey, .newerFormat: .refused
    case .badName: .wrongUse
    case .system(_, _, let number): number == ENOENT ? .notFound : .failed
    default: .failed
    }
  }
}

/// Ends with a code after everything was said, such as a verification that found something.
struct SilentEnd: Error {
  /// The exit code.
  var code: Int32
}
