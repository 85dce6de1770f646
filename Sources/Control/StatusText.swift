/// Pages as lines for people. Names and texts of other labs are escaped here, and nowhere else.
extension StatusPage {
  /// The page an operator reads.
  public func lines(_ style: PageStyle) -> [String] {
    var lines = facts(style) + [""]
    lines += labTable(style)
    if !attention.isEmpty {
      lines += ["", style.warn("needs attention")]
      lines += attention.map { "  ! " + PlainText.escape($0, limit: 300) }
    }
    return lines
  }

  private func facts(_ style: PageStyle) -> [String] {
    func line(_ name: String, _ value: String) -> String {
      style.faint(name.padded(to: 12)) + value
    }
    let now =
      activity.rawValue + (progress.map { " \(Figures.fixed($0 * 100, 0)) %" } ?? "")
    let sealed = head.sealed ? style.good("sealed") : style.warn("provisional")
    var lines = [
      line(
        "federation",
        style.strong(PlainText.escape(federation.name)) + "  " + Figures.short(federation.id)),
      line("lab", style.strong(PlainText.escape(lab.name)) + "  " + Figures.short(lab.id)),
      line(
        "node",
        (activity == .stopped ? style.bad(now) : style.good(now))
          + (detail.isEmpty ? "" : "  " + PlainText.escape(detail))),
      line("head", "round \(head.round)  merge \(Figures.short(head.id))  \(sealed)"),
      line("state root", head.stateRoot.isEmpty ? "–" : PlainText.escape(head.stateRoot)),
      line("held-out", heldOutText(style)),
      line("disk", "\(Figures.bytes(diskBytes)) used, \(Figures.bytes(freeBytes)) free"),
      line("software", PlainText.escape(software)),
    ]
    if let time { lines.insert(line("time", time.text), at: lines.count - 1) }
    return lines
  }

  private func heldOutText(_ style: PageStyle) -> String {
    guard let start = heldOut.start else { return "not measured yet" }
    guard let now = heldOut.now else { return "\(Figures.loss(start)) nats/token at the start" }
    let change = Figures.fixed(now - start, 4)
    let text = now <= start ? style.good(change) : style.bad("+" + change)
    return "\(Figures.loss(now)) nats/token, \(Figures.loss(start)) at the start (\(text))"
  }

  private func labTable(_ style: PageStyle) -> [String] {
    var table = TextTable([
      ("LAB", .left), ("ID", .left), ("TRAINS", .left), ("LINK", .left), ("HEARD", .right),
      ("ROUND", .right), ("HEAD", .left), ("STATE", .left),
    ])
    for row in labs {
      let isOwn = row.lab.id == lab.id
      let agrees = row.headMerge == head.id && row.stateRoot != head.stateRoot
      table.add([
        PlainText.escape(row.lab.name, limit: 24), Figures.short(row.lab.id),
        row.trains.map { $0 ? "trains" : "judges" } ?? "–",
        isOwn ? "self" : row.connected ? "up" : "down",
        isOwn ? "–" : row.lagSeconds == nil ? "never" : Figures.seconds(row.lagSeconds),
        row.lastRound.map(String.init) ?? "–", Figures.short(row.headMerge),
        Figures.short(row.stateRoot) + (agrees ? " DIFFERS" : ""),
      ])
    }
    return table.lines()
  }
}

extension StatusPage.TimeSpent {
  /// Shares of the whole.
  var text: String {
    let all = training + judging + merging + waiting
    guard all > 0 else { return "just started" }
    let shares = [
      ("training", training), ("judging", judging), ("merging", merging), ("waiting", waiting),
    ].map { "\(Figures.fixed($1 / all * 100, 0)) % \($0)" }
    return shares.joined(separator: ", ") + " of \(Figures.seconds(all))"
  }
}

extension PeersPage {
  /// One line a peer.
  public func lines(_ style: PageStyle) -> [String] {
    if peers.isEmpty { return ["no other lab on the roster yet"] }
    var table = TextTable([
      ("LAB", .left), ("ID", .left), ("LINK", .left), ("ADDRESS", .left), ("SINCE", .right),
      ("PING", .right), ("RECEIVED", .right), ("SENT", .right), ("TROUBLE", .left),
    ])
    for peer in peers {
      table.add([
        PlainText.escape(peer.lab.name, limit: 24), Figures.short(peer.lab.id),
        peer.link.rawValue, peer.address.map { PlainText.escape($0, limit: 60) } ?? "–",
        Figures.seconds(peer.connectedSeconds),
        peer.roundTripMilliseconds.map { Figures.fixed($0, 1) + " ms" } ?? "–",
        Figures.bytes(peer.bytesReceived), Figures.bytes(peer.bytesSent),
        PlainText.escape(peer.trouble, limit: 100),
      ])
    }
    return table.lines()
  }
}

extension PendingPage {
  /// What waits, with the command that approves it.
  public func lines(_ style: PageStyle) -> [String] {
    var lines: [String] = []
    if let ownFingerprint {
      lines += [
        "this lab itself waits: the members have not let it in yet",
        "  fingerprint  \(PlainText.escape(ownFingerprint))",
        "  they run     hanse approve \(PlainText.escape(ownFingerprint))", "",
      ]
    } else if requests.isEmpty && proposals.isEmpty {
      return ["nothing waits for approval"]
    }
    for request in requests {
      lines += [
        style.strong(PlainText.escape(request.lab.name)) + " asks to join",
        "  fingerprint  \(PlainText.escape(request.fingerprint))",
        "  lab id       \(PlainText.escape(request.lab.id))",
        "  addresses    "
          + (request.addresses.isEmpty
            ? "none: it dials" : PlainText.escape(request.addresses.joined(separator: ", "))),
        "  asked        \(Figures.time(request.askedSeconds))",
        "  approvals    \(request.approvals.count) of \(request.needed)"
          + Self.names(request.approvals),
        "  approve it   hanse approve \(PlainText.escape(request.fingerprint))", "",
      ]
    }
    for proposal in proposals { lines += proposal.lines(style) + [""] }
    lines.removeLast()
    return lines
  }

  static func names(_ names: [String]) -> String {
    names.isEmpty
      ? "" : ": " + names.map { PlainText.escape($0, limit: 24) }.joined(separator: ", ")
  }
}

extension ProposalRow {
  /// A proposal with its approvals.
  public func lines(_ style: PageStyle) -> [String] {
    let count = "\(approvals.count) of \(needed) approvals"
    let state = enacted ? style.good("enacted") : canPass ? count : count + ", the votes are split"
    return [
      style.strong(PlainText.escape(change)) + "  (\(state))"
    ]
      + details.map { "  " + PlainText.escape($0, limit: 240) } + [
        "  proposal     \(PlainText.escape(id))",
        "  makes roster version \(makesVersion), proposed by \(PlainText.escape(proposer.name))",
        "  approved by" + (approvals.isEmpty ? " nobody yet" : PendingPage.names(approvals)),
      ]
      + (enacted
        ? []
        : ["  \(canPass ? "approve it " : "try again  ")  hanse approve \(Figures.short(id))"])
  }
}

extension RosterPage {
  /// The labs and how the roster came to be.
  public func lines(_ style: PageStyle) -> [String] {
    var table = TextTable([
      ("LAB", .left), ("ID", .left), ("FINGERPRINT", .left), ("SINCE VERSION", .right),
    ])
    for member in labs {
      table.add([
        PlainText.escape(member.lab.name, limit: 64) + (member.isOwn ? " (this node)" : ""),
        Figures.short(member.lab.id), PlainText.escape(member.fingerprint),
        "\(member.sinceVersion)",
      ])
    }
    // With the other three columns and the gaps between them that makes 80.
    var lines =
      ["roster version \(rosterVersion)  \(Figures.short(id))", ""] + table.lines(firstUpTo: 28)
    if let rules, !rules.isEmpty {
      var table = TextTable([
        ("RULE", .left), ("NOW", .left), ("SINCE VERSION", .right), ("CHARTER", .left),
      ])
      for rule in rules {
        table.add([
          PlainText.escape(rule.name), PlainText.escape(rule.value), "\(rule.sinceVersion)",
          rule.value == rule.founded ? "the same" : PlainText.escape(rule.founded),
        ])
      }
      lines += [""] + table.lines()
    }
    for proof in evidence ?? [] {
      let sentence =
        style.bad("evidence") + " against \(PlainText.escape(proof.lab.name, limit: 64)): "
        + "two entries at sequence \(proof.sequence), "
        + proof.entries.map { Figures.short($0) }.joined(separator: " and ")
        + "; what it wrote from there on counts only if it is sealed"
      lines += [""] + PlainText.flow([sentence])
    }
    if !history.isEmpty { lines += ["", style.strong("how it came to be")] }
    for change in history {
      let sentence =
        "version \(change.makesVersion): \(PlainText.escape(change.change)), proposed by "
        + PlainText.escape(change.proposer.name) + ", approved by"
        + PendingPage.names(change.approvals)
      lines += PlainText.flow([sentence], first: "  ")
      for detail in change.details {
        lines += PlainText.flow(
          [PlainText.escape(detail, limit: 240)], first: "    ", rest: "      ")
      }
    }
    return lines
  }
}

extension String {
  func padded(to count: Int) -> String {
    self + String(repeating: " ", count: Swift.max(0, count - PlainText.width(self)))
  }
}
