import ArgumentParser
import Identities
import Node

/// `hanse join`: asks a federation to take this lab in.
struct Join: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "join",
    abstract: "Ask to join a federation with a ticket, and make this lab's home.",
    discussion: """
      Makes the lab's key, asks one of the members that the ticket names, and checks that this \
      copy of the base model is the charter's. The members then see the request under \
      `hanse pending`; the node may be started at once and begins when it was approved.

      EXAMPLE
        $ hanse join TICKET --home h --name bremen --model m.gguf --data *.txt

      EXIT CODES
        0 asked, 1 failed (nobody could be reached), 2 wrong use, a broken ticket included,
        3 a file is missing, 4 refused: by a member, or the base is another
      """)

  @Argument(help: "The line that `hanse invite` printed.")
  var ticket: String

  @Flag(
    help:
      "Fold everything from the charter on, not from a state that a quorum attested (from_genesis)."
  )
  var fromGenesis = false

  @OptionGroup var home: HomeOptions
  @OptionGroup var plan: PlanOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    var wanted = plan.plan(home: home.layout)
    wanted.fromGenesis = fromGenesis
    let result = try await Joining.join(
      ticket: ticket, plan: wanted, progress: { Speech.note($0) })
    let joined = Joined(
      federation: result.federation.description, federationName: result.federationName,
      lab: result.lab.description, labName: plan.name, fingerprint: result.fingerprint,
      home: result.home)
    try Speech.say(joined, json: page.json) { page, _ in page.lines() }
  }
}
