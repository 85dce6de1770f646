import ArgumentParser
import Control

/// `hanse decline`: turns a request to join down.
struct Decline: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decline",
    abstract: "Turn a request to join down.",
    discussion: """
      The request is shown no more on this node, under `hanse pending` and in `hanse status`. \
      Nothing is published: the other members decide for themselves, and a lab comes in only when \
      more than half of them approve it. A request that was declined can still be approved, by its \
      fingerprint.

      EXAMPLE
        $ hanse decline k3h2a-7qwxy-bcdef-ghijk

      EXIT CODES
        0 declined, 1 failed, 2 wrong use, 3 nothing of that name waits, 5 the daemon is not running
      """)

  @Argument(help: ArgumentHelp("Whom to turn down.", valueName: "fingerprint|lab"))
  var subject: String

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    let answer = try await home.daemon().decline(DeclineRequest(subject: subject))
    try Speech.say(answer, json: page.json) { answer, _ in
      ["declined \(PlainText.escape(answer.lab.name)), \(PlainText.escape(answer.fingerprint))"]
    }
  }
}
