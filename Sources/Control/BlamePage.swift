/// Rounds from one to another, both included; an end that is not given is open.
public struct RoundSpan: Codable, Sendable, Equatable {
  /// The first round.
  public var since: Int?
  /// The last round.
  public var until: Int?

  /// All rounds, or those between two.
  public init(since: Int? = nil, until: Int? = nil) {
    self.since = since
    self.until = until
  }

  /// Whether a round lies in it.
  public func contains(_ round: Int) -> Bool {
    round >= since ?? .min && round <= until ?? .max
  }

  /// Throws ``ControlError`` for rounds that there cannot be.
  public func check() throws(ControlError) {
    for round in [since, until] where !(0...Int(UInt32.max)).contains(round ?? 0) {
      throw ControlError(.wrongUse, "a round is a number from 0 on, not \(round ?? 0)")
    }
    if let since, let until, since > until {
      throw ControlError(
        .wrongUse, "there is no round since \(since) and until \(until)",
        hint: "the lower of the two goes to since")
    }
  }

  /// The first and the last of one that has both: `3`, `1 to 7`.
  var text: String {
    let ends = [since, until].compactMap { $0 }
    return Set(ends).count == 1 ? "\(ends[0])" : ends.map(String.init).joined(separator: " to ")
  }

  /// As the query of a request has it.
  var query: String {
    (since.map { "&since=\($0)" } ?? "") + (until.map { "&until=\($0)" } ?? "")
  }
}

/// Whose contributions moved the shared model, and how far.
public struct BlamePage: Page {
  /// The merge that was looked at: this node's head.
  public var head: MergeHead
  /// The first round that was asked for; nil: from the start.
  public var since: Int?
  /// The last round that was asked for; nil: up to the head.
  public var until: Int?
  /// One for each lab that has a contribution in those rounds, the largest share first.
  public var labs: [Share]

  /// One lab's share.
  public struct Share: Codable, Sendable, Equatable {
    /// Whose.
    public var lab: Named
    /// Its part of what all labs put into the fold in these rounds, 0…1.
    public var share: Double
    /// Contributions that count.
    public var merged: Int
    /// Contributions that weigh nothing: recalled, or another try stands for them.
    public var recalled: Int
    /// Tokens of those that count.
    public var tokens: UInt64
    /// The first round in which one of its contributions landed.
    public var firstRound: Int
    /// The last round.
    public var lastRound: Int
    /// Mean change of the other labs' held-out loss, in nats per token; absent when none judged.
    public var meanChange: Double?

    /// A lab's share.
    public init(
      lab: Named, share: Double, merged: Int, recalled: Int, tokens: UInt64, firstRound: Int,
      lastRound: Int, meanChange: Double?
    ) {
      self.lab = lab
      self.share = share
      self.merged = merged
      self.recalled = recalled
      self.tokens = tokens
      self.firstRound = firstRound
      self.lastRound = lastRound
      self.meanChange = meanChange
    }
  }

  /// A page of shares.
  public init(head: MergeHead, since: Int?, until: Int?, labs: [Share]) {
    self.head = head
    self.since = since
    self.until = until
    self.labs = labs
  }
}

extension BlamePage {
  /// One line a lab.
  public func lines(_ style: PageStyle) -> [String] {
    if labs.isEmpty {
      return [since == nil && until == nil ? "nothing was merged yet" : "nothing in these rounds"]
    }
    var table = TextTable([
      ("LAB", .left), ("ID", .left), ("SHARE", .right), ("MERGED", .right), ("RECALLED", .right),
      ("TOKENS", .right), ("ROUNDS", .left), ("OTHERS' LOSS", .right),
    ])
    for row in labs {
      table.add([
        PlainText.escape(row.lab.name, limit: 24), Figures.short(row.lab.id),
        Figures.fixed(row.share * 100, 1) + " %", "\(row.merged)", "\(row.recalled)",
        Figures.count(row.tokens), "\(row.firstRound)–\(row.lastRound)",
        row.meanChange.map { ($0 > 0 ? "+" : "") + Figures.fixed($0, 4) } ?? "–",
      ])
    }
    return table.lines()
  }
}
