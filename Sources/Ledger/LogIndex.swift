import Identities
import Records

/// Where to find what is asked for again and again in a log, kept as entries come.
struct LogIndex: Sendable {
  /// Proposals and approvals that name no older roster version than an entry before them.
  private(set) var decisions: [Entry] = []
  /// Presences with invitations or requests, the same.
  private(set) var presences: [Entry] = []
  private(set) var contributions: [Entry] = []
  /// The newest attestation.
  private(set) var attestation: Entry?
  /// The highest roster version that was named so far.
  private var version: UInt32 = 0

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
    case .proposal, .approval: if counts { decisions.append(entry) }
    case .presence(let presence):
      if counts, !presence.invitations.isEmpty || !presence.requests.isEmpty {
        presences.append(entry)
      }
    default: break
    }
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
  func decisions(of lab: LabID, within bounds: [LabID: UInt64]?) -> ArraySlice<Entry> {
    var last = UInt64.max
    if let bounds { last = bounds[lab] ?? 0 }
    if let fork = forks[lab] { last = min(last, max(fork.sequence - 1, sealed[lab] ?? 0)) }
    return indexes[lab]?.decisions.prefix { $0.sequence <= last } ?? []
  }

  /// A lab's presences that count and say more than how it is.
  func presences(of lab: LabID) -> ArraySlice<Entry> {
    let last = lastCounting(lab)
    return indexes[lab]?.presences.prefix { $0.sequence <= last } ?? []
  }

  /// A lab's contributions up to a place of its log, whatever became of them.
  func contributions(of lab: LabID, through last: UInt64 = .max) -> ArraySlice<Entry> {
    indexes[lab]?.contributions.prefix { $0.sequence <= last } ?? []
  }
}
