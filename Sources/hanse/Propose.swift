import ArgumentParser
import Control

/// `hanse propose`: proposes a change of the roster, and approves it.
struct Propose: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "propose",
    abstract: "Propose a change that takes effect once more than half of the labs approve.",
    discussion: """
      The others see it under `hanse pending` and say yes with `hanse approve`. `hanse revoke` and \
      `hanse recall` are short for two of these; `hanse approve` proposes an admission by itself.

      EXAMPLE
        $ hanse propose remove bremen --reason "has left"

      EXIT CODES
        0 proposed, 1 failed, 2 wrong use, 3 not found, 4 refused, 5 the daemon is not running
      """,
    subcommands: [
      ProposeAdmission.self, ProposeRemoval.self, ProposeRotation.self, ProposeRecall.self,
      ProposeRule.self,
    ])
}

/// `hanse propose admit`: what `hanse approve` does for a request that nobody has proposed yet.
struct ProposeAdmission: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "admit",
    abstract: "Propose to let in a lab that asks to join.",
    discussion: """
      EXAMPLE
        $ hanse propose admit k3h2a-7qwxy-bcdef-ghijk

      EXIT CODES
        0 proposed, 1 failed, 2 wrong use, 3 nobody of that name waits, 4 refused,
        5 the daemon is not running
      """)

  @OptionGroup var approval: Approve

  func run() async throws { try await approval.run() }
}

/// `hanse propose rotate`: another key for a lab that has lost its own.
struct ProposeRotation: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rotate",
    abstract: "Propose a new key for a lab that has lost its own, and approve that.",
    discussion: """
      The line is what `hanse rotate-key --request` printed on that lab's machine. Compare the \
      fingerprint with that lab over another channel: whoever has the new key is that lab from \
      then on. A lab that still has its key needs no other for this: `hanse rotate-key`.

      EXAMPLE
        $ hanse propose rotate bremen hansekey1aaaa…

      EXIT CODES
        0 proposed, 1 failed, 2 wrong use or a damaged line, 3 no such lab, 4 refused: another
        rotation is under way, or the key is or was in use, 5 the daemon is not running
      """)

  @Argument(help: "The lab's name, or its id.")
  var lab: String

  @Argument(help: "The line that it printed.")
  var line: String

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    let request = ProposeRequest(change: .rotate, subjects: [lab, line])
    try Speech.say(try await home.daemon().propose(request), json: page.json) { $0.lines($1) }
  }
}

/// `hanse propose rule`: other numbers than the charter's.
struct ProposeRule: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rule",
    abstract: "Propose to change rules of the federation, and approve that.",
    discussion: """
      Takes NAME=VALUE, one or more: local-steps, batch, learning-rate, labs-to-begin, grace \
      (seconds), rule (clipped-mean, median, nnm-trimmed-mean), outer-rate, momentum, lateness, \
      tolerance (nats per token), committee. `hanse roster` shows them as they are. A round is \
      folded under the rules that its contributions were made under, so what was merged before \
      stays as it is. Base, adapter, window length and founders are the charter's for ever.

      EXAMPLE
        $ hanse propose rule grace=120 tolerance=0.01 --reason "slow links"

      EXIT CODES
        0 proposed, 1 failed, 2 wrong use, 4 refused: beyond a limit, or it changes nothing,
        5 the daemon is not running
      """)

  @Argument(help: ArgumentHelp("What becomes what.", valueName: "name=value"))
  var changes: [String]

  @Option(help: "Why, for the record.")
  var reason = ""

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    let request = ProposeRequest(change: .rule, subjects: changes, reason: reason)
    try Speech.say(try await home.daemon().propose(request), json: page.json) { $0.lines($1) }
  }
}

/// `hanse propose remove`: what `hanse revoke` does.
struct ProposeRemoval: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove", abstract: Revoke.configuration.abstract,
    discussion: """
      Enacted once more than half of the labs approve. What is sealed stands; the removed lab's \
      connections are cut everywhere within 30 seconds.

      EXAMPLE
        $ hanse propose remove bremen --reason "has left"

      EXIT CODES
        0 proposed, 1 failed, 2 wrong use, 3 no such lab, 4 refused, 5 the daemon is not running
      """)

  @OptionGroup var removal: Revoke

  func run() async throws { try await removal.run() }
}

/// `hanse propose recall`: what `hanse recall` does.
struct ProposeRecall: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recall", abstract: Recall.configuration.abstract,
    discussion: """
      Names contributions by id, or all of a lab's since a round. They stay in the record with \
      weight zero.

      EXAMPLE
        $ hanse propose recall --lab bremen --since 12 --reason "wrong corpus"

      EXIT CODES
        0 proposed, 1 failed, 2 wrong use, 3 not found, 4 refused, 5 the daemon is not running
      """)

  @OptionGroup var recall: Recall

  func run() async throws { try await recall.run() }
}

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
