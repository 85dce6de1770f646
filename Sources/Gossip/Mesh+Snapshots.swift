import Determinism
import FoundationEssentials
import Identities
import Records

/// A folded state that is looked for, and who says to have it.
struct SnapshotSearch: Sendable {
  /// What a lab said: the object that the snapshot of a root is.
  struct Offer: Hashable, Sendable {
    let root: ContentID
    let object: ContentID
  }

  /// State roots that would do, the most wanted first.
  let roots: [ContentID]
  /// Bytes that every snapshot of the federation has.
  let size: UInt64
  /// Labs that were asked, and when their answers are overdue.
  var asked = OrderedTable<LabID, Instant>()
  var offers = OrderedTable<LabID, Offer>()
  /// Labs that have none of the states, or kept us waiting: not asked again until then.
  var rested = OrderedTable<LabID, Instant>()
  /// Labs that named bytes that were no such state.
  var barred = OrderedTable<LabID, Bool>()
  var firstOffer: Instant?
  /// The offer that is being fetched.
  var chosen: Offer?
  /// Blocks stored of it when it was last looked at, and when that was.
  var progress: (stored: Int, at: Instant)?
  var isGivenUp = false

  init(roots: [ContentID], size: UInt64) {
    self.roots = roots
    self.size = size
  }

  /// The offer that most labs made; of equal ones that of the most wanted root.
  func best() -> Offer? {
    var found: (offer: Offer, votes: Int)?
    for lab in offers.keys {
      guard let offer = offers[lab] else { continue }
      let votes = labs(offering: offer).count
      guard let other = found else {
        found = (offer, votes)
        continue
      }
      let places = (place(of: offer.root), place(of: other.offer.root))
      if votes > other.votes || votes == other.votes && places.0 < places.1 {
        found = (offer, votes)
      }
    }
    return found?.offer
  }

  func labs(offering offer: Offer) -> [LabID] { offers.keys.filter { offers[$0] == offer } }

  private func place(of root: ContentID) -> Int { roots.firstIndex(of: root) ?? roots.count }
}

/// Snapshots: who can give a folded state whose root is attested, and which object it is.
///
/// The bytes of a state are canonical, so all who tell the truth name one object, and its blocks
/// come from all of them as any object's do. Whether the bytes are the state is for the shell to
/// say, once they are here.
extension Mesh {
  mutating func handleSnapshots(_ event: GossipEvent, _ now: Instant) {
    switch event {
    case .wantSnapshot(let roots, let size):
      var search = SnapshotSearch(
        roots: Array(roots.prefix(GossipLimits.snapshotRoots)), size: size)
      if let before = snapshotSearch { search.barred = before.barred }
      snapshotSearch = search
      pursueSnapshot(now)
    case .unwantSnapshot: snapshotSearch = nil
    case .snapshotWrong(let object): snapshotWrong(object, now)
    case .snapshotMade(let id, let root, let object, let size):
      guard links[id]?.isMakingSnapshot == true else { return }
      links[id]?.isMakingSnapshot = false
      var here = Hanse_V1_SnapshotHere()
      if let root, let object {
        here.stateRoot = Data(root.bytes)
        here.object = Data(object.bytes)
        here.size = size
      }
      send(.snapshotHere(here), on: id)
    default: break
    }
  }

  /// Whether entries that somebody has are on their way: what is known now is not all yet.
  public var isFetchingEntries: Bool {
    logs.contains { $0.askedOf != nil || $0.verifying > 0 }
  }

  // MARK: - Serving

  mutating func receivedWantSnapshot(
    _ want: Hanse_V1_WantSnapshot, on id: ConnectionID, _ now: Instant
  ) {
    guard links[id]?.isMakingSnapshot == false,
      want.stateRoots.count <= GossipLimits.snapshotRoots
    else { return fault(.tooManyRequests, on: id, "too many requests for snapshots", now) }
    links[id]?.isMakingSnapshot = true
    let roots = want.stateRoots.compactMap { ContentID(bytes: $0) }
    out.append(.makeSnapshot(id, roots: roots))
  }

  // MARK: - Looking

  mutating func receivedSnapshotHere(
    _ here: Hanse_V1_SnapshotHere, on id: ConnectionID, _ now: Instant
  ) {
    guard let lab = links[id]?.lab else { return }
    guard snapshotSearch?.asked[lab] != nil else {
      // Asked for in an earlier search, or never: it is of no use either way.
      return
    }
    snapshotSearch?.asked[lab] = nil
    guard !here.stateRoot.isEmpty else {
      snapshotSearch?.rested[lab] = now.adding(seconds: GossipLimits.notHeldSeconds)
      return pursueSnapshot(now)
    }
    guard let root = ContentID(bytes: here.stateRoot), let object = ContentID(bytes: here.object),
      let search = snapshotSearch, search.roots.contains(root), here.size == search.size
    else {
      snapshotSearch?.barred[lab] = true
      fault(.badSnapshot, on: id, "names a snapshot that cannot be one", now)
      return pursueSnapshot(now)
    }
    let offer = SnapshotSearch.Offer(root: root, object: object)
    snapshotSearch?.offers[lab] = offer
    if search.firstOffer == nil { snapshotSearch?.firstOffer = now }
    if search.chosen == offer {
      out.append(.snapshotNamed(root: root, object: object, labs: [lab]))
    }
    pursueSnapshot(now)
  }

  /// Asks, chooses and gives up, as far as it is time for that.
  mutating func pursueSnapshot(_ now: Instant) {
    guard snapshotSearch != nil else { return }
    for lab in snapshotSearch?.asked.keys ?? [] {
      guard let due = snapshotSearch?.asked[lab], due <= now || route(to: lab) == nil else {
        continue
      }
      snapshotSearch?.asked[lab] = nil
      snapshotSearch?.rested[lab] = now.adding(seconds: GossipLimits.notHeldSeconds)
    }
    watchSnapshot(now)
    askForSnapshot(now)
    chooseSnapshot(now)
  }

  private mutating func askForSnapshot(_ now: Instant) {
    guard let search = snapshotSearch else { return }
    var room = GossipLimits.snapshotHolders - search.asked.count - search.offers.count
    let open = peers.keys.filter { lab in
      route(to: lab) != nil && search.asked[lab] == nil && search.offers[lab] == nil
        && search.barred[lab] == nil && !(search.rested[lab].map { now < $0 } ?? false)
    }
    for lab in open.shuffled(using: &generator) where room > 0 {
      guard let id = route(to: lab) else { continue }
      room -= 1
      let due = now.adding(seconds: GossipLimits.snapshotSeconds)
      snapshotSearch?.asked[lab] = due
      var want = Hanse_V1_WantSnapshot()
      want.stateRoots = search.roots.map { Data($0.bytes) }
      send(.wantSnapshot(want), on: id)
    }
  }

  private mutating func chooseSnapshot(_ now: Instant) {
    guard let search = snapshotSearch, search.chosen == nil else { return }
    guard let best = search.best() else {
      // Everybody that is there has been asked: the shell may have another way.
      let isAlone = !peers.keys.contains { route(to: $0) != nil }
      guard search.asked.isEmpty, !isAlone, !search.isGivenUp else { return }
      snapshotSearch?.isGivenUp = true
      out.append(.snapshotNowhere)
      return
    }
    let waited = search.firstOffer.map { now.seconds(since: $0) } ?? 0
    guard search.asked.isEmpty || waited >= GossipLimits.snapshotOfferSeconds else { return }
    snapshotSearch?.chosen = best
    snapshotSearch?.progress = (0, now)
    out.append(
      .snapshotNamed(
        root: best.root, object: best.object, labs: search.labs(offering: best)))
  }

  /// Gives an object up that does not come: whoever named it may have named what nobody has.
  private mutating func watchSnapshot(_ now: Instant) {
    guard let search = snapshotSearch, let chosen = search.chosen, let last = search.progress,
      now.seconds(since: last.at) >= GossipLimits.snapshotStallSeconds
    else { return }
    let stored = fetches[chosen.object]?.stored ?? last.stored
    let bytes = Double((stored - last.stored) * GossipLimits.blockBytes)
    let isSlow = bytes < GossipLimits.slowestBytesPerSecond * now.seconds(since: last.at)
    let others = search.offers.keys.contains { search.offers[$0] != chosen }
    // What is slow and alone still comes; what does not move at all is asked for anew.
    guard fetches[chosen.object] != nil, stored == last.stored || isSlow && others else {
      snapshotSearch?.progress = (stored, now)
      return
    }
    for lab in search.labs(offering: chosen) {
      if let id = route(to: lab) {
        fault(.brokenPromise, on: id, "does not send a snapshot that it named", now)
      }
      snapshotSearch?.offers[lab] = nil
      snapshotSearch?.rested[lab] = now.adding(seconds: GossipLimits.notHeldSeconds)
    }
    dropChosen(chosen.object)
    out.append(.snapshotStalled(chosen.object))
  }

  private mutating func snapshotWrong(_ object: ContentID, _ now: Instant) {
    guard let search = snapshotSearch else { return }
    for lab in search.offers.keys where search.offers[lab]?.object == object {
      snapshotSearch?.offers[lab] = nil
      snapshotSearch?.barred[lab] = true
      if let id = route(to: lab) {
        fault(.badSnapshot, on: id, "named bytes that are no state of an attested root", now)
      }
    }
    dropChosen(object)
    pursueSnapshot(now)
  }

  private mutating func dropChosen(_ object: ContentID) {
    snapshotSearch?.chosen = nil
    snapshotSearch?.progress = nil
    forget(object)
  }
}
