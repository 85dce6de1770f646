import ArgumentParser
import Glibc
import Node
import Storage
import Tensors

/// The daemon's door: reads its options and runs the node.
@main
struct Hansed: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hansed",
    abstract: "The daemon of a lab's node: trains, gossips, judges and merges.",
    discussion: """
      Serves the home that `hanse init` or `hanse join` made, in the foreground, until SIGTERM or \
      SIGINT. It speaks systemd's readiness and watchdog protocol when it was started by systemd.

      EXAMPLE
        $ hansed --home /var/lib/hanse

      EXIT CODES
        0 stopped as asked, 1 failed, 2 wrong use, 3 no such home or file, 4 the settings are wrong,
        or the base is not the charter's
      """,
    version: "hansed \(Node.version)")

  @Option(
    help: ArgumentHelp(
      "The node's home. Default: HANSE_HOME, else as hanse's verbs.", valueName: "dir"))
  var home: String?

  @Option(
    help: ArgumentHelp("The configuration. Default: hanse.toml in the home.", valueName: "file"))
  var config: String?

  @Option(help: ArgumentHelp("End once this round is over.", valueName: "round"))
  var stopAfterRound: UInt32?

  @Flag(help: "Fold everything from the charter on, not from a state that a quorum attested.")
  var fromGenesis = false

  func run() async throws {
    signal(SIGPIPE, SIG_IGN)
    Allocator.settle()
    let folder =
      home ?? getenv("HANSE_HOME").map { String(cString: $0) }
      ?? config.flatMap(Self.folder) ?? HomeLayout.standard.path
    do {
      try MachineSettings.check()
      if let config, access(config, R_OK) != 0 {
        throw StorageError.system(operation: "read", path: config, number: errno)
      }
      try await Daemon.run(
        Daemon.Options(
          home: folder, configuration: config, lastRound: stopAfterRound,
          fromGenesis: fromGenesis))
    } catch {
      let lines = "\(error)".split(separator: "\n", maxSplits: 1).map(String.init)
      Self.complain("error: \(lines.first ?? "unknown")\n")
      if lines.count > 1 { Self.complain(lines[1] + "\n") }
      switch error {
      case StorageError.notAHome, StorageError.incompleteHome: throw ExitCode(3)
      case StorageError.system(_, _, ENOENT): throw ExitCode(3)
      case is MachineSettingError: throw ExitCode(2)
      // Waiting mends neither: a service manager that knows the codes does not start it again.
      case NodeError.configuration, NodeError.otherFile: throw ExitCode(4)
      default: break
      }
      throw ExitCode(1)
    }
  }

  /// Runs, with the exit codes that every other command has.
  static func main() async {
    do {
      var command = try parse()
      try await command.run()
    } catch let code as ExitCode {
      Glibc.exit(code.rawValue)
    } catch {
      let code = Self.exitCode(for: error)
      let message = Self.fullMessage(for: error)
      if code == .success {
        print(message)
        Glibc.exit(0)
      }
      let isMarked = message.hasPrefix("Error: ")
      complain((isMarked ? "error: " + message.dropFirst(7) : message) + "\n")
      Glibc.exit(code == .validationFailure ? 2 : 1)
    }
  }

  private static func complain(_ text: String) {
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }

  /// The folder that a configuration stands in.
  private static func folder(of path: String) -> String? {
    path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
  }
}
