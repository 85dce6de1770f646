import Control
import Testing

@Suite struct TextTests {
  @Test func whatCouldMoveACursorIsEscaped() {
    #expect(PlainText.escape("plain ä 語 🙂") == "plain ä 語 🙂")
    #expect(PlainText.escape("a\u{1B}[31mb\nc\td\u{7F}") == "a\\u{1b}[31mb\\u{a}c\\u{9}d\\u{7f}")
    #expect(
      PlainText.escape("\u{202E}abc\u{2066}\u{200B}\u{FEFF}")
        == "\\u{202e}abc\\u{2066}\\u{200b}\\u{feff}")
    #expect(PlainText.escape("back\\slash") == "back\\\\slash")
    #expect(PlainText.escape("\u{9B}31m") == "\\u{9b}31m")
    #expect(PlainText.escape("e\u{301}") == "e\u{301}")
    #expect(PlainText.escape("a\u{301}\u{301}\u{301}\u{301}") == "a\u{301}\u{301}\\u{301}\\u{301}")
    #expect(PlainText.escape("\u{A0}\u{3000}") == "\\u{a0}\\u{3000}")
    #expect(PlainText.escape(String(repeating: "x", count: 10_000), limit: 5) == "xxxxx…")
  }

  @Test func tablesStandUnderEachOther() {
    var table = TextTable([("NAME", .left), ("N", .right), ("END", .left)])
    table.add(["語", "12", "x"])
    table.add(["abc", "3", ""])
    #expect(table.lines() == ["NAME   N  END", "語    12  x", "abc    3"])
  }

  /// A round that was not replayed is not said to be.
  @Test func verifySaysWhichRoundsItReplayed() {
    var page = Samples.verify
    let mixed = page.lines(.plain)
    #expect(mixed[1] == "  40 entries, 6 contributions up to round 3, in 1.5 s")
    #expect(mixed[2] == "  replayed: round 3")
    #expect(mixed[3] == "  not replayed: rounds 1 to 2, for which the attested state stands")
    (page.replayed, page.taken) = ([RoundSpan(since: 1, until: 3)], [])
    #expect(page.lines(.plain)[2] == "  replayed: rounds 1 to 3, all from the charter on")
    #expect(!page.lines(.plain).joined().contains("not replayed"))
    (page.replayed, page.taken, page.fromSeal) = ([], [RoundSpan(since: 1, until: 3)], true)
    #expect(
      page.lines(.plain)[2]
        == "  not replayed: rounds 1 to 3, for which kept states stand")
    page.replayed = nil
    #expect(!page.lines(.plain).joined().contains("replayed"))
  }

  /// Terminals have 80 columns; what needs more goes on in the next line, and nothing is left out.
  @Test(arguments: [
    "luebeck", String(repeating: "long name ", count: 5) + "is long", "\u{202E}語語語語語語",
  ])
  func logAndRosterFitEightyColumns(_ name: String) throws {
    let lab = Named(name: name, id: Samples.id("n"))
    var log = Samples.log
    log.open = [Samples.contribution(lab, Samples.id("q"), base: Samples.id("m"))]
    log.merges[0].contributions = (0..<9).map {
      Samples.contribution(lab, Samples.id("\($0)"), base: Samples.id("k"))
    }
    log.entries[0].lab = lab
    log.entries[0].summary = "merge mmmmmmmmmm, round 12345, root rrrrrrrrrr, and more of it"
    var roster = Samples.roster
    roster.labs[0].lab = lab
    roster.labs.append(
      .init(lab: Samples.bremen, fingerprint: "k", sinceVersion: 2, isOwn: false))
    roster.history[0].change = "admit \(name) (abcde-fghij-klmno-pqrst)"
    roster.history[0].approvals = ["luebeck", "bremen", name]
    roster.history[0].details = ["reason: " + String(repeating: "because ", count: 20)]
    roster.evidence = [
      .init(lab: lab, sequence: 7, entries: [Samples.id("v"), Samples.id("w")])
    ]
    let pages = [
      log.lines(.plain, graph: false), log.lines(.plain, graph: true), roster.lines(.plain),
    ]
    for line in pages.joined() { #expect(PlainText.width(line) <= 80, "\(line)") }
    // Without what the lines begin with: a drawing, or spaces.
    let texts = pages.enumerated().map { place, lines in
      let start = place == 1 ? "| o*" : " "
      return lines.map { $0.drop { start.contains($0) } }.joined(separator: " ")
    }
    for text in texts { #expect(text.contains(PlainText.escape(name)), "\(text)") }
    for text in texts[0...1] {
      for fact in [
        "qqqqqqqqqq", "8888888888", "205k tokens", "loss 2.3750→2.2500", "norm 0.125",
        "sealed 1/2", "merge mmmmmmmmmm", "root rrrrrrrrrr", "attested by 2",
        "2026-03-01 12:00:00Z", "verdict", "round 12345, root rrrrrrrrrr, and more of it",
      ] { #expect(text.contains(fact), "\(fact) is not in \(text)") }
    }
    for fact in [
      "abcde-fghij-klmno-pqrst", "(this node)", "nnnnnnnnnn", "because because", "vvvvvvvvvv and",
      "counts only if it is sealed", "approved by: luebeck, bremen,",
    ] { #expect(texts[2].contains(fact), "\(fact) is not in \(texts[2])") }
  }

  /// A lab of a short name takes one line, and a drawing goes on beside what is left of a longer.
  @Test func aSplitVoteSaysHowItGoesOn() throws {
    var page = Samples.pending
    page.requests = []
    #expect(page.lines(.plain)[0] == "remove bremen  (1 of 2 approvals)")
    page.proposals[0].canPass = false
    let lines = page.lines(.plain)
    #expect(lines[0] == "remove bremen  (1 of 2 approvals, the votes are split)")
    #expect(lines.last?.hasPrefix("  try again    hanse approve pppp") == true, "\(lines)")
  }

  @Test func aShortContributionTakesOneLine() {
    #expect(
      Samples.log.lines(.plain, graph: false).contains(
        "  luebeck  cccccccccc  205k tokens  loss 2.3750→2.2500  norm 0.125  sealed 1/2"))
    let lines = Samples.log.lines(.plain, graph: true)
    #expect(lines.contains { $0.hasPrefix("| | |    ") })
  }

  @Test func figuresReadAsPeopleWriteThem() {
    #expect(Figures.bytes(0) == "0 B")
    #expect(Figures.bytes(1536) == "1.5 KiB")
    #expect(Figures.bytes(.max) == "16 EiB")
    #expect(Figures.count(999) == "999")
    #expect(Figures.count(204_800) == "205k")
    #expect(Figures.count(12_340) == "12.3k")
    #expect(Figures.fixed(-0.00001, 4) == "0.0000")
    #expect(Figures.fixed(-1.25, 1) == "-1.3")
    #expect(Figures.fixed(0.05, 2) == "0.05")
    #expect(Figures.fixed(2, 0) == "2")
    #expect(Figures.fixed(.nan, 2) == "nan")
    #expect(Figures.seconds(59) == "59 s")
    #expect(Figures.seconds(7265) == "2 h 1 min")
    #expect(Figures.seconds(200_000) == "2 d 7 h")
    #expect(Figures.seconds(nil) == "–")
    #expect(Figures.seconds(.infinity) == "–")
    #expect(Figures.time(0) == "1970-01-01 00:00:00Z")
    #expect(Figures.time(1_772_366_400) == "2026-03-01 12:00:00Z")
    #expect(Figures.time(951_782_399) == "2000-02-28 23:59:59Z")
    #expect(Figures.time(951_782_400) == "2000-02-29 00:00:00Z")
    #expect(Figures.time(4_107_542_400) == "2100-03-01 00:00:00Z")
    #expect(Figures.time(.max) == "\(UInt64.max)")
  }

  @Test func noPageLetsAHostileNameThrough() {
    let pages: [[String]] = [
      Samples.status.lines(.plain), Samples.peers.lines(.plain), Samples.pending.lines(.plain),
      Samples.roster.lines(.plain), Samples.log.lines(.plain, graph: true),
      Samples.log.lines(.plain, graph: false), Samples.shown.lines(.plain),
      Samples.blame.lines(.plain), Samples.shown.why(.plain), Samples.verify.lines(.plain),
    ]
    for line in pages.joined() {
      for scalar in line.unicodeScalars {
        #expect(scalar.value >= 0x20 && scalar != "\u{202E}", "\(line.debugDescription)")
      }
    }
    #expect(pages[0].joined().contains("\\u{1b}[2Jevil\\u{202e}\\u{a}name"))
  }

  @Test func aDifferentStateRootForTheSameMergeIsShown() {
    let lines = Samples.status.lines(.plain)
    #expect(lines.contains { $0.contains("DIFFERS") })
    #expect(lines.contains { $0.contains("needs attention") })
  }

  @Test func colourOnlyWhenAskedFor() {
    let colourful = Samples.status.lines(PageStyle(colour: true)).joined()
    #expect(colourful.contains("\u{1B}[1m"))
  }
}

@Suite struct MergeGraphTests {
  private func merge(_ id: String, _ round: Int, _ bases: [String]) -> MergeRow {
    MergeRow(
      id: id, round: round, parents: [],
      contributions: bases.enumerated().map {
        Samples.contribution(Samples.luebeck, "\(id)\($0.offset)", base: $0.element)
      }, stateRoot: "r", attestedBy: [], sealed: true)
  }

  private func drawing(_ merges: [MergeRow]) -> [String] { MergeGraph(merges).rows.map(\.drawing) }

  @Test func contributionsLeaveAMergeAndJoinTheNext() {
    let rows = MergeGraph([merge("b", 1, ["a", "a", "a"]), merge("a", 0, [])]).rows
    #expect(
      rows.map(\.drawing) == [
        "*",
        "|\\ \\ \\",
        "| | | o",
        "| | o |",
        "| o | |",
        "|/ / /",
        "*",
      ])
    #expect(
      rows.map(\.item) == [
        .merge(0), .lines, .contribution(merge: 0, 0), .contribution(merge: 0, 1),
        .contribution(merge: 0, 2), .lines, .merge(1),
      ])
  }

  @Test func aLateContributionPassesTheMergesBetween() {
    #expect(
      drawing([merge("c", 2, ["b", "a"]), merge("b", 1, ["a"]), merge("a", 0, [])]) == [
        "*",
        "|\\ \\",
        "| | o",
        "| o |",
        "|/ /",
        "* |",
        "|\\ \\",
        "| o |",
        "|/ /",
        "*",
      ])
  }

  @Test func aLoneMergeIsOneStar() {
    #expect(drawing([merge("a", 0, [])]) == ["*"])
    #expect(drawing([]) == [])
  }

  @Test func whatComesFromBeforeTheFirstShownMergeStaysOpen() {
    #expect(drawing([merge("c", 2, ["b"])]) == ["*", "|\\", "| o"])
  }
}
