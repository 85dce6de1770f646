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
