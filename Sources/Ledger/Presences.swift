import Identities
import Records

/// A lab that asked to join and has no seat yet.
public struct PendingRequest: Sendable {
  /// The checked request.
  public let ask: JoinAsk
  /// The member that recorded it.
  public let recordedBy: LabID
  /// Whether the invitation it names stands in a member's log and covers it.
  public let isInvited: Bool
  /// The open proposal to admit it, if somebody made one.
  public let proposal: OpenProposal?
}

extension Logbook {
  /// The last thing that a lab said about itself.
  public func presence(of lab: LabID) -> Hanse_V1_Presence? {
    reading.presences[lab]
  }

  /// Counts what labs said about themselves: when it is the same, so is all of that.
  public var presenceCount: UInt64 { reading.presenceCount }

  /// Invitations that a lab has announced, in the order of its log.
  public func invitations(of lab: LabID) -> [Hanse_V1_Invitation] {
    presences(of: lab).flatMap { entry -> [Hanse_V1_Invitation] in
      guard case .presence(let presence)? = entry.message.payload else { return [] }
      return presence.invitations
    }
  }

  /// Proposals that wait for approvals.
  public var openProposals: [OpenProposal] { proposals(after: roster, within: nil) }

  /// Requests by labs that have no seat, newest of each lab, by name and id.
  public var pendingRequests: [PendingRequest] {
    var newest: [LabID: (JoinAsk, LabID)] = [:]
    var invited: [[UInt8]: UInt32] = [:]
    for member in roster.members {
      for invitation in invitations(of: member.lab) {
        invited[Array(invitation.key)] = invitation.uses
      }
      for ask in requests(recordedBy: member.lab)
      where roster.member(ask.lab) == nil && roster.cutoffs[ask.lab] == nil {
        if let known = newest[ask.lab], known.0.timeSeconds >= ask.timeSeconds { continue }
        newest[ask.lab] = (ask, member.lab)
      }
    }
    let open = openProposals
    return newest.keys.sorted().compactMap { lab in
      newest[lab].map { ask, recorder in
        PendingRequest(
          ask: ask, recordedBy: recorder, isInvited: invited[ask.invitation.bytes] != nil,
          proposal: open.first {
            guard case .admit(let admission)? = $0.message.change else { return false }
            return (try? JoinAsk(admission.request))?.lab == lab
          })
      }
    }
  }

  /// Requests that a member's log records.
  public func requests(recordedBy lab: LabID) -> [JoinAsk] {
    presences(of: lab).flatMap { entry -> [JoinAsk] in
      guard case .presence(let presence)? = entry.message.payload else { return [] }
      return presence.requests.compactMap { try? JoinAsk($0) }
    }
  }
}
