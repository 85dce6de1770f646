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
    var voters: Set<LabID> = []
    var own = 0
    var others: [[UInt8]: Int] = [:]
    var isAnyAlone = false
    var isSameBeside = false
    for citation in proposal.message.citations {
      guard let id = ContentID(bytes: citation), let approval = book.entryByID[id],
        let cited = target(of: approval, inAttempt: attempt - 1),
        voters.insert(approval.lab).inserted
      else { continue }
      guard let read = self.read(cited) else { continue }
      let isSame = read.substance == proposal.substance
      if isSame { own += 1 } else { others[read.substance, default: 0] += 1 }
      switch standing(ofCited: cited, read) {
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

  /// What an approval is for, if it is its lab's first one in an attempt at this version.
  private func target(of approval: Entry, inAttempt attempt: UInt32) -> ContentID? {
    guard roster.member(approval.lab) != nil else { return nil }
    for decision in book.indexes[approval.lab]?.decisions ?? []
    where decision.rosterVersion == roster.version {
      guard case .approval(let cited) = decision.kind,
        book.attempt(of: cited, after: roster, within: nil) == attempt
      else { continue }
      return decision.entry.id == approval.id ? cited : nil
    }
    return nil
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
