import ArgumentParser
import Control

/// `hanse blame`: what each lab put into the shared model.
struct Blame: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "blame",
    abstract: "Show what each lab contributed to the shared model.",
    discussion: """
      Counts the contributions of every merge up to the node's head, and what their judges \
      measured. Works on the home when the daemon is down.

      EXAMPLE
        $ hanse blame

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 no home
      """)

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    let log = try await home.pages().log(limit: 100_000, entries: false)
    try Speech.say(BlamePage(log), json: page.json) { page, _ in page.lines() }
  }
}

/// What `hanse blame --json` prints.
struct BlamePage: Page {
  /// One lab's share.
  struct Share: Codable, Sendable, Equatable {
    var lab: Named
    var merged: Int
    var recalled: Int
    var tokens: UInt64
    var firstRound: Int
    var lastRound: Int
    /// Mean change of the other labs' held-out loss, in nats per token; absent when none judged.
    var meanChange: Double?
  }

  var labs: [Share]

  init(_ log: LogPage) {
    var shares: [String: Share] = [:]
    var changes: [String: [Double]] = [:]
    for contribution in log.merges.flatMap(\.contributions) {
      let id = contribution.author.id
      var share =
        shares[id]
        ?? Share(
          lab: contribution.author, merged: 0, recalled: 0, tokens: 0,
          firstRound: contribution.round, lastRound: contribution.round)
      if contribution.status == .recalled { share.recalled += 1 } else { share.merged += 1 }
      share.tokens &+= contribution.tokens
      share.firstRound = min(share.firstRound, contribution.round)
      share.lastRound = max(share.lastRound, contribution.round)
      shares[id] = share
      changes[id, default: []] += contribution.verdicts.filter { $0.judge.id != id }
        .map { $0.after - $0.before }
    }
    labs = shares.values.map { share in
      var share = share
      let measured = changes[share.lab.id] ?? []
      share.meanChange =
        measured.isEmpty ? nil : measured.reduce(0, +) / Double(measured.count)
      return share
    }
    labs.sort { ($0.tokens, $1.lab.id) > ($1.tokens, $0.lab.id) }
  }

  func lines() -> [String] {
    if labs.isEmpty { return ["nothing was merged yet"] }
    var table = TextTable([
      ("LAB", .left), ("ID", .left), ("MERGED", .right), ("RECALLED", .right), ("TOKENS", .right),
      ("ROUNDS", .left), ("OTHERS' LOSS", .right),
    ])
    for share in labs {
      table.add([
        PlainText.escape(share.lab.name, limit: 24), Figures.short(share.lab.id),
        "\(share.merged)", "\(share.recalled)", Figures.count(share.tokens),
        "\(share.firstRound)–\(share.lastRound)",
        share.meanChange.map { ($0 > 0 ? "+" : "") + Figures.fixed($0, 4) } ?? "–",
      ])
    }
    return table.lines()
  }
}
