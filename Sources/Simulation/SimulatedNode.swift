import Determinism
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Participation
import Records

/// What a worker was set to, with what it will have found out.
enum Labour {
  case judge(ContentID, Judgement)
  case train(Hanse_V1_Contribution, object: ContentID, bytes: [UInt8])
  case adopt(Hanse_V1_Merge)
  case measure(ContentID)
}

/// A life of a node: in a box of its own, so that a look at it copies nothing.
final class Process {
  var participant: Participant

  init(_ participant: Participant) { self.participant = participant }
}

/// One lab: its machine, its disk, and the participant that runs there.
final class SimulatedNode {
  let index: Int
  let lab: LabID
  /// The first key, after which the lab is named.
  let key: SigningKey
  /// The keys on the disk, and those of them that the transport was last told to show.
  var keys: [SigningKey]
  var shown: [PublicKey]
  /// The key that is to take the first one's place.
  var nextKey: SigningKey?
  /// Whether it has lost the key that the roster names, and waits for the members.
  var hasLostKey = false
  let name: String
  /// How this lab lies, if it does.
  var vice: Fault?

  /// Counts starts: what was meant for an earlier life does not reach a later one.
  var life = 0
  var process: Process?
  var disk = Disk()
  /// Labs known from a ticket.
  var contacts: [Contact] = []
  /// Directives that wait for a sync, and what came in the meantime.
  var pending: ArraySlice<ParticipantDirective> = []
  var inbox: [ParticipantEvent] = []
  var isSyncing = false
  /// Whether the sync at the head of `pending` has begun.
  var isAwaitingSync = false
  /// Nothing is handled before then: the process stands still.
  var frozenUntil: UInt64 = 0
  var looksAt: UInt64?
  var isWorking = false
  /// The members as the transport was last told.
  var members: [(key: PublicKey, lab: LabID)] = []
  /// Wires that end here and are open, in the order of their making.
  var wires: [Int] = []
  var uplinkFree: UInt64 = 0
  /// Whether the members were asked to remove it.
  var isRemoved = false
  var hasJoined = true

  // What this machine is like.
  var bytesPerSecond = 12_500_000.0
  var syncSeconds = 0.004
  var trainSeconds = 10.0
  var judgeSeconds = 0.5
  var clockRate = 1.0
  var clockOffset: UInt64 = 0
  var wallOffset: Int64 = 0

  /// What its worker was last told to do.
  var lastStep: Step?

  // A joiner's ticket, and whom it asks.
  var ticket: SigningKey?
  var askedOf: Int?

  // An equivocator's other branch: at this sequence, shown to those.
  var wantsToFork = false
  var twin: Entry?
  var twinIsFor: [Int] = []

  // What earlier lives received.
  var received = ReceivedCounts()
  var fresh = 0
  var fetchedBytes = 0

  init(index: Int, key: SigningKey, name: String) {
    self.index = index
    self.key = key
    keys = [key]
    shown = [key.publicKey]
    self.name = name
    lab = LabID(firstKey: key.publicKey)
  }

  /// The participant while the node is up, copied.
  var participant: Participant? { process?.participant }
  var isUp: Bool { process != nil }
  var isHonest: Bool { vice == nil }

  /// The time as this machine has it.
  func moment(_ time: UInt64) -> Participant.Moment {
    let own = clockOffset &+ UInt64(Double(time) * clockRate)
    let wall = Int64(1_700_000_000) + Int64(time / 1_000_000_000) + wallOffset
    return Participant.Moment(
      now: Instant(nanoseconds: own), wallSeconds: UInt64(max(0, wall)))
  }
}
