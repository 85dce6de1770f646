import Determinism
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Records

/// What a node rests on instead of payloads. Protocol/Rounds.md, "Catching up" and "Retention".
extension Participant {
  /// The state beneath which payloads may be missing here; nil when that is the charter's start.
  package var foundation: Foundation? { footing.lowest }

  /// Every state that is kept to go on from, the lowest first.
  package var foundations: [Foundation] { footing.foundations }

  /// Whether a foundation stands for a contribution, so that its payload is not needed.
  package func isCovered(_ contribution: ContentID) -> Bool {
    footing.covered.contains(contribution)
  }

  /// Whether an object is the payload of a contribution.
  package func isAnnounced(_ object: ContentID) -> Bool { announced[object] != nil }

  /// The rounds between two states that are kept: a quarter of the retention.
  var step: UInt32 { max(1, charter.retention / 4) }

  // MARK: what foundations stand for

  /// The contributions that a foundation stands for; nil while the logs do not make its state of
  /// its merge: entries are still to come, or something of it counts no longer.
  mutating func ground(of foundation: Foundation) -> Set<ContentID>? {
    if let known = footing.grounds[foundation.chain] { return known }
    guard footing.groundless[foundation.chain] != logbook.revision else { return nil }
    guard let expansion = try? logbook.expand(foundation.merge.frontier),
      let groups = try? logbook.landingGroups(of: foundation.merge),
      logbook.chain(of: groups).last == foundation.chain
    else {
      footing.groundless[foundation.chain] = logbook.revision
      return nil
    }
    let members = Set(logbook.members(of: expansion))
    footing.grounds[foundation.chain] = members
    return members
  }

  /// Counts what the lowest foundation stands for as held, as long as the logs show what that is.
  mutating func refreshCoverage() {
    if footing.recounts != logbook.recounts {
      footing.recounts = logbook.recounts
      footing.grounds = [:]
      footing.groundless = [:]
      footing.settled = []
      footing.foldable = []
      if let lowest = footing.lowest, !footing.covered.isEmpty, ground(of: lowest) == nil {
        cover([])
        footing.hasLeft = true
      }
      if let search = footing.search, ground(of: search.target) == nil { endSearch() }
    }
    guard footing.covered.isEmpty, let lowest = footing.lowest,
      let ground = ground(of: lowest), !ground.isEmpty
    else { return }
    cover(ground)
  }

  private mutating func cover(_ members: Set<ContentID>) {
    guard members != footing.covered else { return }
    footing.covered = members
    knownHeld = nil
    footing.foldable = []
    heldRevision &+= 1
  }

  /// Takes other foundations, durably; beneath the lowest of them nothing is needed any more.
  mutating func rest(on foundations: [Foundation]) {
    footing.foundations = foundations
    footing.foldable = []
    let chains = foundations.map(\.chain)
    footing.grounds = footing.grounds.filter { chains.contains($0.key) }
    footing.settled = footing.settled.filter { chains.contains($0) }
    cover(foundations.first.flatMap { ground(of: $0) } ?? [])
    writeFoundations()
    out.append(.spareSnapshots(foundations.map(\.chain)))
  }

  func foundationsMessage() -> Hanse_V1_Foundations {
    var message = Hanse_V1_Foundations()
    message.foundations = footing.foundations.map(\.message)
    if let search = footing.search, let chosen = search.chosen, let object = search.object {
      message.fetching = chosen.message
      message.fetchingObject = Data(object.bytes)
    }
    return message
  }

  mutating func writeFoundations() {
    out.append(.persist([.foundations(foundationsMessage())]))
  }

  // MARK: folding

  /// Whether a merge can be folded from what is here: from a foundation or the start, with every
  /// payload that comes after it.
  mutating func isFoldable(_ merge: Hanse_V1_Merge) -> Bool {
    guard !footing.covered.isEmpty else { return true }
    if footing.foldable.contains(merge.id) { return true }
    // What the ledger cannot take apart, the fold refuses for that reason.
    guard let groups = try? logbook.landingGroups(of: merge) else { return true }
    guard lacking(for: groups).isEmpty else { return false }
    footing.foldable.insert(merge.id)
    return true
  }

  /// Contributions whose payloads a fold needs and that are not here.
  mutating func lacking(for groups: [LandingGroup]) -> [ContentID] {
    let kept = footing.foundations.map(\.chain)
    let first = logbook.chain(of: groups).lastIndex(where: kept.contains) ?? 0
    return groups[first...].flatMap(\.contributions).filter { contribution in
      !contribution.isRecalled && !isPayloadHere(contribution.id)
    }.map(\.id)
  }

  private func isPayloadHere(_ contribution: ContentID) -> Bool {
    logbook.object(of: contribution).map(heldObjects.contains) ?? false
  }

  /// A payload that a fold should not have needed was needed: the state that stood for it is gone.
  mutating func payloadIsMissing(_ contribution: ContentID) {
    guard let state = logbook.contribution(contribution), let object = state.object else { return }
    if isCovered(contribution) {
      rest(on: [])
      footing.hasLeft = true
    }
    lose(object)
    want(state)
  }

  // MARK: keeping states, letting payloads go

  /// Notes a state that was folded and adopted: others may ask for it, and now and then one is
  /// kept to rest on.
  mutating func noteAdopted(_ merge: Hanse_V1_Merge, root: ContentID) {
    guard round > 0, let groups = try? logbook.landingGroups(of: merge),
      case let chain = logbook.chain(of: groups), let name = chain.last
    else { return }
    let state = Foundation(merge: merge, root: root, chain: name)
    footing.adopted.removeAll { $0.root == root }
    footing.adopted.append(state)
    if footing.adopted.count > Footing.adoptedMax { footing.adopted.removeFirst() }
    footing.stuck = nil
    footing.isExposed = false
    guard !settings.keepsPayloads else { return }
    keepMilestone(state, chain)
    advanceFoundation(chain)
  }

  /// Keeps a state every few rounds, and drops those that the head no longer continues.
  private mutating func keepMilestone(_ state: Foundation, _ chain: [ContentID]) {
    // A head that does not continue the lowest was folded from the start: all payloads are here.
    var kept = footing.foundations.filter { foundation in
      chain.contains(foundation.chain)
        || (state.round < foundation.round && ground(of: foundation) == nil)
    }
    if state.round >= (kept.last?.round ?? 0) + step { kept.append(state) }
    if kept != footing.foundations { rest(on: kept) }
  }

  /// Rests on the newest state that is old enough, and lets go of what lies further back.
  ///
  /// Only where a quorum attested the state: whoever comes later and finds the payloads gone can
  /// then take the state instead.
  private mutating func advanceFoundation(_ chain: [ContentID]) {
    let sealed = logbook.sealedRound()
    // A recall that was proposed in time may be approved a while later.
    let (kept, overflow) = charter.retention.addingReportingOverflow(step)
    guard !overflow, sealed > kept else { return }
    let line = sealed - kept
    var old = 0
    for foundation in footing.foundations
    where foundation.round < line && chain.contains(foundation.chain) { old += 1 }
    while old > 0, !isSettled(footing.foundations[old - 1]) { old -= 1 }
    guard old > 0 else { return }
    if old > 1 { rest(on: Array(footing.foundations[(old - 1)...])) }
    letGo(beneath: line)
  }

  /// Whether a state stands for ever, and a quorum of its merge's roster attested its root.
  ///
  /// Labs that forked their logs count as for seals: a quorum leaves room for as many as may lie.
  private mutating func isSettled(_ state: Foundation) -> Bool {
    if footing.settled.contains(state.chain) { return true }
    guard let roster = logbook.roster(version: state.merge.rosterVersion) else { return false }
    let root = Data(state.root.bytes)
    let votes = roster.members.count { seat in
      logbook.log(of: seat.lab).contains { entry in
        guard case .attestation(let attestation)? = entry.message.payload,
          attestation.stateRoot == root
        else { return false }
        return attestation.merge.frontier.members == state.merge.frontier.members
          && attestation.merge.rosterVersion == state.merge.rosterVersion
      }
    }
    guard votes >= roster.sealQuorum, logbook.isSealed(state.merge.frontier) else { return false }
    footing.settled.insert(state.chain)
    return true
  }

  /// Lets payloads go that are further back than the retention and that no fold needs.
  private mutating func letGo(beneath line: UInt32) {
    for id in logbook.contributions(below: line) {
      guard let object = logbook.object(of: id), heldObjects.contains(object),
        let state = logbook.contribution(id)
      else { continue }
      switch state.status {
      case .admitted: guard isCovered(state.id) else { continue }
      case .rejected, .refused: break
      case .pending: continue
      }
      forget(object)
    }
  }

  /// Notes that an object is here no longer.
  mutating func lose(_ object: ContentID) {
    heldObjects.remove(object)
    knownHeld = nil
    tell(.dropped(object))
  }

  /// Takes an object off the disk: it is neither shown nor served any more.
  mutating func forget(_ object: ContentID) {
    lose(object)
    out.append(.forgetObject(object))
  }

  /// Throws when a recall names what lies further back than payloads are kept: nobody could be
  /// sure to fold again without it.
  ///
  /// - Parameter grace: rounds beyond the retention, for what was proposed in time.
  mutating func requireWithinRetention(
    _ recall: Hanse_V1_Recall, grace: UInt32 = 0
  ) throws(Refusal) {
    let sealed = logbook.sealedRound()
    for bytes in recall.contributions {
      guard let id = ContentID(bytes: bytes), let state = logbook.contribution(id),
        state.round < sealed,
        UInt64(sealed - state.round) > UInt64(charter.retention) + UInt64(grace)
      else { continue }
      throw Refusal(
        .refused,
        "contribution \(id.short) is of round \(state.round), and payloads are kept for "
          + "\(charter.retention) rounds below the sealed round \(sealed): a recall reaches no "
          + "further back",
        hint: "what a newer contribution undoes needs no recall")
    }
  }

  /// Whether this node does not approve a proposal, whoever asks for it: a recall that reaches
  /// further back than payloads are kept.
  package mutating func refuses(_ proposal: OpenProposal) -> Bool {
    guard case .recall(let recall)? = proposal.message.change else { return false }
    do { try requireWithinRetention(recall, grace: step) } catch { return true }
    return false
  }

  // MARK: snapshots for others

  /// Has an object made of the first state that is kept here.
  mutating func makeSnapshot(_ connection: ConnectionID, _ roots: [ContentID]) {
    let kept = footing.adopted.reversed() + footing.foundations
    let found = roots.compactMap { root in kept.first { $0.root == root } }
    guard !found.isEmpty else {
      return tell(.snapshotMade(connection, root: nil, object: nil, size: 0))
    }
    out.append(.makeSnapshot(connection, found))
  }

  /// A snapshot was made an object, or could not be.
  mutating func gaveSnapshot(_ connection: ConnectionID, _ root: ContentID?, _ object: ContentID?) {
    if let object, !footing.given.contains(object) {
      footing.given.append(object)
      if footing.given.count > GossipLimits.snapshotsGiven {
        out.append(.forgetObject(footing.given.removeFirst()))
      }
    }
    tell(
      .snapshotMade(
        connection, root: root, object: object, size: charter.snapshotByteCount))
  }
}
