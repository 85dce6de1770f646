import ArgumentParser
import Control

/// `hanse peers`: who is connected.
struct Peers: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "peers",
    abstract: "Show the connections to other labs, and why one is missing.",
    discussion: """
      Works on the home when the daemon is down: nobody is connected then.

      EXAMPLE
        $ hanse peers

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 no home
      """)

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    try Speech.say(try await home.pages().peers(), json: page.json) { $0.lines($1) }
  }
}
