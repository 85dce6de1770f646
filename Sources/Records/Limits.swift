/// Every bound on what comes from outside, with its reason. Protocol/Limits.md is the same table.
public enum Limits {
  /// Bytes in an entry's body: a full roster's log positions twice over, under the seal and above
  /// it, and a hundred that are attested.
  public static let entryBytesMax = 65_536
  /// Entries kept that rest on others which are not here, so that nobody can say who wrote them.
  public static let waitingEntriesMax = 1024
  /// Bytes of them, bodies alone: a thousand ordinary ones have a tenth of it.
  public static let waitingBytesMax = 8 << 20
  /// Bytes in a charter: 10,000 modules of 25 bytes, four times the largest model foreseen.
  public static let charterBytesMax = 262_144
  /// Bytes in a frame between members: four blocks or 15 entries.
  public static let frameBytesMax = 1_048_576
  /// Bytes in a frame before the peer is known, and all that a guest may send.
  public static let guestBytesMax = 4_096
  /// Bytes in one block of an object: a broken one costs no more than this.
  public static let blockBytesMax = 262_144
  /// Bytes in a payload: a rank-64 delta of a 70-billion-parameter model in four bits.
  public static let payloadBytesMax = 1_073_741_824
  /// Labs on a roster: one seat each, all of them known to people by name.
  public static let labsMax = 256
  /// Entries kept of the other branches of one forked log while a quorum may have attested them:
  /// far more than a lab writes before others know of the fork.
  public static let branchEntriesMax = 1_024
  /// Bytes in a lab's or federation's name.
  public static let nameBytesMax = 64
  /// Bytes in any other text of a record.
  public static let textBytesMax = 512
  /// Addresses a lab may announce.
  public static let addressesMax = 8
  /// Bytes in one address, host and port.
  public static let addressBytesMax = 256
  /// Invitations or requests one presence may name.
  public static let invitationsMax = 16
  /// Times one invitation may be used.
  public static let invitationUsesMax = 256
  /// Factors in an adapter: 128 layers of 16 matrices, two factors each.
  public static let factorsMax = 4_096
  /// Tries a lab has for a contribution in one round.
  public static let attemptsMax = 8
  /// Attempts at one roster version: each later one takes the votes of half of the labs.
  public static let proposalAttemptsMax: UInt32 = 64
  /// Proposals of one lab that count in one attempt at a roster version: a lab can approve one.
  public static let proposalsPerAttemptMax = 4
  /// Rounds a contribution's base may stand above the seal that it names: bounds provisional work.
  public static let roundsAboveSealMax = 64
  /// Rounds that a contribution may be late before it weighs nothing.
  public static let latenessMax = 2
  /// Rounds for which payloads are kept where the charter names no number: about as far back as
  /// anybody still finds a fault in a contribution.
  public static let retentionRounds = 256
  /// Contributions that one recall may name.
  public static let recallsMax = 256
  /// Seconds of grace that a change of the rules may set: a week.
  public static let graceSecondsMax = 604_800
  /// Tolerance that a change of the rules may set, in micro-nats per token: ten nats are more than
  /// any text has.
  public static let toleranceMicronatsMax = 10_000_000
  /// Judges of one contribution.
  public static let judgesMax = 16
  /// Bytes in a bundle's note: an echo of 70 bytes for each of 256 labs, and room.
  public static let bundleNoteBytesMax = 32_768
  /// Records in a bundle: a hundred labs' entries of thirty years, and 16 TiB of blocks.
  public static let bundleRecordsMax = 67_108_864
  /// Tokens that one contribution may claim: 2^40, far beyond any round.
  public static let tokensMax: UInt64 = 1_099_511_627_776
}
