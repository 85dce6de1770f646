import FoundationEssentials
import Identities
import Records
import SwiftProtobuf

/// A change that somebody proposed for the next roster version, and how far it has come.
public struct OpenProposal: Sendable {
  /// The proposal's entry.
  public let id: ContentID
  /// Who proposed it.
  public let author: LabID
  let read: ReadProposal
  /// What it changes, reasons apart: proposals of one attempt with the same are one change.
  public var substance: [UInt8] { read.substance }
  /// Labs whose first approval of this version and attempt is for this change, sorted.
  public let approvers: [LabID]
  /// How many of them have approved it by this proposal.
  let supporters: Int
  /// Approvals that enact the change.
  public let needed: Int
  /// Whether it has these approvals, or labs are left that can give them in this attempt.
  public let canPass: Bool

  /// The message.
  public var message: Hanse_V1_Proposal { read.message }
  /// Who would be admitted, if that is the change.
  public var ask: JoinAsk? { read.ask }
  /// Whether enough labs have approved the change.
  public var isEnacted: Bool { approvers.count >= needed }
}

/// A proposal and the keys in it, which are read once: a request is checked by two signatures, and
/// rosters are found from their proposals whenever one more has come.
struct ReadProposal: Sendable {
  let message: Hanse_V1_Proposal
  /// The request of an admission; nil for other changes, and for one that does not hold.
  let ask: JoinAsk?
  /// The key of a rotation, which has signed it; nil for other changes, and for one that has not.
  let newKey: PublicKey?
  /// What it changes, without reasons and signatures: what decides which roster it makes.
  let substance: [UInt8]

  init(_ message: Hanse_V1_Proposal) {
    self.message = message
    var ask: JoinAsk?
    var newKey: PublicKey?
    switch message.change {
    case .admit(let admission):
      ask = try? JoinAsk(admission.request)
      substance = [1] + (ask.map { $0.lab.bytes + $0.key.bytes + Array($0.name.utf8) } ?? [])
    case .remove(let removal):
      substance = [2] + removal.lab + removal.lastSequence.littleEndianBytes
    case .rotate(let rotation):
      newKey = rotation.isSigned ? PublicKey(bytes: rotation.newKey) : nil
      substance = [3] + rotation.lab + rotation.newKey
    case .recall(let recall):
      substance = [4] + recall.contributions.map(Array.init).sorted(by: Self.precedes).joined()
    case .changeRule(var change):
      change.reason = ""
      substance = [5] + ((try? change.serializedBytes()) ?? [])
    case nil:
      substance = []
    }
    self.ask = ask
    self.newKey = newKey
  }

  private static func precedes(_ one: [UInt8], _ other: [UInt8]) -> Bool {
    one.lexicographicallyPrecedes(other)
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

  /// Proposals for the version after `roster` that count, with the approvals of their changes.
  func proposals(after roster: Roster, within bounds: [LabID: UInt64]?) -> [OpenProposal] {
    let vote = vote(after: roster, within: bounds)
    guard !vote.proposals.isEmpty else { return [] }
    var reader = AttemptReader(self, after: roster, reads: vote.proposals)
    var counting: [(entry: Entry, read: ReadProposal, change: Change)] = []
    var changes: [ContentID: Change] = [:]
    for (entry, read) in vote.proposals {
      guard roster.applying(read) != nil, reader.standing(of: read) != .void else { continue }
      let change = Change(attempt: read.message.attempt, substance: read.substance)
      counting.append((entry, read, change))
      changes[entry.id] = change
    }
    var approvers: [Change: [LabID]] = [:]
    var supporters: [ContentID: Int] = [:]
    var cast: [UInt32: Int] = [:]
    for ballot in vote.ballots {
      cast[ballot.attempt, default: 0] += 1
      guard let change = changes[ballot.proposal] else { continue }
      approvers[change, default: []].append(ballot.lab)
      supporters[ballot.proposal, default: 0] += 1
    }
    return counting.map { entry, read, change in
      let approvers = (approvers[change] ?? []).sorted()
      let uncast = roster.members.count - (cast[change.attempt] ?? 0)
      return OpenProposal(
        id: entry.id, author: entry.lab, read: read, approvers: approvers,
        supporters: supporters[entry.id] ?? 0, needed: roster.approvalQuorum,
        canPass: approvers.count + uncast >= roster.approvalQuorum)
    }.sorted { $0.id < $1.id }
  }

  /// What is approved together.
  private struct Change: Hashable {
    let attempt: UInt32
    let substance: [UInt8]
  }

  /// A lab's first approval in an attempt.
  struct Ballot {
    let lab: LabID
    let attempt: UInt32
    let approval: ContentID
    let proposal: ContentID
  }

  /// What was proposed for the version after `roster`, and each lab's first approval per attempt.
  private func vote(
    after roster: Roster, within bounds: [LabID: UInt64]?
  ) -> (proposals: [(Entry, ReadProposal)], ballots: [Ballot]) {
    var ballots: [Ballot] = []
    var proposals: [(Entry, ReadProposal)] = []
    // The attempts of what was approved; nil for what is no proposal for this version.
    var attempts: [ContentID: UInt32?] = [:]
    // A lab's first approval per attempt counts, so the logs are read in order.
    for member in roster.members {
      var approved: Set<UInt32> = []
      var proposed: [UInt32: Int] = [:]
      for decision in decisions(of: member.lab, within: bounds)
      where decision.rosterVersion == roster.version {
        switch decision.kind {
        case .proposal(let proposal):
          guard proposal.message.makesVersion == roster.version + 1 else { continue }
          proposed[proposal.message.attempt, default: 0] += 1
          if proposed[proposal.message.attempt, default: 0] <= Limits.proposalsPerAttemptMax {
            proposals.append((decision.entry, proposal))
          }
        case .approval(let target):
          let attempt: UInt32?
          if let known = attempts[target] {
            attempt = known
          } else {
            attempt = self.attempt(of: target, after: roster, within: bounds)
            attempts[target] = .some(attempt)
          }
          guard let attempt, approved.insert(attempt).inserted else { continue }
          ballots.append(
            Ballot(
              lab: member.lab, attempt: attempt, approval: decision.entry.id, proposal: target))
        }
      }
    }
    return (proposals, ballots)
  }

  /// Which attempt at the version after `roster` a proposal is; nil when it is none, is not here or
  /// does not count.
  func attempt(
    of id: ContentID, after roster: Roster, within bounds: [LabID: UInt64]?
  ) -> UInt32? {
    guard let entry = entryByID[id], case .proposal(let message)? = entry.message.payload,
      message.makesVersion == roster.version + 1, isWithin(entry, bounds)
    else { return nil }
    return message.attempt
  }

  private func enacted(after roster: Roster, within bounds: [LabID: UInt64]?) -> Roster? {
    proposals(after: roster, within: bounds).first(where: \.isEnacted)
      .flatMap { roster.applying($0.read) }
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
  /// The proposal that made the version after `roster`; nil for the newest. Where several proposed
  /// the same, the one by which most labs approved it.
  public func enactedProposal(after roster: Roster) -> OpenProposal? {
    proposals(after: roster, within: nil).filter(\.isEnacted).max { Self.stands($0, behind: $1) }
  }

  /// Changes that wait for approvals, each by one proposal of its newest attempt: what can still be
  /// enacted, and what was proposed in the newest attempt of all.
  public var openProposals: [OpenProposal] {
    let all = proposals(after: roster, within: nil)
    guard let newest = all.map(\.message.attempt).max() else { return [] }
    var shown: [[UInt8]: OpenProposal] = [:]
    for proposal in all where proposal.canPass || proposal.message.attempt == newest {
      if let other = shown[proposal.substance], !Self.stands(other, behind: proposal) { continue }
      shown[proposal.substance] = proposal
    }
    return shown.values.sorted { $0.id < $1.id }
  }

  /// A proposal for the next version whose id begins so, four digits at least; nil for none.
  public func proposal(startingWith digits: String) -> OpenProposal? {
    guard digits.utf8.count >= 4 else { return nil }
    return proposals(after: roster, within: nil).first { $0.id.description.hasPrefix(digits) }
  }

  /// Whether another proposal of the same change stands for it rather than this one.
  private static func stands(_ one: OpenProposal, behind other: OpenProposal) -> Bool {
    (one.message.attempt, one.supporters, other.id) < (
      other.message.attempt, other.supporters, one.id
    )
  }

  /// What a change of the newest roster changes, as ``OpenProposal/substance``; nil when it cannot
  /// be carried out.
  public func substance(of change: Hanse_V1_Proposal.OneOf_Change) -> [UInt8]? {
    var message = Hanse_V1_Proposal()
    message.makesVersion = roster.version + 1
    message.change = change
    let read = ReadProposal(message)
    return roster.applying(read) == nil ? nil : read.substance
  }

  /// The proposal that a lab's first approval of an attempt at the next version is for.
  public func firstApproval(by lab: LabID, attempt: UInt32) -> ContentID? {
    vote(after: roster, within: nil).ballots
      .first { $0.lab == lab && $0.attempt == attempt }?.proposal
  }

  /// The approvals with which a proposal of this change counts as that attempt at the next version,
  /// none for the first; nil when it would not count.
  public func citations(
    for change: Hanse_V1_Proposal.OneOf_Change, attempt: UInt32
  ) -> [ContentID]? {
    let vote = vote(after: roster, within: nil)
    let citations = vote.ballots.filter { $0.attempt &+ 1 == attempt }.map(\.approval)
    var message = Hanse_V1_Proposal()
    message.makesVersion = roster.version + 1
    message.attempt = attempt
    message.change = change
    message.citations = attempt > 1 ? citations.map { Data($0.bytes) } : []
    let read = ReadProposal(message)
    var reader = AttemptReader(self, after: roster, reads: vote.proposals)
    guard roster.applying(read) != nil, reader.standing(of: read) != .void else { return nil }
    return attempt > 1 ? citations : []
  }

  /// A proposal with the approvals of its change, whatever became of it; nil when there is none of
  /// this id.
  public func proposal(_ id: ContentID) -> OpenProposal? {
    guard case .proposal(let message)? = entryByID[id]?.message.payload,
      let before = roster(version: message.makesVersion - 1)
    else { return nil }
    return proposals(after: before, within: nil).first { $0.id == id }
  }
}
