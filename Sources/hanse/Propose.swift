import ArgumentParser
import Control

/// `hanse revoke`: proposes that a lab leaves the roster.
struct Revoke: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke",
    abstract: "Propose to remove a lab, and approve that.",
    discussion: """
      Enacted once more than half of the labs approve. What is sealed stands; the removed lab's \
      connections are cut everywhere within 30 seconds.

      EXAMPLE
        $ hanse revoke bremen --reason "key lost"

      EXIT CODES
        0 proposed, 1 failed, 2 wrong use, 3 no such lab, 4 refused, 5 the daemon is not running
      """)

  @Argument(help: "The lab's name, or its id.")
  var lab: String

  @Option(help: "Why, for the record.")
  var reason = ""

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    let request = ProposeRequest(change: .remove, subjects: [lab], reason: reason)
    try Speech.say(try await home.daemon().propose(request), json: page.json) { $0.lines($1) }
  }
}

/// `hanse recall`: proposes to take contributions out of the fold.
struct Recall: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recall",
    abstract: "Propose to take contributions out of the shared model.",
    discussion: """
      Names contributions by id, or all of a lab's since a round. Enacted once more than half of \
      the labs approve; every node then folds the model again without them. They stay in the \
      record with weight zero.

      EXAMPLE
        $ hanse recall --lab bremen --since 12 --reason "wrong corpus"

      EXIT CODES
        0 proposed, 1 failed, 2 wrong use, 3 not found, 4 refused, 5 the daemon is not running
      """)

  @Argument(help: "Contributions by id, or a unique beginning of it.")
  var contributions: [String] = []

  @Option(help: "All contributions of this lab.")
  var lab: String?

  @Option(help: "With --lab: only from this round on.")
  var since: Int?

  @Option(help: "Why, for the record.")
  var reason = ""

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func validate() throws {
    guard contributions.isEmpty == (lab != nil) else {
      throw ValidationError("name contributions, or one lab with --lab")
    }
    guard since == nil || lab != nil else { throw ValidationError("--since goes with --lab") }
  }

  func run() async throws {
    let request = ProposeRequest(
      change: lab == nil ? .recall : .recallLab, subjects: lab.map { [$0] } ?? contributions,
      sinceRound: since, reason: reason)
    try Speech.say(try await home.daemon().propose(request), json: page.json) { $0.lines($1) }
  }
}

extension ApprovePage {
  func lines(_ style: PageStyle) -> [String] {
    [PlainText.escape(message)] + proposal.lines(style)
  }
}
