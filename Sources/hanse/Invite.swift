import ArgumentParser
import Control

/// `hanse invite`: prints a ticket.
struct Invite: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "invite",
    abstract: "Print a ticket, one line, with which another lab may ask to join.",
    discussion: """
      A ticket lets its holder ask, never enter: every request waits under `hanse pending` until \
      enough members have approved its fingerprint.

      EXAMPLE
        $ hanse invite --expires 48h --uses 3

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 no home, 4 refused, 5 the daemon is not running
      """)

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  @Option(help: "How long it is good: a number with s, min, h or d behind it.")
  var expires = Span(seconds: 86_400)

  @Option(help: "How many labs may ask with it.")
  var uses = 1

  func validate() throws {
    guard (1...256).contains(uses) else { throw ValidationError("--uses must be 1 to 256") }
    guard (60...31_622_400).contains(expires.seconds) else {
      throw ValidationError("--expires must be 1min to 366d")
    }
  }

  func run() async throws {
    let answer = try await home.daemon().invite(
      InviteRequest(expiresInSeconds: expires.seconds, uses: uses))
    try Speech.say(answer, json: page.json) { answer, _ in [answer.ticket] }
    if !page.json {
      Speech.note(
        "good until \(Figures.time(answer.expiresSeconds)) for \(answer.uses) request"
          + (answer.uses == 1 ? "" : "s"))
    }
  }
}

/// A length of time as people type it.
struct Span: ExpressibleByArgument, CustomStringConvertible {
  /// Whole seconds.
  var seconds: UInt64

  init(seconds: UInt64) { self.seconds = seconds }

  init?(argument: String) {
    let digits = argument.prefix { $0.isASCII && $0.isNumber }
    let units: [Substring: UInt64] = ["s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400]
    guard let number = UInt64(digits), let unit = units[argument[digits.endIndex...]] else {
      return nil
    }
    let (product, overflow) = number.multipliedReportingOverflow(by: unit)
    if overflow { return nil }
    seconds = product
  }

  var description: String { seconds % 3600 == 0 ? "\(seconds / 3600)h" : "\(seconds)s" }
  var defaultValueDescription: String { description }
}
