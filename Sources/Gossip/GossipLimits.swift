import Records

/// Every number that Gossip goes by, each with its reason; Protocol/Limits.md, "Wire", lists them.
public enum GossipLimits {
  /// Seconds of silence after which a ping is sent: a quarter of a minute finds a dead route well
  /// before the next round needs it and costs 4 frames a minute.
  public static let pingSeconds = 15.0
  /// Seconds of silence after which a connection is given up: a machine that trains answers late.
  public static let silenceSeconds = 90.0
  /// Seconds between two pings on a busy connection, so that its round trip stays known.
  public static let roundTripSeconds = 60.0
  /// A gap between two calls that is longer than this was our own sleep, not the peers' silence.
  public static let ownSleepSeconds = 10.0
  /// Seconds between two announcements of all heads to a peer: repairs whatever pushing missed.
  public static let headsSeconds = 30.0
  /// Seconds that a foreign entry is given to arrive by itself before its head is announced to a
  /// peer: longer than most round trips, short beside a round.
  public static let announceSeconds = 0.25
  /// Seconds that an entry announced by another than its author is waited for when its author is
  /// connected too: its own push is most likely on the way.
  public static let patientSeconds = 0.5
  /// Seconds for which a peer that had to ask for a lab's entry gets that lab's next ones pushed.
  public static let graftSeconds = 300.0
  /// Seconds in which asked-for entries must come before another peer is asked.
  public static let entriesSeconds = 30.0
  /// Entries asked for at once; a frame of 1 MiB holds a few thousand ordinary ones.
  public static let entriesPerRequest = 1024
  /// Entries that may be at the shell for verification: about a second of signature checks.
  public static let entriesInVerification = 16_384
  /// Bytes of entries that may be at the shell for verification: eight full frames.
  public static let bytesInVerification = 8 * Limits.frameBytesMax
  /// Entries of a branch asked for at once when the point is sought where two branches part.
  public static let branchStep: UInt64 = 64

  /// Seconds before the first dial by the lab that waits for the other side to dial first.
  public static let politeSeconds = 1.0
  /// Seconds before the second dial; doubled at each further one.
  public static let dialFirstSeconds = 1.0
  /// Seconds between two dials at most: an absent lab that returns is found within a minute.
  public static let dialLastSeconds = 60.0
  /// Seconds a connection must have lived for the dialling delay to start over.
  public static let steadySeconds = 30.0
  /// Seconds two connections between the same labs go on side by side, so that nothing that is
  /// under way on the one to be closed gets lost.
  public static let overlapSeconds = 2.0
  /// Connections kept to one lab; the third closes the oldest.
  public static let connectionsPerLab = 2
  /// Labs of a roster up to which every two keep a connection: 120 in all, and each entry crosses
  /// each member's wire once.
  public static let fullMeshLabs = 16
  /// Connections at most, beyond which nobody is dialled.
  public static let meshLabs = 128

  /// Neighbours that a lab keeps among more than 16: HyParView's number, which keeps 100 labs in
  /// one piece when a third of them is gone.
  public static let neighboursWanted = 5
  /// Neighbours that a lab accepts: room for everybody to find as many as it wants.
  public static let neighboursMost = 8
  /// Neighbours accepted above that from labs that have none.
  public static let urgentNeighbours = 4
  /// Seconds in which a lab says whether it wants us as a neighbour.
  public static let neighbourAnswerSeconds = 10.0
  /// Seconds for which a lab that had enough neighbours is not asked again.
  public static let restSeconds = 60.0
  /// Seconds between two visits to a lab that is no neighbour: a healed split is noticed within
  /// one of them, since half of all labs call on the other half.
  public static let shuffleSeconds = 30.0
  /// Share of the visits that make a neighbour in the place of an idle one, so that two halves
  /// grow together again.
  public static let exchangeShare = 0.25
  /// Share of the dials that go to labs that somebody has lately heard of; the rest looks for those
  /// that nobody has.
  public static let presentShare = 0.75
  /// Seconds without use after which a visitor takes its leave.
  public static let visitSeconds = 5.0
  /// Seconds without use after which a visitor is shown out: longer than it means to stay.
  public static let visitorSeconds = 30.0
  /// Links to labs that are no neighbours, kept at once.
  public static let visitsMost = 16
  /// Visits at once while a node asks more than half of the labs where its own log ends.
  public static let surveyVisits = 4
  /// Seconds that such a visit takes: the hello has said it.
  public static let surveySeconds = 1.0
  /// Visits at once for objects that nobody connected has.
  public static let fetchVisits = 2
  /// Seconds that an object is waited for before a lab is visited that should have it: neighbours
  /// may be about to have it.
  public static let lonelySeconds = 5.0
  /// Seconds that a push is waited for when a neighbour has announced the entry: longer than a way
  /// of a few hops. A slower link of the tree is replaced by the faster one.
  public static let treeSeconds = 1.0
  /// Seconds for which a lab that somebody heard counts as present: word of it needs up to 30 for
  /// each hop.
  public static let presentSeconds = 180.0

  /// Bytes of a block: small enough that control frames overtake it, large enough that a request
  /// for each costs nothing.
  public static let blockBytes = Limits.blockBytesMax
  /// The index that asks for an object's block list.
  public static let blockListIndex = UInt32.max
  /// Blocks of one object: as many as the largest payload has.
  public static let blocksPerObject = Limits.payloadBytesMax / Limits.blockBytesMax
  /// Blocks asked of a peer at once at first; one that has sent a bad block is asked for one.
  public static let windowFirst = 4
  /// Blocks asked of a peer at once at most: 4 MiB keeps 300 Mbit/s over 100 ms busy.
  public static let windowLast = 16
  /// Seconds of a rate that may be moved at once after a pause: more than between two ticks, so
  /// that the rate is reached, and little more.
  public static let bucketSeconds = 1.25
  /// Seconds between two tellings of which blocks are held of an object that is being fetched.
  public static let partSeconds = 2.0
  /// Objects whose held blocks are told in one frame, and remembered of one peer.
  public static let partsPerHave = 64
  /// Seconds after which the last blocks of an object are asked of another holder too, at least.
  public static let endgameSeconds = 5.0
  /// How many times as long as usual such a block must have taken: on a thin line all are slow.
  public static let endgameFactor = 3.0
  /// Blocks over which it is averaged what is usual.
  public static let usualBlocks = 16.0
  /// Blocks of an object for each that may be asked for twice so: 1/64 is what the wire gives up.
  public static let blocksPerDouble = 64
  /// Blocks asked for in all, until they are stored: 12 MiB of memory.
  public static let blocksInFlight = 48
  /// Seconds granted to any request for a block before its size is counted.
  public static let blockSeconds = 20.0
  /// Bytes a second that the slowest acceptable peer sends, for deadlines.
  public static let slowestBytesPerSecond = 32.0 * 1024
  /// Seconds for which a peer that answered "not held" is not asked for that object again.
  public static let notHeldSeconds = 60.0
  /// Deadlines a lone holder may miss on one block before the block is asked for again.
  public static let patience = 3
  /// Bad blocks of an object after which a peer is not asked for the object again.
  public static let badBlocksPerObject = 3
  /// Objects wanted at once: four rounds of a full roster.
  public static let wantedObjects = 4 * Limits.labsMax
  /// Objects named in a frame of what is held.
  public static let objectsPerHave = 1024
  /// Objects remembered as held by a peer, and as held here to be announced: 128 KiB of ids.
  public static let objectsPerPeer = 4096

  /// State roots named in one request for a snapshot: those of a few dozen rounds.
  public static let snapshotRoots = 64
  /// Labs asked for a snapshot at once, and fetched from: more make nothing quicker.
  public static let snapshotHolders = 4
  /// Objects of snapshots kept for others to fetch, beside the snapshots themselves.
  public static let snapshotsGiven = 2
  /// Seconds that a lab is given to say which object a snapshot is: it may have gigabytes to hash.
  public static let snapshotSeconds = 120.0
  /// Seconds from the first answer to the choice: what most of those asked say goes first.
  public static let snapshotOfferSeconds = 3.0
  /// Seconds in which a snapshot must come nearer, or another offer is taken.
  public static let snapshotStallSeconds = 60.0

  /// Requests for blocks that a peer may have waiting here; twice what a peer asks at once.
  public static let serveQueue = 32
  /// Blocks on the way to one peer, so that one cannot take the memory of all: 1 MiB.
  public static let servedPerPeer = 4
  /// Blocks on the way to all peers together: 8 MiB.
  public static let servedInAll = 32
  /// Faults of one connection after which it is closed; a mistaken peer comes back, a flood ends.
  public static let faultsPerConnection = 64
  /// Logs named in one frame of heads: those of four full rosters, one after the other.
  public static let headsPerFrame = 4 * Limits.labsMax
  /// Requests for entries of one peer that are being answered at once: one to catch up, one to
  /// find where branches part, and as many again that crossed with a new connection.
  public static let entryRequestsPerPeer = 4
  /// Seconds after which an entry that rested on others is tried again.
  public static let deferSeconds = 5.0
  /// The same at most: it is doubled each time, since what came is kept here.
  public static let deferSecondsMax = 60.0
  /// Seconds for which a peer that could not give what it claimed to have is not asked again.
  public static let unhelpfulSeconds = 60.0
  /// Times that a peer may claim more of a node's own log and give none of it, before a node that
  /// has just started no longer waits for it with signing.
  public static let emptyClaims = 3
  /// Entries of a log whose ids are remembered, to know duplicates without asking storage.
  public static let recentEntries = 64
  /// Seconds after which a dial that reported nothing is taken for lost.
  public static let dialLostSeconds = 60.0

  /// Entries of a lab fetched in one round of a federation of `labs`: honest labs stay far below
  /// (a contribution, a verdict for each, three attempts), a flooder delays only itself.
  public static func entriesPerRound(labs: Int) -> UInt64 { UInt64(4 * max(labs, 1) + 64) }

  /// Entries of a lab fetched beyond that for each ``trickleSeconds`` that the round lasts: rounds
  /// may end, and even then all nodes must come to know the same logs.
  public static func entriesTrickle(labs: Int) -> UInt64 { UInt64(max(labs, 1) + 16) }
  /// Seconds between two such grants: slower than anybody reads what a flooder writes.
  public static let trickleSeconds = 60.0
}
