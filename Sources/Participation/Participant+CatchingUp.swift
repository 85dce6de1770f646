import Determinism
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Records

/// How a node that is behind comes to where the others are: payloads, or the state that they lead
/// to, whichever is fewer bytes. Protocol/Rounds.md, "Catching up".
extension Participant {
  /// Seconds between two looks at how far behind this node is.
  private static let lookSeconds = 1.0
  /// Seconds for which payloads are not asked for while entries still come.
  private static let deferSeconds = 30.0
  /// Seconds after which a state is looked for again that nobody had.
  private static let searchSeconds = 60.0
  /// Seconds between two looks for a state: each goes through all that was admitted.
  private static let lookForStateSeconds = 5.0
  /// Seconds after which a state is looked for although payloads would be fewer bytes: nobody
  /// seems to have them any more.
  private static let overdueSeconds = 120.0
  /// Seconds after which a larger head of the same round is caught up with.
  static let missedSeconds = 60.0
  /// Newest states that would do, named in one search; further back only those that are kept.
  private static let newestMax = 32
  /// Attestations of one lab that are looked at, the newest first.
  private static let attestationsMax = 1024
  /// Payloads beneath the foundation that are fetched at a time, so that those above it come first.
  private static let backfillMax = 64

  /// Whether this node waits for a state, or for the logs to say which.
  var isCatchingUp: Bool { footing.search != nil || footing.defers }

  /// Whether what this lab could train now would be too late to weigh anything.
  var isTooLateToTrain: Bool {
    highestAdmittedRound > round + 1 + logbook.roster.rules.merge.latenessLimit
  }

  /// The highest round that has something admitted.
  var highestAdmittedRound: UInt32 {
    logbook.highestAdmittedRound
  }

  /// How it stands with catching up, in a few words.
  package var catchingUp: String {
    var words: [String] = []
    if let foundation { words.append("rests on round \(foundation.round)") }
    if let search = footing.search { words.append("looks for round \(search.target.round)") }
    if let stuck = footing.stuck { words.append("cannot fold round \(stuck.frontier.round)") }
    if footing.isExposed { words.append("fetches beneath") }
    if footing.defers { words.append("waits for entries") }
    if !wantedObjects.isEmpty { words.append("wants \(wantedObjects.count) objects") }
    return words.joined(separator: ", ")
  }

  /// Objects that are wanted and not here, in the order of their ids.
  package var wanted: [ContentID] { wantedObjects.sorted() }

  // MARK: what is wanted

  /// Whether a contribution's payload is not to be fetched now although it is not here.
  func isPassedOver(_ state: ContributionState) -> Bool {
    if footing.defers || footing.passedOver.contains(state.id) { return true }
    guard isCovered(state.id), !footing.isExposed else { return false }
    return !settings.keepsPayloads
  }

  /// The round that this node can go on from at once.
  private var reached: UInt32 {
    max(round, footing.covered.isEmpty ? 0 : footing.lowest?.round ?? 0)
  }

  /// Looks whether entries are still coming to a node that is far behind: it asks for no payloads
  /// before it knows whether it needs them.
  ///
  /// What nobody has judged counts here, since verdicts may come last. Whoever announces a round
  /// that is never reached gains one such wait.
  mutating func noteDistance() {
    let isFar = highestAdmittedRound > reached + 2
    footing.farSince = isFar ? footing.farSince ?? moment.now : nil
    guard logbook.highestRound > reached + 2, !settings.fromGenesis else {
      footing.defers = false
      footing.defersSince = nil
      return
    }
    let since = footing.defersSince ?? moment.now
    footing.defersSince = since
    let seconds = moment.now.seconds(since: since)
    footing.defers =
      seconds < Self.lookSeconds || mesh.isFetchingEntries && seconds < Self.deferSeconds
  }

  /// Decides how to catch up, once a second while there is something to catch up with.
  mutating func catchUp() {
    noteDistance()
    guard !footing.defers, moment.now >= footing.looksAt else { return }
    let isFar = footing.farSince != nil || footing.stuck != nil
    guard isFar || footing.hasLeft || footing.search != nil else { return }
    footing.looksAt = moment.now.adding(seconds: Self.lookSeconds)
    guard footing.search == nil else { return leaveSearchWhenPassed() }
    if isFar, maySearch {
      footing.searchesAt = moment.now.adding(seconds: Self.lookForStateSeconds)
      if beginSearch() { return }
    }
    wantWhatIsLeft()
  }

  private var maySearch: Bool {
    !settings.fromGenesis && moment.now >= footing.searchesAt
      && charter.snapshotByteCount <= UInt64(Limits.payloadBytesMax)
  }

  /// Wants every payload that a fold may need, as many as may be wanted at a time.
  mutating func wantWhatIsLeft() {
    footing.hasLeft = false
    var backfill = 0
    for state in logbook.contributionsInOrder.reversed() {
      guard let object = state.object, !heldObjects.contains(object) else { continue }
      if isCovered(state.id), !isPassedOver(state) {
        backfill += 1
        guard backfill <= Self.backfillMax else {
          footing.hasLeft = true
          continue
        }
      }
      want(state, isDue: true)
    }
  }

  // MARK: the search

  /// Looks for a state when that is fewer bytes than the payloads, or the only way; whether it
  /// does.
  private mutating func beginSearch() -> Bool {
    let goal = logbook.head { _ in true }
    guard let groups = try? logbook.landingGroups(of: goal) else { return false }
    let lacking = lacking(for: groups)
    let isOverdue =
      footing.isExposed
      || (footing.farSince.map {
        moment.now.seconds(since: $0) >= Self.overdueSeconds
      } ?? false)
    let least = isOverdue || footing.stuck != nil ? 0 : charter.snapshotByteCount
    guard bytes(of: lacking) > (isOverdue ? 0 : charter.snapshotByteCount) else {
      // A few payloads beneath the foundation cost less than a state.
      if footing.stuck != nil {
        footing.isExposed = true
        footing.searchesAt = moment.now.adding(seconds: Self.searchSeconds)
      }
      return false
    }
    let candidates = attestedStates(under: groups)
    guard let newest = candidates.first, let ground = ground(of: newest),
      bytes(of: lacking.filter(ground.contains)) > least
    else {
      footing.isExposed = footing.stuck != nil
      return false
    }
    footing.search = Footing.Search(candidates: candidates)
    passOver(ground)
    tell(.wantSnapshot(roots: candidates.map(\.root), size: charter.snapshotByteCount))
    out.append(.news(.looksForState(round: newest.round)))
    return true
  }

  private func bytes(of contributions: [ContentID]) -> UInt64 {
    contributions.reduce(0) { sum, id in
      sum &+ (logbook.contribution(id)?.message.payload.size ?? 0)
    }
  }

  /// Stops fetching what the state that is looked for stands for.
  private mutating func passOver(_ members: Set<ContentID>) {
    footing.passedOver = members
    for state in logbook.contributionsInOrder where members.contains(state.id) {
      guard let object = state.object, wantedObjects.remove(object) != nil else { continue }
      tell(.unwant(object))
      footing.begun.append(object)
    }
    wantWhatIsLeft()
  }

  /// States whose root a quorum attested, of final merges that the way to a head leads over, the
  /// newest first.
  private mutating func attestedStates(under goal: [LandingGroup]) -> [Foundation] {
    let way = logbook.chain(of: goal)
    var found: [Foundation] = []
    for words in attestedMerges() {
      guard found.count < GossipLimits.snapshotRoots else { break }
      guard found.count < Self.newestMax || words.round % step == 0,
        let roster = logbook.roster(version: words.version),
        let root = words.roots.first(where: { root in
          words.roots.count { $0 == root } >= roster.sealQuorum
        }), words.round > 0,
        let merge = words.merges.first(where: { logbook.isSealed($0.frontier) }),
        let groups = try? logbook.landingGroups(of: merge), groups.count < way.count,
        let chain = logbook.chain(of: groups).last, way[groups.count] == chain
      else { continue }
      let state = Foundation(merge: merge, root: root, chain: chain)
      if !footing.foundations.contains(where: { $0.chain == chain }) { found.append(state) }
    }
    return found
  }

  /// What labs attested of one set of contributions under one roster, whichever seal they wrote it
  /// over.
  private struct Words {
    struct Key: Hashable {
      let members: Data
      let version: UInt32
    }

    let round: UInt32
    let version: UInt32
    var merges: [Hanse_V1_Merge] = []
    /// One for each lab that spoke.
    var roots: [ContentID] = []
  }

  /// What labs attested: each lab's newest word on a merge, if it was on the merge's roster. The
  /// highest round first.
  private func attestedMerges() -> [Words] {
    var order: [Words.Key] = []
    var words: [Words.Key: Words] = [:]
    for lab in logbook.labs {
      var spoken: Set<Words.Key> = []
      var count = 0
      for entry in logbook.log(of: lab).reversed() where count < Self.attestationsMax {
        guard case .attestation(let attestation)? = entry.message.payload else { continue }
        count += 1
        let merge = attestation.merge
        let key = Words.Key(members: merge.frontier.members, version: merge.rosterVersion)
        guard let root = ContentID(bytes: attestation.stateRoot), spoken.insert(key).inserted,
          logbook.roster(version: merge.rosterVersion)?.member(lab) != nil
        else { continue }
        if words[key] == nil {
          order.append(key)
          words[key] = Words(round: merge.frontier.round, version: merge.rosterVersion)
        }
        words[key]?.roots.append(root)
        if words[key]?.merges.contains(merge) == false { words[key]?.merges.append(merge) }
      }
    }
    order.sort { one, other in
      let rounds = (words[one]?.round ?? 0, words[other]?.round ?? 0)
      guard rounds.0 == rounds.1 else { return rounds.0 > rounds.1 }
      guard one.members == other.members else {
        return one.members.lexicographicallyPrecedes(other.members)
      }
      return one.version > other.version
    }
    return order.compactMap { words[$0] }
  }

  /// What was fetched all the same, or folded by others' leave, need not be looked for any longer.
  private mutating func leaveSearchWhenPassed() {
    guard let search = footing.search, footing.stuck == nil, search.target.round <= round else {
      return
    }
    endSearch()
  }

  mutating func endSearch() {
    guard let search = footing.search else { return }
    if let object = search.object {
      wantedObjects.remove(object)
      tell(.unwant(object))
      out.append(.forgetObject(object))
    }
    footing.search = nil
    footing.passedOver = []
    footing.hasLeft = true
    tell(.unwantSnapshot)
    if search.chosen != nil { writeFoundations() }
  }

  /// Goes on with a state that was being fetched when the node was stopped.
  mutating func resumeSearch(_ written: Hanse_V1_Foundations) {
    guard maySearch, written.hasFetching, let state = Foundation(written.fetching),
      let object = ContentID(bytes: written.fetchingObject),
      !footing.foundations.contains(state)
    else { return }
    footing.search = Footing.Search(
      candidates: [state], chosen: state, object: object, isResumed: true)
    if let ground = ground(of: state) { footing.passedOver = ground }
    tell(.wantSnapshot(roots: [state.root], size: charter.snapshotByteCount))
    wantedObjects.insert(object)
    out.append(.findObject(object))
  }

  // MARK: what comes of it

  /// Labs named the object that a wanted state is.
  mutating func snapshotNamed(_ root: ContentID, _ object: ContentID, by labs: [LabID]) {
    guard let search = footing.search,
      let state = search.candidates.first(where: { $0.root == root })
    else { return }
    footing.search?.labs = labs
    guard search.object != object else {
      return tell(.want(object, plan: nil, hints: labs, urgency: .max))
    }
    if let other = search.object {
      wantedObjects.remove(other)
      tell(.unwant(other))
      out.append(.forgetObject(other))
    }
    footing.search?.object = object
    footing.search?.chosen = state
    writeFoundations()
    if search.chosen != state, let ground = ground(of: state) { passOver(ground) }
    wantedObjects.insert(object)
    out.append(.findObject(object))
  }

  /// The object that was named did not come.
  mutating func snapshotStalled(_ object: ContentID) {
    guard footing.search?.object == object else { return }
    footing.search?.object = nil
    wantedObjects.remove(object)
    out.append(.forgetObject(object))
  }

  /// Nobody has any of the states: the payloads are fetched after all, or another state next time.
  mutating func snapshotNowhere() {
    guard let search = footing.search else { return }
    endSearch()
    if search.isResumed {
      // That state is gone from everywhere, newer ones may well be there.
      footing.looksAt = moment.now
      footing.searchesAt = moment.now
      return
    }
    footing.searchesAt = moment.now.adding(seconds: Self.searchSeconds)
    footing.isExposed = footing.stuck != nil
    wantWhatIsLeft()
  }

  /// Every block of the state that is looked for is here: now it is seen whether it is that.
  mutating func snapshotIsWhole(_ object: ContentID) {
    guard let state = footing.search?.chosen else { return }
    wantedObjects.remove(object)
    out.append(.checkSnapshot(object, state))
  }

  /// The bytes were read: they are the state, durable under its chain's name, or they are not.
  mutating func snapshotChecked(_ object: ContentID, isGood: Bool) {
    guard let search = footing.search, search.object == object, let state = search.chosen else {
      return
    }
    guard isGood else {
      footing.search?.object = nil
      out.append(.forgetObject(object))
      out.append(.news(.falseSnapshot(root: state.root, labs: search.labs)))
      return tell(.snapshotWrong(object))
    }
    footing.search = nil
    footing.passedOver = []
    footing.stuck = nil
    footing.isExposed = false
    footing.farSince = nil
    tell(.unwantSnapshot)
    rest(on: [state])
    // What is durable now stands for all of this.
    for part in footing.begun where !heldObjects.contains(part) { out.append(.forgetObject(part)) }
    footing.begun = []
    out.append(.forgetObject(object))
    out.append(.news(.restsOn(merge: state.merge.id, round: state.round, root: state.root)))
    wantWhatIsLeft()
  }
}
