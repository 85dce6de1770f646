import ArgumentParser
import Control

/// `hanse verify`: replays the logs and compares.
struct Verify: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Replay the logs from the charter and compare the state root.",
    discussion: """
      Checks every signature, every verdict's count and every fold. Works on the home when the \
      daemon is down.

      EXAMPLE
        $ hanse verify

      EXIT CODES
        0 all is as the logs say, 1 failed, 2 wrong use, 3 no home, 4 something is not as it
        should be
      """)

  @Flag(help: "Begin at the last sealed state: quick, and trusts the quorum that sealed it.")
  var fromSeal = false

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    let outcome = try await home.pages().verify(VerifyRequest(fromSeal: fromSeal))
    try Speech.say(outcome, json: page.json) { $0.lines($1) }
    if !outcome.ok { throw SilentEnd(code: ControlError.Kind.refused.exitCode) }
  }
}
