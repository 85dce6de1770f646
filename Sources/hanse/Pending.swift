import ArgumentParser
import Control

/// `hanse pending`: what waits for approval.
struct Pending: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pending",
    abstract: "Show who asks to join and which changes wait for approval.",
    discussion: """
      Compare a fingerprint with what the joining lab sees, over another channel, before you \
      approve it. Works on the home when the daemon is down.

      EXAMPLE
        $ hanse pending

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 no home
      """)

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    try Speech.say(try await home.pages().pending(), json: page.json) { $0.lines($1) }
  }
}
