import ArgumentParser
import Control

/// `hanse blame`: what each lab put into the shared model.
struct Blame: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "blame",
    abstract: "Show whose contributions moved the shared model, and how far.",
    discussion: """
      Goes through everything that is folded into the node's head. SHARE is a lab's part of what \
      all labs put into those rounds, after weights, clipping and lateness, from the norms that \
      every fold checks. OTHERS' LOSS is the mean of what the other labs measured. A contribution \
      that was recalled weighs nothing. Works on the home when the daemon is down.

      EXAMPLE
        $ hanse blame --since 12 --until 20

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 no home
      """)

  @OptionGroup var rounds: RoundOptions
  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    try Speech.say(try await home.pages().blame(rounds.span), json: page.json) { $0.lines($1) }
  }
}

/// Which rounds are looked at, an option of verbs that go through the history.
struct RoundOptions: ParsableArguments {
  @Option(help: ArgumentHelp("From this round on.", valueName: "round"))
  var since: Int?

  @Option(help: ArgumentHelp("Up to this round, it included.", valueName: "round"))
  var until: Int?

  /// The rounds.
  var span: RoundSpan { RoundSpan(since: since, until: until) }

  func validate() throws {
    do { try span.check() } catch { throw ValidationError(error.message) }
  }
}
