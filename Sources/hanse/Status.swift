import ArgumentParser
import Control

/// `hanse status`: the page of every morning.
struct Status: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Show what the node does, where every lab stands, and what needs attention.",
    discussion: """
      Works on the home when the daemon is down, and says so.

      EXAMPLE
        $ hanse status --json | jq .head.state_root

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 no home
      """)

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    try Speech.say(try await home.pages().status(), json: page.json) { $0.lines($1) }
  }
}
