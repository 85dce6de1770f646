import ArgumentParser
import Control
import Node
import Storage

/// `hanse fsck`: reads everything in the home back.
struct Fsck: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fsck",
    abstract: "Read the whole home back and name what is damaged.",
    discussion: """
      Checks the charter, ids, signatures and chains of every entry, every payload, state and \
      value, the key and the database. With --repair, what the other labs have is made ready to \
      be fetched again; the daemon must be stopped for that. A database that cannot be read is put \
      aside, never deleted.

      EXAMPLE
        $ hanse fsck --repair

      EXIT CODES
        0 nothing is damaged, or all of it was repaired, 1 failed, 2 wrong use, 3 no home,
        4 damage was found
      """)

  @Flag(help: "Make damaged things ready to be fetched or computed again.")
  var repair = false

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    guard home.layout.isHome else { throw home.layout.absence }
    let check = try HomeCheck.run(
      home: home.layout, repair: repair, progress: { Speech.note("checking \($0)") })
    let report = CheckReport(
      damages: check.damages.map {
        CheckReport.Item(text: "\($0)", repaired: repair && $0.isRepairable)
      }, aside: check.aside, notes: check.notes.isEmpty ? nil : check.notes)
    try Speech.say(report, json: page.json) { report, _ in report.lines(repair: repair) }
    if report.damages.contains(where: { !$0.repaired }) {
      throw SilentEnd(code: ControlError.Kind.refused.exitCode)
    }
  }
}

/// What `hanse fsck --json` prints.
struct CheckReport: Page {
  /// One damaged thing.
  struct Item: Codable, Sendable, Equatable {
    var text: String
    var repaired: Bool
  }

  var damages: [Item]
  /// Where the database was put that could not be read.
  var aside: String?
  /// What is not here and why that is as it should be.
  var notes: [String]?

  func lines(repair: Bool) -> [String] {
    let notes = (notes ?? []).map { PlainText.escape($0, limit: 300) }
    if damages.isEmpty { return ["nothing is damaged"] + notes }
    let lines = damages.map {
      ($0.repaired ? "ready to be fetched again: " : "damaged: ")
        + PlainText.escape($0.text, limit: 600)
    }
    let moved = aside.map {
      ["the database is now \(PlainText.escape($0)), its payloads beside it"]
    }
    return lines + (moved ?? []) + notes
      + (repair ? [] : ["", "stop the daemon and run `hanse fsck --repair`"])
  }
}
