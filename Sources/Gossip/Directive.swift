import FoundationEssentials
import Identities
import Records

/// What a ``Mesh`` asks of the shell.
public enum Directive: Sendable {
  /// Dial a lab; answered by `connected` or `dialFailed`.
  case dial(LabID, address: String)
  /// End a connection and tell the other side why.
  case close(ConnectionID, reason: String)
  /// Send a control frame, ahead of any block.
  case send(ConnectionID, Hanse_V1_Frame)
  /// Send stored entries of a lab after a sequence, at most `limit` and at most a frame of them, an
  /// empty frame when there are none; answered by `entriesSent`.
  case sendEntries(ConnectionID, lab: LabID, after: UInt64, limit: Int)
  /// Send both entries that are held at this sequence of a log: the proof of equivocation.
  case sendEvidence(ConnectionID, lab: LabID, sequence: UInt64)
  /// The other side's log ends inside of ours: if our entry at that sequence is another, send it.
  case compare(ConnectionID, Head)
  /// Check signatures, chain and roster, and store the entries in this order; answered by
  /// `appended`, `entryRefused`, `entryDeferred` or `forked` for those that are new, and by
  /// `verified` at the end.
  case verify(batch: UInt64, from: ConnectionID, entries: [Entry])

  /// Check that these bytes are the object's block list and store them; answered by
  /// `blockListStored` or `blockRefused`.
  case storeBlockList(ContentID, bytes: Data, from: ConnectionID)
  /// Check a block against the block list and store it; answered by `blockStored`,
  /// `blockRefused` or `blockNotStored`.
  case storeBlock(ContentID, index: UInt32, bytes: Data, from: ConnectionID)
  /// Every block of the object has been stored. Answered, once it may be shown, by `held`.
  case complete(ContentID)
  /// Send a block (or the block list) behind all control frames, an empty block when it is not
  /// held; answered by `blockServed` when the frame has left for the socket.
  case serveBlock(ConnectionID, object: ContentID, index: UInt32)

  /// Make an object of the first of these states that is here; answered by `snapshotMade`.
  case makeSnapshot(ConnectionID, roots: [ContentID])
  /// The state of a wanted root is this object, these labs say; to be answered by `want`.
  case snapshotNamed(root: ContentID, object: ContentID, labs: [LabID])
  /// The object did not come and is wanted no longer; others are asked.
  case snapshotStalled(ContentID)
  /// Every lab that is connected was asked, and none can give any of the wanted states.
  case snapshotNowhere
}
