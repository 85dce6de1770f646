import ArgumentParser
import Control
import Identities
import Node
import Storage

/// `hanse rotate-key`: gives this lab another signing key.
struct RotateKey: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rotate-key",
    abstract: "Give this lab another signing key; its id stays.",
    discussion: """
      Makes a key, keeps it beside the old one, proposes it and approves that. Once more than half \
      of the labs have approved (`hanse approve`), the daemon goes over to it by itself and the \
      others take the old one no more.

      With --request, for a home whose key is lost, while its daemon is down: makes a key and \
      prints one line. A member pastes it into `hanse propose rotate LAB LINE`; once the members \
      have approved, the lab is back under its old id. The line holds no secret, but compare the \
      fingerprint over another channel.

      EXAMPLE
        $ hanse rotate-key
        $ hanse rotate-key --request

      EXIT CODES
        0 proposed, or the line is printed, 1 failed, 2 wrong use, 3 no home, 4 refused: a rotation
        is under way, or the key is not lost, 5 the daemon is not running
      """)

  @Flag(help: "The key is lost: make another, and print the line for a member.")
  var request = false

  @Option(help: "With --request: whose home it is, when it does not say so itself.")
  var lab: String?

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func validate() throws {
    guard lab == nil || request else { throw ValidationError("--lab goes with --request") }
  }

  func run() async throws {
    guard request else {
      let answer = try await home.daemon().rotateKey(RotateKeyRequest())
      return try Speech.say(answer, json: page.json) { $0.lines($1) }
    }
    let made = try KeyRecovery.request(home: home.layout.path, lab: lab)
    let answer = KeyRequestPage(
      lab: made.lab.description, fingerprint: made.fingerprint, line: made.line)
    try Speech.say(answer, json: page.json) { answer, _ in [answer.line] }
    if !page.json {
      Speech.note(
        "fingerprint of the new key: \(made.fingerprint)\n"
          + "a member runs: hanse propose rotate \(made.lab.short) LINE")
    }
  }
}

/// What `hanse rotate-key --request --json` prints.
struct KeyRequestPage: Page {
  /// The lab's id.
  var lab: String
  /// Of the new key.
  var fingerprint: String
  /// For `hanse propose rotate`.
  var line: String
}
