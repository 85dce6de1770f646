/// What may go wrong in a schedule. What of it does, when and how badly, follows from the seed.
package enum Fault: String, CaseIterable, Sendable {
  /// Connections end without a reason, with what was on the way.
  case breaks
  /// Frames of entries, heads and objects come twice.
  case repeats
  /// Nodes cannot reach each other: in halves, one, one way only, again and again.
  case partitions
  /// Nodes die, lose what was not synced, and start again.
  case crashes
  /// Syncing takes long.
  case disks
  /// Clocks are wrong, run too fast or too slow.
  case clocks
  /// Processes stand still for a while.
  case pauses
  /// Labs join while the others work.
  case joins
  /// The members remove a lab.
  case leaves
  /// The members take contributions out of the fold.
  case recalls
  /// A lab signs two entries at one place and shows one to some, the other to others.
  case equivocators
  /// A lab takes requests for blocks and never answers.
  case withholders
  /// A lab writes far more than anybody wants to read.
  case flooders
  /// A lab judges against what it measured, attests wrong roots, sends wrong blocks and announces
  /// what its payload is not.
  case liars
  /// Labs take new keys, and one loses its key and is given another by the members.
  case rotations
  /// The members change the rules.
  case rules

  /// Whether it makes a lab dishonest.
  var isByzantine: Bool {
    switch self {
    case .equivocators, .withholders, .flooders, .liars: true
    default: false
    }
  }
}

/// One run: everything about it follows from these.
package struct Schedule: Sendable {
  /// Labs, those that join later included. At least 1.
  package var nodes: Int
  /// Rounds that the federation is to get through.
  package var rounds: UInt32
  /// Decides everything else.
  package var seed: UInt64
  /// What may go wrong.
  package var faults: [Fault]
  /// Whether labs join, and one comes back, when most rounds are over.
  package var hasLatecomers: Bool
  /// Rounds for which the charter has payloads kept.
  package var retention: UInt32

  package init(
    nodes: Int, rounds: UInt32, seed: UInt64, faults: [Fault] = Fault.allCases,
    hasLatecomers: Bool = false, retention: UInt32 = 256
  ) {
    self.hasLatecomers = hasLatecomers
    self.retention = retention
    self.nodes = nodes
    self.rounds = rounds
    self.seed = seed
    self.faults = faults
  }
}

/// What a schedule led to.
package struct Outcome: Sendable {
  /// Its seed.
  package var seed: UInt64
  /// Follows from every happening, when and where: the same for the same seed, in any process.
  package var trace: UInt64
  /// Distinct pairs of head and root among the healthy nodes at the end.
  package var roots: Int
  /// The highest round that a healthy node stands on.
  package var round: UInt32
  /// Entries received beyond those that were new, for each of those that were.
  package var redundancy: Double
  /// Entries of honest labs that one healthy node has and another has not.
  package var missed: Int
  /// Bytes of blocks received for each byte of the objects they made.
  package var payloadRatio: Double
  /// States that were fetched instead of the payloads before them.
  package var statesFetched: Int
  /// Snapshots that were fetched and turned out to be none.
  package var falseSnapshots: Int
  /// Labs whose key is another than their first.
  package var keysReplaced: Int
  /// Whether the rules are others than the charter's.
  package var haveRulesChanged: Bool
  /// Payloads that were let go since no fold needs them any more.
  package var payloadsLetGo: Int
  /// How long it took in virtual time.
  package var virtualSeconds: Double
  /// Happenings.
  package var happenings: Int
  /// What must not happen and did, in the order in which it was seen.
  package var violations: [String]
  /// Why it is no fault that the healthy nodes are not at one; nil when they are, or when it is
  /// one.
  package var excuse: String?
  /// What this schedule had in it, for the curious.
  package var weather: [String]

  /// Whether everything was as it must be.
  package var passed: Bool { violations.isEmpty }
}
