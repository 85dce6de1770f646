import Identities
import Records

/// How far the logs have been read, and what waits for entries that are still to come.
///
/// Entries are read once, as they come. Nothing that is kept here depends on the order in which
/// they do: what has to be read anew (an equivocation, a removal) begins from the start.
struct Reading: Sendable {
  /// Entries read of each log.
  var next: [LabID: Int] = [:]
  /// The roster version that the last counting entry of each log names.
  var version: [LabID: UInt32] = [:]
  /// Rounds and attempts that each author has contributed to.
  var places: [LabID: Set<UInt64>] = [:]
  /// Verdicts on contributions that are not here, each log's in its order.
  var early: [ContentID: [EarlyVerdict]] = [:]
  /// Contributions whose citations are not here.
  var uncited: [ContentID] = []
  /// What each lab last said about itself.
  var presences: [LabID: Hanse_V1_Presence] = [:]
  /// Counts the presences.
  var presenceCount: UInt64 = 0

  struct EarlyVerdict: Sendable {
    let entry: Entry
    let verdict: Hanse_V1_Verdict
  }
}

/// A contribution's place in the order of rounds and ids.
struct Standing: Comparable, Sendable {
  let round: UInt32
  let id: ContentID
  /// Its number here; see ``Places``.
  let place: Int

  static func < (left: Self, right: Self) -> Bool {
    left.round == right.round ? left.id < right.id : left.round < right.round
  }
}

extension [Standing] {
  /// Where a place is, or belongs.
  func place(of standing: Standing) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if self[middle] < standing { low = middle + 1 } else { high = middle }
    }
    return low
  }

  mutating func add(_ standing: Standing) { insert(standing, at: place(of: standing)) }

  mutating func take(_ standing: Standing) {
    let index = place(of: standing)
    if index < count, self[index] == standing { remove(at: index) }
  }

  /// Those of a round and later ones.
  func fromRound(_ round: UInt32) -> ArraySlice<Standing> {
    self[place(of: Standing(round: round, id: .lowest, place: 0))...]
  }

  /// Those of one round.
  func ids(ofRound round: UInt32) -> [ContentID] {
    let start = place(of: Standing(round: round, id: .lowest, place: 0))
    return self[start...].prefix { $0.round == round }.map(\.id)
  }
}

extension ContentID {
  fileprivate static let lowest = ContentID(bytes: [UInt8](repeating: 0, count: byteCount))!
}

extension Logbook {
  /// Reads what of a log is new and counts.
  mutating func read(_ lab: LabID) {
    let entries = log(of: lab)
    let last = lastCounting(lab)
    var index = reading.next[lab] ?? 0
    while index < entries.count, entries[index].sequence <= last {
      let entry = entries[index]
      index += 1
      guard entry.rosterVersion >= reading.version[lab] ?? 0 else { continue }
      reading.version[lab] = entry.rosterVersion
      switch entry.message.payload {
      case .contribution(let message): read(entry, message)
      case .verdict(let verdict):
        guard let id = ContentID(bytes: verdict.contribution) else { continue }
        if contributions[id] == nil {
          reading.early[id, default: []].append(.init(entry: entry, verdict: verdict))
        } else {
          count(verdict, in: entry, on: id)
        }
      case .presence(let presence):
        reading.presences[lab] = presence
        reading.presenceCount += 1
      default: break
      }
    }
    reading.next[lab] = index
  }

  private mutating func read(_ entry: Entry, _ message: Hanse_V1_Contribution) {
    let place = UInt64(message.round) << 32 | UInt64(message.attempt)
    let isFirst = reading.places[entry.lab, default: []].insert(place).inserted
    var state = state(of: entry, message, isFirst: isFirst)
    state.conclude()
    let standing = Standing(
      round: message.round, id: entry.id, place: places.place(of: entry.id))
    contributions[entry.id] = state
    contributionOrder.add(standing)
    statusRevision += 1
    if state.status == .pending { enlist(state) }
    if state.status == .admitted { admitted.insert(standing.place) }
    if state.isJudged { decided.append(entry.id) }
    if state.lacksCitations { reading.uncited.append(entry.id) }
    changed.append(entry.id)
    for early in reading.early.removeValue(forKey: entry.id) ?? [] {
      count(early.verdict, in: early.entry, on: entry.id)
    }
  }

  /// Counts a judge's verdict, if it is its first.
  private mutating func count(_ verdict: Hanse_V1_Verdict, in entry: Entry, on id: ContentID) {
    guard let state = contributions[id], state.judges.contains(entry.lab),
      !state.judgements.contains(where: { $0.judge == entry.lab })
    else { return }
    contributions[id]?.judgements.append(
      .init(
        judge: entry.lab, entry: entry.id, sequence: entry.sequence, verdict: verdict,
        accepts: verdict.accept))
    let standing = standing(of: state)
    duties[entry.lab]?.take(standing)
    conclude(id)
  }

  private mutating func standing(of state: ContributionState) -> Standing {
    Standing(round: state.round, id: state.id, place: places.place(of: state.id))
  }

  /// Notes that a contribution waits for its judges.
  private mutating func enlist(_ state: ContributionState) {
    let standing = standing(of: state)
    pendingOrder.add(standing)
    for judge in state.judges where !state.judgements.contains(where: { $0.judge == judge }) {
      duties[judge, default: []].add(standing)
    }
  }

  /// Notes that a contribution waits for nobody any more.
  private mutating func discharge(_ state: ContributionState) {
    let standing = standing(of: state)
    pendingOrder.take(standing)
    for judge in state.judges { duties[judge]?.take(standing) }
  }

  private mutating func conclude(_ id: ContentID) {
    let before = contributions[id]?.status
    contributions[id]?.conclude()
    guard let state = contributions[id] else { return }
    if state.status != before {
      statusRevision += 1
      if state.status == .admitted { admitted.insert(places.place(of: id)) }
      if state.isJudged { decided.append(id) }
      if state.isDecided { discharge(state) }
    }
    changed.append(id)
  }

  /// Looks again at attempts whose citations were not here.
  mutating func readCitations() {
    guard !reading.uncited.isEmpty else { return }
    let uncited = reading.uncited
    reading.uncited = []
    for id in uncited {
      guard let state = contributions[id] else { continue }
      guard citesEnough(state.entry, state.message, within: nil) else {
        reading.uncited.append(id)
        continue
      }
      contributions[id]?.lacksCitations = false
      contributions[id]?.status = .pending
      statusRevision += 1
      enlist(state)
      conclude(id)
    }
  }
}
