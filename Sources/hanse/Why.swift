import ArgumentParser
import Control

/// `hanse why`: why a contribution was admitted or not.
struct Why: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "why",
    abstract: "Say why a contribution was admitted, rejected, or neither yet.",
    discussion: """
      Every judge's measurement is in the log, signed. Works on the home when the daemon is down.

      EXAMPLE
        $ hanse why k3h2a7qwxy

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 no home or no such contribution
      """)

  @Argument(help: "A contribution's id, or its first four characters or more.")
  var id: String

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    let thing = try await home.pages().show(try ShownID.check(id))
    guard thing.contribution != nil else {
      throw ControlError(
        .notFound, "\(Figures.short(thing.id)) is a \(PlainText.escape(thing.kind)), not judged",
        hint: "`hanse log` lists contributions")
    }
    try Speech.say(thing, json: page.json) { $0.why($1) }
  }
}
