import Identities
import Records

/// A change that somebody proposed for the next roster version, and how far it has come.
public struct OpenProposal: Sendable {
  /// The proposal's entry.
  public let id: ContentID
  /// Who proposed it.
  public let author: LabID
  let read: ReadProposal
  /// Labs whose first approval of this version and attempt is this one, sorted.
  public let approvers: [LabID]
  /// Approvals that enact it.
  public let needed: Int

  /// The message.
  public var message: Hanse_V1_Proposal { read.message }
  /// Who would be admitted, if that is the change.
  public var ask: JoinAsk? { read.ask }
}

/// A proposal and the keys in it, which are read once: a request is checked by two signatures, and
/// rosters are found from their proposals whenever one more has come.
struct ReadProposal: Sendable {
  let message: Hanse_V1_Proposal
  /// The request of an admission; nil for other changes, and for one that does not hold.
  let ask: JoinAsk?
  /// The key of a rotation, which has signed it; nil for other changes, and for one that has not.
  let newKey: PublicKey?

  init(_ message: Hanse_V1_Proposal) {
    self.message = message
    switch message.change {
    case .admit(let admission):
      ask = try? JoinAsk(admission.request)
      newKey = nil
    case .rotate(let rotation):
      ask = nil
      newKey = rotation.isSigned ? PublicKey(bytes: rotation.newKey) : nil
    default:
      ask = nil
      newKey = nil
    }
  }
}

extension Logbook {
  /// The rosters that these entries enact, version by version.
  ///
  /// - Parameters:
  ///   - known: the first of them, as far as they are known; the charter's at least.
  ///   - bounds: entries that count, by lab; nil for all.
  func rosters(after known: [Roster], within bounds: [LabID: UInt64]?) -> [Roster] {
    var result = known
    while let next = enacted(after: result[result.count - 1], within: bounds) {
      result.append(next)
    }
    return result
  }

  /// Proposals for the version after `roster`, with their approvals.
  func proposals(after roster: Roster, within bounds: [LabID: UInt64]?) -> [OpenProposal] {
    var approvals: [ContentID: [LabID]] = [:]
    var approved: [LabID: Set<UInt32>] = [:]
    var found: [(Entry, ReadProposal)] = []
    // The attempts of what was approved; nil for what is no proposal for this version.
    var attempts: [ContentID: UInt32?] = [:]
    // A lab's first approval per attempt counts, so the logs are read in order.
    for member in roster.members {
      for decision in decisions(of: member.lab, within: bounds)
      where decision.rosterVersion == roster.version {
        switch decision.kind {
        case .proposal(let proposal):
          if proposal.message.makesVersion == roster.version + 1 {
            found.append((decision.entry, proposal))
          }
        case .approval(let target):
          let attempt: UInt32?
          if let known = attempts[target] {
            attempt = known
          } else {
            attempt = self.attempt(of: target, after: roster, within: bounds)
            attempts[target] = .some(attempt)
          }
          guard let attempt, approved[member.lab, default: []].insert(attempt).inserted else {
            continue
          }
          approvals[target, default: []].append(member.lab)
        }
      }
    }
    return found.filter { isValid($0.1, after: roster) }.map { entry, proposal in
      OpenProposal(
        id: entry.id, author: entry.lab, read: proposal,
        approvers: (approvals[entry.id] ?? []).sorted(), needed: roster.approvalQuorum)
    }.sorted { $0.id < $1.id }
  }

  /// Which attempt at the version after `roster` a proposal is; nil when it is none, is not here or
  /// does not count.
  private func attempt(
    of id: ContentID, after roster: Roster, within bounds: [LabID: UInt64]?
  ) -> UInt32? {
    guard let entry = entryByID[id], case .proposal(let message)? = entry.message.payload,
      message.makesVersion == roster.version + 1, isWithin(entry, bounds)
    else { return nil }
    return message.attempt
  }

  private func enacted(after roster: Roster, within bounds: [LabID: UInt64]?) -> Roster? {
    proposals(after: roster, within: bounds)
      .first { $0.approvers.count >= $0.needed }
      .flatMap { roster.applying($0.read) }
  }

  /// Whether the change makes sense for this roster and a later attempt proves that no earlier one
  /// can pass any more.
  private func isValid(_ read: ReadProposal, after roster: Roster) -> Bool {
    let proposal = read.message
    guard roster.applying(read) != nil else { return false }
    guard proposal.attempt > 1 else { return true }
    var votes: [ContentID: Int] = [:]
    var voters: Set<LabID> = []
    for citation in proposal.citations {
      guard let id = ContentID(bytes: citation), let entry = entryByID[id],
        case .approval(let approval)? = entry.message.payload,
        let target = ContentID(bytes: approval.proposal), let cited = entryByID[target],
        case .proposal(let earlier)? = cited.message.payload,
        earlier.makesVersion == proposal.makesVersion, earlier.attempt == proposal.attempt - 1,
        entry.rosterVersion == roster.version, roster.member(entry.lab) != nil,
        voters.insert(entry.lab).inserted
      else { return false }
      votes[target, default: 0] += 1
    }
    let uncast = roster.members.count - voters.count
    let strongest = votes.values.max() ?? 0
    return strongest + uncast < roster.approvalQuorum
  }
}

extension Roster {
  /// The next version with this change; nil when the change makes no sense here.
  func applying(_ read: ReadProposal) -> Roster? {
    let proposal = read.message
    guard proposal.makesVersion == version + 1 else { return nil }
    var members = members
    var recalled = recalled
    var cutoffs = cutoffs
    var retired = retired
    var rules = rules
    switch proposal.change {
    case .admit:
      guard let ask = read.ask, !ask.charterOnly,
        member(ask.lab) == nil,
        !isUsed(ask.key), !members.contains(where: { $0.name == ask.name }),
        cutoffs[ask.lab] == nil,
        members.count < Limits.labsMax
      else { return nil }
      members.append(Seat(lab: ask.lab, key: ask.key, name: ask.name, since: version + 1))
    case .remove(let removal):
      guard let lab = LabID(bytes: removal.lab), let seat = member(lab), members.count > 1 else {
        return nil
      }
      retired.append(seat.key)
      members.removeAll { $0.lab == lab }
      cutoffs[lab] = removal.lastSequence
    case .rotate(let rotation):
      guard let lab = LabID(bytes: rotation.lab), let key = read.newKey,
        let place = members.firstIndex(where: { $0.lab == lab }),
        !isUsed(key)
      else { return nil }
      retired.append(members[place].key)
      members[place].key = key
    case .recall(let recall):
      let named = recall.contributions.compactMap { ContentID(bytes: $0) }
      guard !named.isEmpty else { return nil }
      recalled += named.filter { !recalled.contains($0) }
    case .changeRule(let change):
      guard let changed = try? rules.applying(change) else { return nil }
      rules = changed
    case nil:
      return nil
    }
    return Roster(
      version: version + 1, members: members, recalled: recalled, cutoffs: cutoffs,
      retired: retired, rules: rules)
  }
}

extension Logbook {
  /// The proposal that made the version after `roster`; nil for the newest.
  public func enactedProposal(after roster: Roster) -> OpenProposal? {
    proposals(after: roster, within: nil).first { $0.approvers.count >= $0.needed }
  }

  /// A proposal with the approvals it has, whatever became of it; nil when there is none of this
  /// id.
  public func proposal(_ id: ContentID) -> OpenProposal? {
    guard case .proposal(let message)? = entryByID[id]?.message.payload,
      let before = roster(version: message.makesVersion - 1)
    else { return nil }
    return proposals(after: before, within: nil).first { $0.id == id }
  }
}
