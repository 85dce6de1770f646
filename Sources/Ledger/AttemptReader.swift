import FoundationEssentials
import Identities
import Records

/// Tells which attempts at a roster version count, by the approvals that they cite.
/// Protocol/Ledger.md, "Roster".
struct AttemptReader {
  /// What follows for earlier attempts when a proposal is let through.
  enum Standing {
    /// It is not let through.
    case void
    /// No earlier attempt can pass.
    case alone
    /// An earlier attempt may pass, but only with the same change.
    case beside
  }

  private let book: Logbook
  private let roster: Roster
  private var reads: [ContentID: ReadProposal]
  private var standings: [ContentID: Standing] = [:]
  private var firstApprovals: [UInt32: [ContentID: FirstApproval]]?

  private struct FirstApproval {
    let lab: LabID
    let proposal: ContentID
  }

  /// - Parameter reads: proposals of the version after `roster` that are read already.
  init(_ book: Logbook, after roster: Roster, reads: [(Entry, ReadProposal)]) {
    self.book = book
    self.roster = roster
    self.reads = Dictionary(reads.map { ($0.id, $1) }) { first, _ in first }
  }

  /// The standing of a proposal that the roster can carry out.
  ///
  /// What is cited is of the attempt before, so this goes at most `Limits.proposalAttemptsMax`
  /// calls deep.
  mutating func standing(of proposal: ReadProposal) -> Standing {
    let attempt = proposal.message.attempt
    guard attempt > 1 else { return .alone }
    guard attempt <= Limits.proposalAttemptsMax else { return .void }
    let given = approvals(inAttempt: attempt - 1)
    var voters: Set<LabID> = []
    var own = 0
    var others: [[UInt8]: Int] = [:]
    var isAnyAlone = false
    var isSameBeside = false
    for citation in proposal.message.citations {
      guard let id = ContentID(bytes: citation), let approval = given[id],
        voters.insert(approval.lab).inserted, let read = self.read(approval.proposal)
      else { continue }
      let isSame = read.substance == proposal.substance
      if isSame { own += 1 } else { others[read.substance, default: 0] += 1 }
      switch standing(ofCited: approval.proposal, read) {
      case .void: break
      case .alone: isAnyAlone = true
      case .beside: isSameBeside = isSameBeside || isSame
      }
    }
    let uncast = roster.members.count - voters.count
    func canPass(_ votes: Int) -> Bool { votes + uncast >= roster.approvalQuorum }
    guard !canPass(others.values.max() ?? 0) else { return .void }
    if isAnyAlone { return canPass(own) ? .beside : .alone }
    return isSameBeside ? .beside : .void
  }

  private mutating func standing(ofCited id: ContentID, _ read: ReadProposal) -> Standing {
    if let known = standings[id] { return known }
    let found = standing(of: read)
    standings[id] = found
    return found
  }

  /// Each lab's first approval in an attempt, by its entry, wherever it stands.
  ///
  /// Found for all attempts at once: a member may propose in each of them, and approve without end.
  private mutating func approvals(inAttempt attempt: UInt32) -> [ContentID: FirstApproval] {
    if let firstApprovals { return firstApprovals[attempt] ?? [:] }
    var found: [UInt32: [ContentID: FirstApproval]] = [:]
    for seat in roster.members {
      var approved: Set<UInt32> = []
      for decision in book.indexes[seat.lab]?.decisions ?? []
      where decision.rosterVersion == roster.version {
        guard case .approval(let proposal) = decision.kind,
          let attempt = book.attempt(of: proposal, after: roster, within: nil),
          approved.insert(attempt).inserted
        else { continue }
        found[attempt, default: [:]][decision.entry.id] = FirstApproval(
          lab: seat.lab, proposal: proposal)
      }
    }
    firstApprovals = found
    return found[attempt] ?? [:]
  }

  /// A cited proposal; nil when the roster cannot carry it out.
  private mutating func read(_ id: ContentID) -> ReadProposal? {
    let read: ReadProposal
    if let known = reads[id] {
      read = known
    } else {
      guard case .proposal(let message)? = book.entryByID[id]?.message.payload else { return nil }
      read = ReadProposal(message)
      reads[id] = read
    }
    return roster.applying(read) == nil ? nil : read
  }
}
