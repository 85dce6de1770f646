import ArgumentParser
import Control

/// `hanse show`: everything known about a thing with an id.
struct Show: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Show a merge, a contribution, any other entry, or a lab by its id.",
    discussion: """
      A unique beginning of the id is enough; a member may be given by its name. Of a lab that \
      signed two entries at one place it shows both ids, the evidence. Works on the \
      home when the daemon is down.

      EXAMPLE
        $ hanse show k3h2a7qwxy

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 no home or no such id
      """)

  @Argument(help: "An id, or its first four characters or more; or a lab's name.")
  var id: String

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    let pages = try await home.pages()
    let named = try await pages.roster().labs.filter { $0.lab.name == id }
    let thing = try await pages.show(named.count == 1 ? named[0].lab.id : try ShownID.check(id))
    try Speech.say(thing, json: page.json) { $0.lines($1) }
  }
}
