import Identities
import Records

/// A change that somebody proposed for the next roster version, and how far it has come.
public struct OpenProposal: Sendable {
  /// The proposal's entry.
  public let id: ContentID
  /// Who proposed it.
  public let author: LabID
  /// The message.
  public let message: Hanse_V1_Proposal
  /// Labs whose first approval of this version and attempt is this one, sorted.
  public let approvers: [LabID]
  /// Approvals that enact it.
  public let needed: Int
}

extension Logbook {
  /// The rosters that these entries enact, version by version.
  ///
  /// - Parameter bounds: entries that count, by lab; nil for all.
  func rosters(within bounds: [LabID: UInt64]?) -> [Roster] {
    var result = [Roster(charter: charter)]
    while let next = enacted(after: result[result.count - 1], within: bounds) {
      result.append(next)
    }
    return result
  }

  /// Proposals for the version after `roster`, with their approvals.
  func proposals(after roster: Roster, within bounds: [LabID: UInt64]?) -> [OpenProposal] {
    var approvals: [ContentID: [LabID]] = [:]
    var approved: [LabID: Set<UInt32>] = [:]
    var found: [(Entry, Hanse_V1_Proposal)] = []
    // A lab's first approval per attempt counts, so the logs are read in order.
    for member in roster.members {
      for entry in decisions(of: member.lab, within: bounds)
      where entry.rosterVersion == roster.version {
        if case .proposal(let proposal)? = entry.message.payload,
          proposal.makesVersion == roster.version + 1
        {
          found.append((entry, proposal))
        }
        guard case .approval(let approval)? = entry.message.payload,
          let target = ContentID(bytes: approval.proposal), let proposal = entryByID[target],
          case .proposal(let message)? = proposal.message.payload,
          message.makesVersion == roster.version + 1,
          isWithin(proposal, bounds),
          approved[member.lab, default: []].insert(message.attempt).inserted
        else { continue }
        approvals[target, default: []].append(member.lab)
      }
    }
    return found.filter { isValid($0.1, after: roster) }.map { entry, message in
      OpenProposal(
        id: entry.id, author: entry.lab, message: message,
        approvers: (approvals[entry.id] ?? []).sorted(), needed: roster.approvalQuorum)
    }.sorted { $0.id < $1.id }
  }

  private func enacted(after roster: Roster, within bounds: [LabID: UInt64]?) -> Roster? {
    proposals(after: roster, within: bounds)
      .first { $0.approvers.count >= $0.needed }
      .flatMap { roster.applying($0.message) }
  }

  /// Whether the change makes sense for this roster and a later attempt proves that no earlier one
  /// can pass any more.
  private func isValid(_ proposal: Hanse_V1_Proposal, after roster: Roster) -> Bool {
    guard roster.applying(proposal) != nil else { return false }
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
  func applying(_ proposal: Hanse_V1_Proposal) -> Roster? {
    guard proposal.makesVersion == version + 1 else { return nil }
    var members = members
    var recalled = recalled
    var cutoffs = cutoffs
    var retired = retired
    var rules = rules
    switch proposal.change {
    case .admit(let admission):
      guard let ask = try? JoinAsk(admission.request), !ask.charterOnly,
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
      guard let lab = LabID(bytes: rotation.lab), let key = PublicKey(bytes: rotation.newKey),
        let place = members.firstIndex(where: { $0.lab == lab }),
        !isUsed(key), rotation.isSigned
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
