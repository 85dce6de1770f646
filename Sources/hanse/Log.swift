import ArgumentParser
import Control

/// `hanse log`: the history of merges.
struct Log: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log",
    abstract: "Show the merges and what each lab contributed to them, newest first.",
    discussion: """
      A contribution's line ends with its state and how many of its judges accept it: sealed 2/3. \
      Works on the home when the daemon is down.

      EXAMPLE
        $ hanse log --graph --limit 5
        $ hanse log --since 12 --until 20 --limit 1000

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 no home
      """)

  @Flag(help: "Draw how contributions leave a merge and join a later one.")
  var graph = false

  @Flag(help: "Show log entries too: contributions, verdicts, attestations, proposals, …")
  var entries = false

  @Option(help: ArgumentHelp("How many merges at most, and how many entries.", valueName: "n"))
  var limit = 20

  @OptionGroup var rounds: RoundOptions
  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func validate() throws {
    guard (1...100_000).contains(limit) else {
      throw ValidationError("--limit must be 1 to 100000")
    }
  }

  func run() async throws {
    let log = try await home.pages().log(limit: limit, entries: entries, rounds: rounds.span)
    try Speech.say(log, json: page.json) { $0.lines($1, graph: graph) }
  }
}
