extension MergeRow {
  /// What its line says, part by part.
  func parts(_ style: PageStyle) -> [String] {
    [
      style.strong("round \(round)"), "merge \(Figures.short(id))",
      sealed ? style.good("sealed") : style.warn("provisional"),
      style.faint("root \(Figures.short(stateRoot))"),
      style.faint("attested by \(attestedBy.count)"),
    ]
  }
}

extension ContributionRow {
  /// What its line says, part by part; the last are its state and how many of its judges accept.
  func parts(_ style: PageStyle) -> [String] {
    let accepted = verdicts.filter(\.accept).count
    let mark: String =
      switch status {
      case .admitted, .sealed: style.good(status.rawValue)
      case .pending: style.warn(status.rawValue)
      case .rejected, .recalled, .excluded: style.bad(status.rawValue)
      }
    return [
      style.strong(PlainText.escape(author.name, limit: 64)), Figures.short(id),
      "\(Figures.count(tokens)) tokens",
      "loss \(Figures.loss(before))→\(Figures.loss(after))", "norm \(Figures.fixed(norm, 3))",
      "\(mark) \(accepted)/\(verdicts.count)",
    ]
  }

  /// Its line beneath that of its merge, or several.
  func lines(_ style: PageStyle) -> [String] {
    PlainText.flow(parts(style), first: "  ", rest: "      ")
  }

  /// Everything about it.
  func details(_ style: PageStyle) -> [String] {
    var lines = [
      "author       \(PlainText.escape(author.name))  \(Figures.short(author.id))",
      "round        \(round), attempt \(attempt), trained from merge \(Figures.short(base))",
      "tokens       \(Figures.count(tokens))",
      "payload      \(Figures.bytes(bytes)), norm \(Figures.fixed(norm, 6))",
      "own loss     \(Figures.loss(before)) → \(Figures.loss(after)) nats/token",
      "status       \(status.rawValue)"
        + (reason.isEmpty ? "" : ": " + PlainText.escape(reason, limit: 300)),
    ]
    if verdicts.isEmpty { return lines + ["verdicts     none yet"] }
    var table = TextTable([
      ("JUDGE", .left), ("VERDICT", .left), ("BEFORE", .right), ("AFTER", .right),
      ("CHANGE", .right), ("TOKENS", .right), ("REASON", .left),
    ])
    for verdict in verdicts {
      let change = verdict.after - verdict.before
      table.add([
        PlainText.escape(verdict.judge.name, limit: 24), verdict.accept ? "accept" : "reject",
        Figures.loss(verdict.before), Figures.loss(verdict.after),
        (change > 0 ? "+" : "") + Figures.fixed(change, 4), Figures.count(verdict.tokens),
        PlainText.escape(verdict.reason, limit: 60),
      ])
    }
    lines += [""] + table.lines()
    return lines
  }
}

extension LogPage {
  /// The history as a list, or drawn as a graph.
  public func lines(_ style: PageStyle, graph: Bool) -> [String] {
    var lines: [String] = []
    if !open.isEmpty {
      lines += [style.strong("in no merge yet")] + open.flatMap { $0.lines(style) } + [""]
    }
    if merges.isEmpty {
      lines.append("no merge yet")
    } else {
      lines += graph ? graphLines(style) : listLines(style)
    }
    if !entries.isEmpty { lines += ["", style.strong("log entries, newest first")] }
    return lines + entries.flatMap { $0.lines() }
  }

  private func listLines(_ style: PageStyle) -> [String] {
    merges.flatMap { merge in
      PlainText.flow(merge.parts(style)) + merge.contributions.flatMap { $0.lines(style) }
    }
  }

  private func graphLines(_ style: PageStyle) -> [String] {
    MergeGraph(merges).rows.flatMap { row -> [String] in
      let parts: [String]
      switch row.item {
      case .lines: return [row.drawing]
      case .merge(let index): parts = merges[index].parts(style)
      case .contribution(let merge, let place):
        parts = merges[merge].contributions[place].parts(style)
      }
      return PlainText.flow(parts, first: row.drawing + "  ", rest: row.going + "    ")
    }
  }
}

extension EntryRow {
  func lines() -> [String] {
    PlainText.flow([
      Figures.short(id), Figures.time(timeSeconds),
      "\(PlainText.escape(lab.name, limit: 64)) \(sequence)", PlainText.escape(kind, limit: 20),
      PlainText.escape(summary),
    ])
  }
}

extension EntryPage {
  /// Everything known about the thing.
  public func lines(_ style: PageStyle) -> [String] {
    var lines = [style.strong(PlainText.escape(kind)) + "  " + PlainText.escape(id)]
    if let entry {
      lines += [
        "log          \(PlainText.escape(entry.lab.name)), entry \(entry.sequence)",
        "written      \(Figures.time(entry.timeSeconds)), as the lab says",
      ]
    }
    if let contribution { lines += contribution.details(style) }
    if let proposal { lines += proposal.lines(style) }
    if let merge { lines += mergeLines(merge, style) }
    if let evidence {
      lines.append(
        style.bad("evidence") + "     two entries at sequence \(evidence.sequence) of "
          + "\(PlainText.escape(evidence.lab.name))'s log: "
          + evidence.entries.map { PlainText.escape($0) }.joined(separator: " and "))
    }
    let width = (fields.map { PlainText.width($0.name) }.max() ?? 0) + 2
    return lines
      + fields.map {
        PlainText.escape($0.name, limit: 40).padded(to: max(13, width))
          + PlainText.escape($0.value, limit: 2000)
      }
  }

  private func mergeLines(_ merge: MergeRow, _ style: PageStyle) -> [String] {
    [
      "round        \(merge.round), \(merge.sealed ? "sealed" : "provisional")",
      "state root   \(PlainText.escape(merge.stateRoot))",
      "grew from    "
        + (merge.parents.isEmpty
          ? "the start" : merge.parents.map { Figures.short($0) }.joined(separator: ", ")),
      "attested by"
        + (merge.attestedBy.isEmpty ? " nobody yet" : PendingPage.names(merge.attestedBy)),
      "", style.strong("contributions that it added"),
    ]
      + (merge.contributions.isEmpty
        ? ["  none"] : merge.contributions.flatMap { $0.lines(style) })
  }

  /// Why a contribution was admitted or not, in sentences.
  public func why(_ style: PageStyle) -> [String] {
    guard let contribution else {
      return ["\(PlainText.escape(kind)) \(Figures.short(id)): only contributions are judged"]
    }
    let accepted = contribution.verdicts.filter(\.accept).count
    let sentence: String =
      switch contribution.status {
      case .pending:
        "is pending: \(accepted) of \(contribution.verdicts.count) verdicts so far accept it"
      case .admitted:
        "was admitted: \(accepted) of \(contribution.verdicts.count) verdicts accept it"
      case .sealed:
        "was admitted and sealed: \(accepted) of \(contribution.verdicts.count) verdicts accept it"
      case .rejected:
        "was rejected: \(contribution.verdicts.count - accepted) of "
          + "\(contribution.verdicts.count) verdicts reject it"
      case .recalled: "was recalled: it stays in the record with weight zero"
      case .excluded:
        "is excluded: "
          + (contribution.reason.isEmpty
            ? "its lab's entries no longer count from there on"
            : PlainText.escape(contribution.reason, limit: 200))
      }
    return [
      "contribution \(Figures.short(contribution.id)) of "
        + "\(style.strong(PlainText.escape(contribution.author.name))), round "
        + "\(contribution.round), \(sentence)", "",
    ] + contribution.details(style)
  }
}

extension VerifyPage {
  /// What the replay found.
  public func lines(_ style: PageStyle) -> [String] {
    var lines = [
      ok ? style.good("verified") : style.bad("NOT as the logs say"),
      "  \(entries) entries, \(contributions) contributions up to round \(rounds), "
        + "in \(Figures.fixed(seconds, 1)) s",
    ]
    lines += replayLines
    lines += [
      "  round \(head.round), merge \(Figures.short(head.id)), "
        + (head.sealed ? "sealed" : "provisional"),
      "  state root \(PlainText.escape(head.stateRoot))",
    ]
    lines += (notes ?? []).map { "  " + PlainText.escape($0, limit: 300) }
    lines += findings.map { "  ! " + PlainText.escape($0, limit: 300) }
    return lines
  }

  /// Which rounds were replayed, and what stood for those that were not.
  private var replayLines: [String] {
    guard let replayed, let taken else { return [] }
    func rounds(_ spans: [RoundSpan]) -> String {
      let isOne = spans.count == 1 && spans[0].since == spans[0].until
      return (isOne ? "round " : "rounds ") + spans.map(\.text).joined(separator: ", ")
    }
    var lines: [String] = []
    if !replayed.isEmpty {
      lines.append(
        "replayed: \(rounds(replayed))" + (taken.isEmpty ? ", all from the charter on" : ""))
    }
    if !taken.isEmpty {
      lines.append(
        "not replayed: \(rounds(taken)), "
          + (fromSeal ? "for which kept states stand" : "for which the attested state stands"))
    }
    return lines.flatMap { PlainText.flow([$0], first: "  ") }
  }
}
