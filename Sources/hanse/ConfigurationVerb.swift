import ArgumentParser
import Control
import Node
import Storage

/// `hanse config`: the node's settings.
struct ConfigurationVerb: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config", abstract: "Check the node's settings.",
    discussion: """
      EXAMPLE
        $ hanse config check

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 no such file, 4 refused
      """,
    subcommands: [CheckConfiguration.self])
}

/// `hanse config check`: reads the settings as the daemon would.
struct CheckConfiguration: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Read hanse.toml as the daemon would, and name what is wrong in it.",
    discussion: """
      An unknown key is an error, so that a misspelt one does not go unnoticed.

      EXAMPLE
        $ hanse config check --home h

      EXIT CODES
        0 the settings can be used, 2 wrong use, 3 no such file, 4 something is wrong in it
      """)

  @OptionGroup var home: HomeOptions

  @Option(help: ArgumentHelp("Another file than hanse.toml in the home.", valueName: "file"))
  var file: String?

  func run() async throws {
    let path = file ?? home.layout.configuration
    do {
      _ = try Configuration.read(path)
    } catch let error as NodeError {
      throw ControlError(error, kind: .refused)
    }
    Speech.say(["\(path): can be used"])
  }
}
