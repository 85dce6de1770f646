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
    callings(of: lab).flatMap(\.invitations)
  }

  /// Requests by labs that have no seat, newest of each lab, by name and id.
  public var pendingRequests: [PendingRequest] {
    var newest: [LabID: (JoinAsk, LabID)] = [:]
    for member in roster.members {
      for calling in callings(of: member.lab) {
        for ask in calling.requests
        where roster.member(ask.lab) == nil && roster.cutoffs[ask.lab] == nil {
          if let known = newest[ask.lab], known.0.timeSeconds >= ask.timeSeconds { continue }
          newest[ask.lab] = (ask, member.lab)
        }
      }
    }
    // Mostly nobody asks.
    if newest.isEmpty { return [] }
    var invited: Set<[UInt8]> = []
    for member in roster.members {
      for calling in callings(of: member.lab) {
        for invitation in calling.invitations { invited.insert(Array(invitation.key)) }
      }
    }
    let open = openProposals
    return newest.keys.sorted().compactMap { lab in
      newest[lab].map { ask, recorder in
        PendingRequest(
          ask: ask, recordedBy: recorder, isInvited: invited.contains(ask.invitation.bytes),
          proposal:
            open.filter { $0.ask?.lab == lab }.max {
              ($0.message.attempt, $0.approvers.count, $1.id)
                < ($1.message.attempt, $1.approvers.count, $0.id)
            })
      }
    }
  }

  /// Requests that a member's log records.
  public func requests(recordedBy lab: LabID) -> [JoinAsk] {
    callings(of: lab).flatMap(\.requests)
  }
}
