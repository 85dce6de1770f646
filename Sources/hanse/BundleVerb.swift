import ArgumentParser
import Control
import Glibc
import Node
import Storage

/// `hanse bundle`: exchanges logs and payloads without a network.
struct BundleVerb: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bundle",
    abstract: "Exchange logs and payloads by file, with labs that cannot be reached.",
    discussion: """
      What was imported is checked like what a peer sends, and equals having been connected. A lab \
      that has just started signs nothing before more than half of the labs have said where its \
      own log ends: without a network that takes one bundle out and one back, while its daemon runs.

      EXAMPLE
        $ hanse bundle export /media/stick/from-luebeck.bundle
        $ hanse bundle import /media/stick/from-bremen.bundle

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 no home or no such file, 4 refused
      """,
    subcommands: [BundleExportVerb.self, BundleImportVerb.self])

  /// Asks the daemon, or works on the home when it is down.
  static func run(
    _ action: BundleRequest.Action, _ file: String, _ payloads: Bool?, _ home: HomeOptions
  )
    async throws -> BundlePage
  {
    let layout = home.layout
    let request = BundleRequest(action: action, file: try absolute(file), payloads: payloads)
    let client = try ControlClient(path: layout.controlSocket)
    if try await client.isReachable() { return try await client.bundle(request) }
    if let holder = Store.holder(of: layout) {
      throw ControlError(
        .failed, "process \(holder) has \(layout.path), but does not answer at its control socket",
        hint: "it may be starting or stopping; try again in a moment")
    }
    return try await BundleExchange.run(request, home: layout.path)
  }

  private static func absolute(_ path: String) throws -> String {
    guard !path.isEmpty else { throw ControlError(.wrongUse, "the file has no name") }
    if path.hasPrefix("/") { return path }
    guard let folder = getcwd(nil, 0) else {
      throw ControlError(.failed, "the current folder is gone", hint: "give the whole path")
    }
    defer { free(folder) }
    return String(cString: folder) + "/" + path
  }
}

/// `hanse bundle export`: writes a bundle.
struct BundleExportVerb: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write all logs, and the payloads that are here, into a file.",
    discussion: """
      The node itself writes the file when it runs, so its user must be allowed to. A file that is \
      there already is left alone.

      EXAMPLE
        $ hanse bundle export /media/stick/from-luebeck.bundle

      EXIT CODES
        0 written, 1 failed, 2 wrong use, 3 no home, 4 refused: the file is there already
      """)

  @Argument(help: ArgumentHelp("What to write.", valueName: "file"))
  var file: String

  @Flag(help: "Write the logs alone; payloads come by another way.")
  var noPayloads = false

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    let answer = try await BundleVerb.run(.export, file, noPayloads ? false : nil, home)
    try Speech.say(answer, json: page.json) { answer, _ in
      [
        "wrote \(PlainText.escape(answer.file, limit: 200)): \(answer.entries) entries, "
          + "\(answer.payloads) payloads, \(Figures.bytes(answer.bytes ?? 0))"
          + (answer.signed ? "" : "; not signed, for no member's key is here")
      ]
    }
  }
}

/// `hanse bundle import`: takes a bundle in.
struct BundleImportVerb: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Take in what another lab's bundle has that is not here.",
    discussion: """
      A file that was cut, is damaged or is of another federation is refused and changes nothing. \
      In a whole one every entry and every block is checked by itself; what does not hold is left \
      out and named.

      EXAMPLE
        $ hanse bundle import /media/stick/from-bremen.bundle

      EXIT CODES
        0 taken in, 1 failed, 2 wrong use, 3 no home or no such file, 4 refused, or a part was
      """)

  @Argument(help: ArgumentHelp("What to read.", valueName: "file"))
  var file: String

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    let answer = try await BundleVerb.run(.import, file, nil, home)
    try Speech.say(answer, json: page.json) { answer, _ in
      [
        "took in \(answer.entries) entries and \(answer.payloads) payloads"
          + (answer.signed ? "" : "; the bundle is not signed by a member")
      ] + answer.refused.map { "refused: " + PlainText.escape($0, limit: 200) }
        + (answer.refusedCount > answer.refused.count
          ? ["and \(answer.refusedCount - answer.refused.count) more"] : [])
    }
    if answer.refusedCount > 0 { throw SilentEnd(code: ControlError.Kind.refused.exitCode) }
  }
}
