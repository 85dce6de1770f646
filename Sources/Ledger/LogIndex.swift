import Identities
import Records

/// Where to find what is asked for again and again in a log, kept as entries come.
struct LogIndex: Sendable {
  /// Proposals and approvals that name no older roster version than an entry before them.
  private(set) var decisions: [Decision] = []
  /// Presences with invitations or requests, the same.
  private(set) var callings: [Calling] = []
  private(set) var contributions: [Entry] = []
  /// The newest attestation.
  private(set) var attestation: Entry?
  /// The highest roster version that was named so far.
  private var version: UInt32 = 0

  /// What a proposal or an approval says, read once.
  struct Decision: Sendable {
    enum Kind: Sendable {
      case proposal(ReadProposal)
      case approval(of: ContentID)
    }
    let entry: Entry
    let sequence: UInt64
    let rosterVersion: UInt32
    let kind: Kind
  }

  /// Who is called in by a presence, and who asks through it, read once.
  struct Calling: Sendable {
    let sequence: UInt64
    let invitations: [Hanse_V1_Invitation]
    let requests: [JoinAsk]
  }

  init() {}

  init(_ log: [Entry]) {
    for entry in log { add(entry) }
  }

  mutating func add(_ entry: Entry) {
    let counts = entry.rosterVersion >= version
    version = max(version, entry.rosterVersion)
    switch entry.message.payload {
    case .contribution: contributions.append(entry)
    case .attestation: attestation = entry
    case .proposal(let proposal):
      if counts { decide(entry, .proposal(ReadProposal(proposal))) }
    case .approval(let approval):
      if counts, let target = ContentID(bytes: approval.proposal) {
        decide(entry, .approval(of: target))
      }
    case .presence(let presence):
      if counts, !presence.invitations.isEmpty || !presence.requests.isEmpty {
        callings.append(
          Calling(
            sequence: entry.sequence, invitations: presence.invitations,
            requests: presence.requests.compactMap { try? JoinAsk($0) }))
      }
    default: break
    }
  }

  private mutating func decide(_ entry: Entry, _ kind: Decision.Kind) {
    decisions.append(
      Decision(
        entry: entry, sequence: entry.sequence, rosterVersion: entry.rosterVersion, kind: kind))
  }
}

extension Logbook {
  /// The newest attestation of a lab, whatever became of its log.
  public func newestAttestation(of lab: LabID) -> Hanse_V1_Attestation? {
    guard case .attestation(let attestation)? = indexes[lab]?.attestation?.message.payload else {
      return nil
    }
    return attestation
  }

  /// A lab's proposals and approvals that count, in the order of its log.
  ///
  /// Left out: what lies beyond `bounds`, behind an equivocation unless it was sealed, and what
  /// names an older roster version than an earlier entry of the log. A removal takes nothing away
  /// here.
  func decisions(
    of lab: LabID, within bounds: [LabID: UInt64]?
  ) -> ArraySlice<LogIndex.Decision> {
    guard let all = indexes[lab]?.decisions, !all.isEmpty else { return [] }
    var last = UInt64.max
    if let bounds { last = bounds[lab] ?? 0 }
    if let fork = forks[lab] { last = min(last, max(fork.sequence - 1, sealed[lab] ?? 0)) }
    return all.prefix { $0.sequence <= last }
  }

  /// A lab's presences that count and say more than how it is.
  func callings(of lab: LabID) -> ArraySlice<LogIndex.Calling> {
    guard let all = indexes[lab]?.callings, !all.isEmpty else { return [] }
    let last = lastCounting(lab)
    return all.prefix { $0.sequence <= last }
  }

  /// A lab's contributions up to a place of its log, whatever became of them.
  func contributions(of lab: LabID, through last: UInt64 = .max) -> ArraySlice<Entry> {
    indexes[lab]?.contributions.prefix { $0.sequence <= last } ?? []
  }
}
