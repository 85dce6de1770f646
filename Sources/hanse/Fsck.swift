import ArgumentParser
import Control
import Storage

/// `hanse fsck`: reads everything in the home back.
struct Fsck: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fsck",
    abstract: "Read the whole home back and name what is damaged.",
    discussion: """
      Checks ids, chains and hashes of every entry, payload, state and value. With --repair, \
      what the other labs have is made ready to be fetched again; the daemon must be stopped \
      for that.

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
    guard home.layout.isHome else { throw StorageError.notAHome(path: home.layout.path) }
    let store = try Store(home: home.layout, readOnly: !repair)
    let damages = try store.check(progress: { Speech.note("checking \($0)") })
    if repair { try store.repair(damages) }
    try store.close()
    let report = CheckReport(
      damages: damages.map {
        CheckReport.Item(text: "\($0)", repaired: repair && $0.isRepairable)
      })
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

  func lines(repair: Bool) -> [String] {
    if damages.isEmpty { return ["nothing is damaged"] }
    let lines = damages.map {
      ($0.repaired ? "ready to be fetched again: " : "damaged: ")
        + PlainText.escape($0.text, limit: 600)
    }
    return lines + (repair ? [] : ["", "stop the daemon and run `hanse fsck --repair`"])
  }
}
