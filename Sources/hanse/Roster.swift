import ArgumentParser
import Control

/// `hanse roster`: the labs of the federation.
struct Roster: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "roster",
    abstract: "Show the labs of the federation and how they came to be in it.",
    discussion: """
      Works on the home when the daemon is down.

      EXAMPLE
        $ hanse roster

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 no home
      """)

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    try Speech.say(try await home.pages().roster(), json: page.json) { $0.lines($1) }
  }
}
