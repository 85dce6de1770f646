import Determinism
import Gossip
import Identities
import Ledger
import Records

/// A lab's node as a state machine: everything that it decides, and nothing of what it does.
///
/// The logs, the mesh and the round rule in one value. ``handle(_:at:)`` is told what happened and
/// says what is to be done, in order. No socket, file, clock or chance of its own, and no set or
/// dictionary is iterated, so that the daemon and the simulator run this very code and the same
/// events give the same directives. See Protocol/Rounds.md.
package struct Participant: Sendable {
  /// The time that an event is handled at.
  package struct Moment: Sendable {
    /// On the clock that only moves forwards: what is decided by.
    package var now: Instant
    /// Unix seconds: what is written for people, and what tickets expire by.
    package var wallSeconds: UInt64

    package init(now: Instant, wallSeconds: UInt64) {
      self.now = now
      self.wallSeconds = wallSeconds
    }
  }

  /// What a lab's configuration says of its node.
  package struct Settings: Sendable {
    /// The lab's name.
    package var name: String
    /// What the program calls itself.
    package var software: String
    /// Whether the lab trains, or only judges.
    package var trains: Bool
    /// Members known from a ticket, before their logs are here.
    package var contacts: [Contact]
    /// Whether everything is folded from the charter on, however many payloads that takes.
    package var fromGenesis = false
    /// Whether payloads are kept beyond the charter's retention, and fetched where they are kept.
    package var keepsPayloads = false

    package init(name: String, software: String, trains: Bool, contacts: [Contact] = []) {
      self.name = name
      self.software = software
      self.trains = trains
      self.contacts = contacts
    }
  }

  /// What a node finds on its disk when it starts.
  package struct Position: Sendable {
    /// All entries, replayed and settled.
    package var logbook: Logbook
    /// The merge that the node stood on; nil when there is none that these logs make sense of.
    package var head: Hanse_V1_Merge?
    /// Objects of which nothing is missing.
    package var held: [ContentID]
    /// The states that it may rest on, each of them durable.
    package var foundations: Hanse_V1_Foundations

    package init(
      logbook: Logbook, head: Hanse_V1_Merge?, held: [ContentID],
      foundations: Hanse_V1_Foundations = Hanse_V1_Foundations()
    ) {
      self.logbook = logbook
      self.head = head
      self.held = held
      self.foundations = foundations
    }
  }

  /// Objects wanted at a time: what the mesh takes, with room for the snapshot.
  static let wantedMax = GossipLimits.wantedObjects - 1
  /// Requests of one lab with one ticket that are recorded: a name and addresses set right twice.
  static let requestsPerLab = 3

  package let charter: Charter
  package let lab: LabID
  package let settings: Settings

  package internal(set) var logbook: Logbook
  package internal(set) var mesh: Mesh
  /// Entries that came before what they rest on.
  var waiting = WaitingEntries()
  /// Bytes of their bodies.
  package var waitingBytes: Int { waiting.bytes }

  /// The merge that this node stands on.
  package internal(set) var head: Hanse_V1_Merge { didSet { headID = head.id } }
  /// Its name.
  private(set) var headID: ContentID
  /// Its root, once it has been folded here.
  package internal(set) var headRoot: ContentID?
  /// Objects that are complete here, by the id of their block list.
  package internal(set) var heldObjects: Set<ContentID> { didSet { heldRevision &+= 1 } }
  /// Contributions that are known to be held, until something is lost.
  var knownHeld: Expansion?
  /// Counts the changes of what is held.
  var heldRevision: UInt64 = 0
  var wantedObjects: Set<ContentID> = []
  /// What this node rests on instead of payloads.
  var footing: Footing
  private let written: Hanse_V1_Foundations
  /// Which contributions announced an object: its author's, and whoever's names it too.
  var announced: [ContentID: [ContentID]] = [:]

  /// Whether this node knows that it has its whole log back, so that it may sign.
  package internal(set) var maySign = false
  /// The wall clock's second in which it came to know that.
  var signsSince: UInt64 = 0
  /// Where an entry of the own log stands that another daemon has signed since; from then on this
  /// one signs nothing until it is started anew.
  var signedElsewhere: UInt64?
  /// Whether somebody may have said where this node's log ends since that was last looked at.
  var mayHaveHeard = true
  /// Where this node's log ends with labs that have said so in a file.
  var vouched: [LabID: UInt64] = [:]
  var keyring: Keyring
  var shownKeys: [PublicKey] = []
  var rule: RoundRule
  var shownRosterVersion: UInt32 = 0
  var shownPresences: UInt64 = 0
  /// What a change to approve again follows from, when one was last looked for.
  var renewalSeen: [UInt64] = []
  /// Whether time has passed since the members were last shown.
  var mayShowPresences = true
  var shownMembers: [Gossip.Member] = []
  /// The round that the mesh was last told of, and whose attestations came since.
  var shownRound: UInt32 = 0
  /// The own round when that was found, and whether a log has changed over since.
  var shownFrom: UInt32 = 0
  var mayHaveMoved = false
  var attesters: [LabID] = []
  /// The highest round of each lab's attestations that was over when they were read.
  var endedRounds: [LabID: UInt32] = [:]
  /// When this lab last attested, in this process.
  var attestedAt: Instant?
  /// The logbook's revision when it was last asked whether to attest again.
  var lookedAt: UInt64?
  /// The ledger's statuses, by their revision, under which the head is known to stand.
  var standingSince: UInt64?
  /// The largest sets of contributions that were last found, by the round that they go up to.
  var closures: [(upTo: UInt32, view: ClosureView, set: Expansion)] = []
  /// What has been found of contributions' bases.
  var baseFindings = BaseFindings()
  /// The statuses and the round of which latecomers were last looked for.
  var latecomers: (statuses: UInt64, round: UInt32)?
  /// When branches of logs were last asked for, and how often.
  var branchesAsked: Instant?
  var branchTurn = 0
  /// What was seen when there was last nothing to judge and no larger head.
  var idle: View?
  /// What is known of the round, and what it was last found from.
  var known: (view: View, facts: RoundRule.Facts)?
  /// Who trains, and what that was last found from.
  var knownTrainers: (view: PresenceView, labs: [LabID])?
  /// When an entry last came.
  var quietSince: Instant
  var ownAddresses: [String] = []
  var keys: [LabID: PublicKey] = [:]
  /// The merge that the held-out loss was last measured of.
  var measured: ContentID?
  /// The merge from which the next round's training has been run ahead.
  var prepared: ContentID?
  /// A round in which training changed nothing.
  var abstained: UInt32?

  /// What the mesh has still to be told; it is never entered twice.
  var events: [GossipEvent] = []
  var out: [ParticipantDirective] = []
  var moment: Moment

  /// A node at its start.
  ///
  /// - Parameters:
  ///   - keys: what the home holds; see ``Keyring``.
  ///   - lab: whose node; nil to find the seat by its key, or to name the lab after its first key.
  ///   - generator: gives the mesh's jitter.
  package init(
    charter: Charter, keys: Keyring, lab: LabID? = nil, settings: Settings, position: Position,
    generator: SeededGenerator, at moment: Moment
  ) {
    self.charter = charter
    keyring = keys
    self.settings = settings
    logbook = position.logbook
    logbook.settle()
    _ = logbook.takeChangedLogs()
    let own = lab ?? Self.lab(of: keys.keys[0], in: logbook)
    self.lab = own
    mesh = Mesh(
      lab: own, federation: charter.id, software: settings.software, generator: generator,
      now: moment.now)
    let head = position.head ?? logbook.emptyMerge()
    self.head = head
    headID = head.id
    heldObjects = Set(position.held)
    written = position.foundations
    footing = Footing(
      foundations: written.foundations.compactMap { Foundation($0) }, now: moment.now)
    rule = RoundRule(leastGrace: Double(charter.message.round.graceSeconds))
    quietSince = moment.now
    self.moment = moment
  }

  /// Reads signed entries in another way than each time anew.
  package mutating func read(entriesWith reading: any EntryReading) { mesh.reading = reading }

  /// The lab that this key signs for: its seat's, or the one whose first key it is.
  package static func lab(of key: SigningKey, in logbook: Logbook) -> LabID {
    logbook.roster.member(key: key.publicKey)?.lab ?? LabID(firstKey: key.publicKey)
  }

  /// The highest round that this node has left.
  package var round: UInt32 { head.frontier.round }

  /// Whether this lab has a seat.
  package var isMember: Bool { logbook.roster.member(lab) != nil }

  /// What a merge folds; see ``Ledger/Logbook/landingGroups(of:)``.
  package mutating func landingGroups(
    of merge: Hanse_V1_Merge
  ) throws(LedgerError) -> [LandingGroup] { try logbook.landingGroups(of: merge) }

  /// Takes in what happened and says what is to be done, in order.
  package mutating func handle(
    _ event: ParticipantEvent, at moment: Moment
  ) -> [ParticipantDirective] {
    self.moment = moment
    switch event {
    case .frame(_, let frame):
      switch frame.kind {
      case .hello, .heads: mayHaveHeard = true
      default: break
      }
    case .tick, .began:
      mayHaveHeard = true
      mayShowPresences = true
    case .imported, .vouched: mayHaveHeard = true
    default: break
    }
    switch event {
    case .began(let addresses): begin(addresses)
    case .addresses(let addresses): ownAddresses = addresses
    case .tick: tell(.tick)
    case .pace(let pace): tell(.pace(pace))
    case .connected, .disconnected, .dialFailed, .frame: receive(event)
    case .objectFound, .objectBegun, .blockStored, .blockRefused, .blockNotStored, .blockServed,
      .objectDamaged, .payloadMissing, .snapshotMade, .snapshotChecked,
      .snapshotDamaged:
      takeObject(event)
    case .imported(let entries): verify(imported: entries)
    case .vouched(let lab, let sequence):
      if lab != self.lab { vouched[lab] = max(vouched[lab] ?? 0, sequence) }
    case .objectImported(let object): takeImported(object)
    case .workerIsFree, .folded, .judged, .trained, .abstained, .measured, .prepared: work(event)
    }
    conclude()
    return takeOut()
  }

  /// What has to be done so far, in order.
  mutating func takeOut() -> [ParticipantDirective] {
    defer { out = [] }
    return out
  }

  private mutating func begin(_ addresses: [String]) {
    ownAddresses = addresses
    showRoster()
    for position in logbook.heads {
      if let head = Head(position) { tell(.head(head)) }
    }
    for lab in logbook.labs {
      guard let fork = logbook.forks[lab] else { continue }
      tell(.forked(lab, sequence: fork.sequence, isFirst: true, from: nil))
    }
    noteWhatWasAnnounced()
    refreshCoverage()
    out.append(.spareSnapshots(footing.foundations.map(\.chain)))
    resumeSearch(written)
    for id in heldObjects.sorted() {
      if announced[id] != nil {
        tell(.held(id))
      } else if id != footing.search?.object {
        // Made for somebody in an earlier life, or announced by an entry that is lost.
        forget(id)
      }
    }
  }
}
