import Deltas
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Records

/// What the shell tells a ``Participant``: what came over the network, what storage and worker did,
/// what time it is.
package enum ParticipantEvent: Sendable {
  /// The network is in service. To be told once, before everything else.
  case began(addresses: [String])
  /// Where this node may be dialled has changed.
  case addresses([String])
  /// Time has passed. To be told at least once a second.
  case tick

  // MARK: connections
  /// A connection to a member stands: both certificates are checked.
  case connected(ConnectionID, lab: LabID, address: String, dialledByUs: Bool)
  /// A connection has ended.
  case disconnected(ConnectionID, reason: String)
  /// A ``ParticipantDirective/dial(_:key:address:)`` led to no connection.
  case dialFailed(LabID, address: String, reason: String)
  /// A frame came.
  case frame(ConnectionID, Hanse_V1_Frame)

  // MARK: objects
  /// What ``ParticipantDirective/findObject(_:)`` found; no plan when its block list is not here.
  case objectFound(ContentID, plan: BlockPlan?)
  /// What ``ParticipantDirective/beginObject(_:_:)`` found on disk.
  case objectBegun(ContentID, plan: BlockPlan)
  /// A block was right and stored.
  case blockStored(ContentID, index: UInt32)
  /// A block from this connection was wrong.
  case blockRefused(ContentID, index: UInt32, from: ConnectionID, reason: String)
  /// A block or block list could not be stored for a reason of our own.
  case blockNotStored(ContentID, index: UInt32)
  /// A ``ParticipantDirective/serveBlock(_:object:index:)`` was carried out, or given up.
  case blockServed(ConnectionID, bytes: Int)
  /// How fast objects may move from now on.
  case pace(Pace)
  /// An object turned out to be damaged on disk and is held no longer.
  case objectDamaged(ContentID)
  /// A fold needed this contribution's payload, and it is not here.
  case payloadMissing(ContentID)
  /// What came of a ``ParticipantDirective/makeSnapshot(_:_:)``: the root whose state it is and the
  /// object, whole and durable; nil when none of the states is here any more.
  case snapshotMade(ConnectionID, root: ContentID?, object: ContentID?)
  /// What came of a ``ParticipantDirective/checkSnapshot(_:_:)``.
  case snapshotChecked(ContentID, isGood: Bool)
  /// The object of a snapshot was damaged on disk before it was checked; what is bad is fetched
  /// again.
  case snapshotDamaged(ContentID)

  // MARK: bundles
  /// Entries came in a file, what they rest on before them.
  case imported([Entry])
  /// A lab has said in a file, after this node's start, where this node's log ends with it.
  case vouched(by: LabID, sequence: UInt64)
  /// An object came in a file and is complete.
  case objectImported(ContentID)

  // MARK: the worker
  /// Nothing is being computed: answered by exactly one ``ParticipantDirective/work(_:)``.
  /// `last` is the round to stop after, if there is one.
  case workerIsFree(last: UInt32?)
  /// A merge was folded.
  case folded(Hanse_V1_Merge, root: ContentID)
  /// A contribution was judged.
  case judged(ContentID, Judgement)
  /// A round's training led to this; payload and feedback lie on disk, durably.
  case trained(Hanse_V1_Contribution)
  /// A round's training changed nothing.
  case abstained(round: UInt32)
  /// The held-out loss of this merge was measured.
  case measured(merge: ContentID)
  /// A ``Step/ahead(_:)`` was carried out to its end.
  case prepared(merge: ContentID)
}

/// What a judge measured and what it makes of it.
package struct Judgement: Sendable {
  /// Accepted, or why not.
  package var reason: Hanse_V1_Reason
  /// Loss in micro-nats per token with the base merge; 0 where it was not measured.
  package var before: UInt64
  /// Loss in micro-nats per token with the delta added.
  package var after: UInt64
  /// Tokens measured.
  package var tokens: UInt64

  package init(reason: Hanse_V1_Reason, before: UInt64 = 0, after: UInt64 = 0, tokens: UInt64 = 0) {
    self.reason = reason
    self.before = before
    self.after = after
    self.tokens = tokens
  }
}

/// What a ``Participant`` asks of the shell. To be carried out in order; when a
/// ``persist(_:)`` fails, nothing behind it may happen.
package enum ParticipantDirective: Sendable {
  /// Write all of this or nothing, durably, before anything that follows.
  case persist([Change])

  // MARK: connections
  /// Dial a lab, which shows this key; answered by `connected` or `dialFailed`.
  case dial(LabID, key: PublicKey, address: String)
  /// End a connection and tell the other side why.
  case close(ConnectionID, reason: String)
  /// Send a control frame, ahead of any block.
  case send(ConnectionID, Hanse_V1_Frame)
  /// These are the lab's own keys: the first is in use from now on, the others may still be
  /// expected by other labs. Earlier ones that are not named are needed no more.
  case keys([PublicKey])
  /// These keys are the members' now; cut off whoever shows another. Sorted by lab.
  case members([(key: PublicKey, lab: LabID)])

  // MARK: objects
  /// Make room for an object whose block list this is; answered by `objectBegun` or
  /// `blockNotStored`.
  case beginObject(ContentID, BlockList)
  /// Say what is held of an object; answered by `objectFound`.
  case findObject(ContentID)
  /// Check a block and store it; answered by `blockStored`, `blockRefused` or `blockNotStored`.
  case storeBlock(ContentID, index: UInt32, bytes: Data, from: ConnectionID)
  /// Send a block (or the block list) behind all control frames, an empty block when it is not
  /// held; answered by `blockServed` when the frame has left for the socket.
  case serveBlock(ConnectionID, object: ContentID, index: UInt32)
  /// Forget what own deltas left unsaid, but for these payloads.
  case keepFeedback([ContentID])
  /// Take an object off the disk, complete or not.
  case forgetObject(ContentID)

  // MARK: snapshots
  /// Make an object of the first of these states whose snapshot is here; answered by
  /// `snapshotMade`.
  case makeSnapshot(ConnectionID, [Foundation])
  /// See whether a complete object is the snapshot of this state, and keep it durably under the
  /// state's chain if it is; answered by `snapshotChecked`.
  case checkSnapshot(ContentID, Foundation)
  /// Let no snapshot go that is called so, whatever else is pruned.
  case spareSnapshots([ContentID])

  // MARK: people and worker
  /// What the worker is to do next.
  case work(Step)
  /// Something for the log.
  case news(News)
}

/// One thing that a transaction writes.
package enum Change: Sendable {
  /// An entry at the end of its log.
  case append(Entry)
  /// A second entry at a place of a log: the proof of equivocation, or a part of the branch that a
  /// quorum attested. To be told to the ledger anew after a start, behind all that was appended.
  case fork(Entry)
  /// The merge that the node stands on.
  case head(Hanse_V1_Merge)
  /// The own payload whose feedback is used from now on.
  case feedback(ContentID)
  /// The states that the node may rest on.
  case foundations(Hanse_V1_Foundations)
}

/// What the worker is to do next.
package enum Step: Sendable {
  /// Nothing can be done yet; says why.
  case wait(Waiting)
  /// Judge this contribution.
  case judge(ContributionState)
  /// Train for a round from the head, as the so-manieth try.
  case train(round: UInt32, attempt: UInt32, rejections: [ContentID])
  /// Fold this merge, and adopt it.
  case adopt(Hanse_V1_Merge)
  /// Measure the head on the held-out text, while there is nothing else to do.
  case measure
  /// Train, while others are waited for, for the round after this merge: what the head will be when
  /// nothing more comes. The run is kept for when it is, and left as soon as something else is to
  /// be done.
  case ahead(Hanse_V1_Merge)
  /// The round to stop after is over and shown to everybody present.
  case finish
}

/// Why nothing can be done yet.
package enum Waiting: Sendable, Equatable {
  /// The members removed this lab.
  case removed
  /// The members have not approved this lab yet.
  case approval
  /// The members have not approved this lab's new key yet.
  case newKey
  /// The state or the payloads of a round that the others have reached.
  case catchingUp(round: UInt32)
  /// Too few labs have said where this lab's log ends.
  case ownLog
  /// This lab's key has signed elsewhere, or twice at one place.
  case ownKey
  /// The roster version under which this lab has written is one no longer.
  case rosterTakenBack
  /// Too few labs for the first round.
  case labs(needed: Int, present: Int)
  /// The last round's attestations.
  case attestations
  /// A quorum is done; so many seconds of grace for the rest.
  case grace(round: UInt32, seconds: Int)
  /// No other lab is connected.
  case alone(round: UInt32)
  /// Every try of every lab was rejected.
  case rejected(round: UInt32)
  /// Judges who have not judged what is open; `away` are those that are not connected.
  case verdicts(round: UInt32, by: [LabID], away: [LabID])
  /// These labs' contributions.
  case contributions(round: UInt32, [LabID])
}

/// What people may want to read, in the shell's words.
package enum News: Sendable {
  case connected(LabID, address: String)
  case disconnected(ConnectionID, reason: String)
  case unreachable(LabID, reason: String)
  case contributed(LabID, round: UInt32, entry: ContentID)
  case judged(LabID, accepts: Bool, contribution: ContentID)
  case proposed(LabID, entry: ContentID)
  case approved(LabID)
  case attested(LabID, round: UInt32, root: ContentID?)
  case equivocated(LabID, sequence: UInt64, entry: ContentID)
  /// A log that forked goes on here with the branch that a quorum attested.
  case changedOver(LabID, sequence: UInt64)
  case refused(reason: String)
  case ownLogComplete(sequence: UInt64)
  case standsOn(merge: ContentID, round: UInt32, root: ContentID)
  case asked(name: String, fingerprint: String)
  /// The node is far behind and asks for a state instead of the payloads that lead to it.
  case looksForState(round: UInt32)
  /// The state of a merge has come, and is what a quorum attested.
  case restsOn(merge: ContentID, round: UInt32, root: ContentID)
  /// These labs named bytes that are not the state of that root.
  case falseSnapshot(root: ContentID, labs: [LabID])
  /// An entry that was due could not be written.
  case cannotSign(reason: String)
  /// Two entries of this lab's own log stand at one place: it signs no more.
  case ownFork(sequence: UInt64)
  /// Another daemon has signed this entry with this lab's key: this one signs no more.
  case signedElsewhere(sequence: UInt64)
  /// Two different roots for one merge: never ignored.
  case differentRoots(merge: ContentID, own: ContentID, other: ContentID, lab: LabID)
}
