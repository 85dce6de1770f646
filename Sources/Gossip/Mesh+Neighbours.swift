import Determinism
import FoundationEssentials
import Identities
import Records

/// Among more labs than a full mesh holds: a few neighbours each, and short visits to the others.
///
/// Who is a member is known from the roster, so that nothing has to be discovered: candidates are
/// drawn from it by the seeded generator. See Protocol/Wire.md, "More than 16 labs".
extension Mesh {
  /// Whether neighbours are kept instead of a connection to every member: the roster alone decides.
  var isSparse: Bool { rosterCount > GossipLimits.fullMeshLabs }

  /// Whom to look at for what is done over connections: among more than a full mesh holds only
  /// those that one stands to. In their order.
  var linkedLabs: [LabID] { isSparse ? linked : peers.keys }

  /// Labs that are neighbours now, in their order.
  public var neighbours: [LabID] {
    linkedLabs.filter { peers[$0]?.bond.isNeighbour == true && route(to: $0) != nil }
  }

  /// What keeps the overlay whole, once a tick.
  mutating func tendNeighbours(_ now: Instant) {
    for lab in linkedLabs { tendBond(to: lab, now) }
    seekNeighbours(now)
    visitIfDue(now)
    visitHolders(now)
  }

  // MARK: - What two labs say to each other

  /// Numbers of `Neighbour.word` in `wire.proto`.
  enum Word {
    static let wanted: UInt32 = 1
    static let urgent: UInt32 = 2
    static let welcome: UInt32 = 3
    static let enough: UInt32 = 4
    static let eager: UInt32 = 5
    static let lazy: UInt32 = 6
  }

  mutating func say(_ word: UInt32, to lab: LabID) {
    guard let id = route(to: lab) else { return }
    var message = Hanse_V1_Neighbour()
    message.word = word
    send(.neighbour(message), on: id)
  }

  mutating func received(_ message: Hanse_V1_Neighbour, from lab: LabID, _ now: Instant) {
    guard let bond = peers[lab]?.bond else { return }
    switch message.word {
    case Word.wanted, Word.urgent:
      let room = mostNeighbours + (message.word == Word.urgent ? GossipLimits.urgentNeighbours : 0)
      guard !isSparse || bond.isNeighbour || bond.askedAt != nil || neighbours.count < room else {
        return say(Word.enough, to: lab)
      }
      say(Word.welcome, to: lab)
      join(lab, now)
    case Word.welcome where bond.isNeighbour: break
    case Word.welcome where bond.askedAt != nil: join(lab, now)
    case Word.welcome: say(Word.enough, to: lab)
    case Word.enough:
      peers[lab]?.bond.isNeighbour = false
      rest(lab, now)
    case Word.eager where bond.isNeighbour: peers[lab]?.bond.isEager = true
    case Word.lazy where bond.isNeighbour: peers[lab]?.bond.isEager = false
    // Said to a neighbour of before, or a word of a later version.
    default: break
    }
  }

  /// A connection has just said hello: whom we dialled to be a neighbour is asked; one that was a
  /// neighbour is asked again, since the other side may have started anew.
  mutating func renewBond(with lab: LabID, on id: ConnectionID, _ now: Instant) {
    guard isSparse, let bond = peers[lab]?.bond, let link = links[id] else { return }
    peers[lab]?.bond.isNeighbour = false
    let isSought = link.dialledByUs && bond.purpose != .visit && bond.purpose != .fetch
    if bond.isNeighbour || isSought { ask(lab, now) }
  }

  private mutating func ask(_ lab: LabID, _ now: Instant) {
    let word = neighbours.isEmpty ? Word.urgent : Word.wanted
    peers[lab]?.bond.askedAt = now
    say(word, to: lab)
  }

  private mutating func join(_ lab: LabID, _ now: Instant) {
    guard let bond = peers[lab]?.bond, !bond.isNeighbour else {
      peers[lab]?.bond.askedAt = nil
      return
    }
    peers[lab]?.bond.isNeighbour = true
    peers[lab]?.bond.askedAt = nil
    // As in Plumtree: what a new link carries in vain shows soon enough that it is not needed.
    peers[lab]?.bond.isEager = true
    if bond.purpose == .exchange {
      peers[lab]?.bond.purpose = .neighbour
      leaveOne(besides: lab, now)
    }
  }

  private mutating func rest(_ lab: LabID, _ now: Instant) {
    peers[lab]?.bond.askedAt = nil
    let seconds =
      neighbours.isEmpty ? GossipLimits.neighbourAnswerSeconds : GossipLimits.restSeconds
    let until = now.adding(seconds: jittered(seconds))
    peers[lab]?.bond.restedUntil = until
  }

  /// Gives up a neighbour that carries nothing, when there are more than wanted.
  private mutating func leaveOne(besides lab: LabID, _ now: Instant) {
    let all = neighbours
    guard all.count > GossipLimits.neighboursWanted else { return }
    let spare = all.filter { other in
      other != lab && peers[other]?.bond.isEager == false
        && peers[other]?.links.allSatisfy { links[$0]?.isBusy == false } == true
    }
    guard let left = spare.randomElement(using: &generator) else { return }
    for id in peers[left]?.links ?? [] { close(id, "another neighbour took its place", now) }
  }

  /// Neighbours accepted at most: more of them where few members can be dialled, so that those who
  /// can only dial find room.
  var mostNeighbours: Int {
    let dialable = 1 + members.count { !$0.addresses.isEmpty }
    let others = max(0, rosterCount - dialable)
    let share = 2 * ((others + dialable - 1) / dialable)
    return min(GossipLimits.neighboursMost + share, GossipLimits.meshLabs)
  }

  // MARK: - Keeping, seeking

  private mutating func tendBond(to lab: LabID, _ now: Instant) {
    guard let bond = peers[lab]?.bond, !bond.isNeighbour, let id = route(to: lab),
      let link = links[id]
    else { return }
    if let asked = bond.askedAt {
      guard now.seconds(since: asked) >= GossipLimits.neighbourAnswerSeconds else { return }
      rest(lab, now)
    }
    let patience =
      !link.dialledByUs
      ? GossipLimits.visitorSeconds
      : isSurveying ? GossipLimits.surveySeconds : GossipLimits.visitSeconds
    guard !link.isBusy, now.seconds(since: link.lastUse) >= patience else { return }
    for id in peers[lab]?.links ?? [] { close(id, "the visit is over", now) }
  }

  /// Asks or dials as many labs as neighbours are lacking.
  private mutating func seekNeighbours(_ now: Instant) {
    let linked = linkedLabs
    let asked = linked.count { peers[$0]?.bond.askedAt != nil }
    var lacking = GossipLimits.neighboursWanted - neighbours.count - asked
    guard lacking > 0 else { return }
    lacking -= dialling { $0 == .neighbour || $0 == .exchange }
    while lacking > 0 {
      let visitors = linked.filter { lab in
        guard let bond = peers[lab]?.bond, route(to: lab) != nil else { return false }
        return !bond.isNeighbour && bond.askedAt == nil && bond.isRested(now)
      }
      if let lab = visitors.randomElement(using: &generator) {
        ask(lab, now)
      } else if let lab = candidate(now) {
        dial(lab, for: .neighbour, now)
      } else {
        return
      }
      lacking -= 1
    }
  }

  /// Dials under way for a purpose.
  private func dialling(_ isMeant: (Bond.Purpose) -> Bool) -> Int {
    peers.count { $0.dialling != nil && $0.links.isEmpty && isMeant($0.bond.purpose) }
  }

  /// A member that may be dialled now, mostly one that somebody has heard of lately.
  private mutating func candidate(
    _ now: Instant, where isMeant: (Shared<Peer>) -> Bool = { _ in true }
  ) -> LabID? {
    let due = peers.keys { peer in
      peer.links.isEmpty && peer.nextDial <= now && peer.bond.isRested(now)
        && peer.addressIndex < peer.addresses.count && !isDialling(peer, now) && isMeant(peer)
    }
    let present = due.filter { isPresent($0, now) }
    let choice = generator.nextUnit() < GossipLimits.presentShare && !present.isEmpty
    return (choice ? present : due).randomElement(using: &generator)
  }

  // MARK: - Visits

  /// Whether this node still lacks the word of more than half of the labs on where its own log
  /// ends. Every hello brings one.
  private var isSurveying: Bool {
    2 * (1 + peers.count { $0.reportedOwn != nil }) <= rosterCount
  }

  /// Visits a member that is no neighbour: what two sides of a healed split differ in crosses over
  /// it, and now and then it becomes a neighbour in the place of another.
  private mutating func visitIfDue(_ now: Instant) {
    guard nextVisit <= now else { return }
    let isSurveying = isSurveying
    let pause = isSurveying ? GossipLimits.surveySeconds / 2 : GossipLimits.shuffleSeconds
    nextVisit = now.adding(seconds: jittered(pause))
    let under = visitsMade + dialling { $0 == .visit }
    guard under < (isSurveying ? GossipLimits.surveyVisits : 1) else { return }
    let lab =
      (isSurveying ? candidate(now, where: { $0.reportedOwn == nil }) : nil) ?? candidate(now)
    guard let lab else { return }
    let exchanges =
      !isSurveying && generator.nextUnit() < GossipLimits.exchangeShare
      && (GossipLimits.neighboursWanted..<mostNeighbours).contains(neighbours.count)
    dial(lab, for: exchanges ? .exchange : .visit, now)
  }

  private var visitsMade: Int {
    links.count { link in
      link.dialledByUs && peers[link.lab]?.bond.isNeighbour == false
        && peers[link.lab]?.bond.purpose == .visit
    }
  }

  /// Makes room for a visitor: who has been idle longest leaves, or else who came last.
  mutating func boundVisits(newest id: ConnectionID, _ now: Instant) {
    guard isSparse else { return }
    let visits = links.values.filter { peers[$0.lab]?.bond.isNeighbour == false }
    guard visits.count > GossipLimits.visitsMost else { return }
    let idle = visits.filter { link in
      link.id != id && !link.dialledByUs && !link.isBusy
        && peers[link.lab]?.bond.askedAt == nil
    }.min { $0.lastUse < $1.lastUse }
    close(idle?.id ?? id, "enough links", now)
  }

  /// Visits whoever should have an object that no connected lab has, so that nothing starves.
  private mutating func visitHolders(_ now: Instant) {
    var visits =
      dialling { $0 == .fetch }
      + linkedLabs.count { lab in
        peers[lab]?.bond.purpose == .fetch && peers[lab]?.bond.isNeighbour == false
      }
    for object in fetchOrder {
      guard let fetch = fetches[object], !hasHolder(fetch) else {
        fetches[object]?.lonelySince = nil
        continue
      }
      guard let since = fetch.lonelySince else {
        fetches[object]?.lonelySince = now
        noteWait(until: now.adding(seconds: GossipLimits.lonelySeconds))
        continue
      }
      guard visits < GossipLimits.fetchVisits,
        now.seconds(since: since) >= GossipLimits.lonelySeconds
      else { continue }
      let hinted = candidate(now, where: { fetch.hints.contains($0.lab) })
      guard let lab = hinted ?? candidate(now) else { continue }
      dial(lab, for: .fetch, now)
      fetches[object]?.lonelySince = now
      noteWait(until: now.adding(seconds: GossipLimits.lonelySeconds))
      visits += 1
    }
  }

  private func hasHolder(_ fetch: Shared<ObjectFetch>) -> Bool {
    !fetch.inFlight.isEmpty || !fetch.storing.isEmpty
      || linked.contains { isHolder($0, of: fetch) && route(to: $0) != nil }
  }
}

/// Where a lab and this one stand to each other among more labs than a full mesh holds.
struct Bond: Sendable {
  /// What a connection to a lab is made for.
  enum Purpose: Sendable {
    /// To be neighbours.
    case neighbour
    /// To be neighbours in the place of another that carries nothing.
    case exchange
    /// To compare logs, and away again.
    case visit
    /// To fetch objects that nobody near has.
    case fetch
  }

  /// What the lab was last dialled for.
  var purpose = Purpose.visit
  /// Both sides have agreed to be neighbours.
  var isNeighbour = false
  /// Since when an answer is awaited.
  var askedAt: Instant?
  /// New entries are pushed to the lab; otherwise only announced.
  var isEager = true
  /// Not asked or dialled again before: it had enough links.
  var restedUntil: Instant?

  func isRested(_ now: Instant) -> Bool { restedUntil.map { $0 <= now } ?? true }
}
