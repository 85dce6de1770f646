import ArgumentParser
import Control

/// `hanse show`: everything known about a thing with an id.
struct Show: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Show a merge, a contribution, or any other entry by its id.",
    discussion: """
      A unique beginning of the id is enough. Works on the home when the daemon is down.

      EXAMPLE
        $ hanse show k3h2a7qwxy

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 no home or no such id
      """)

  @Argument(help: "An id, or its first four characters or more.")
  var id: String

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    let thing = try await home.pages().show(try ShownID.check(id))
    try Speech.say(thing, json: page.json) { $0.lines($1) }
  }
}
