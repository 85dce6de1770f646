import Adapters
import Deltas
import FoundationEssentials
import Identities
import Ledger
import Merging
import Participation
import Records
import Storage
import Synchronization

/// Folds merges into adapters, remembering the states on the way so that a new round costs one
/// step.
///
/// A state is remembered under the chain of groups that led to it, in memory and as snapshots in
/// the store; both only save time, the logs decide.
package actor Folding {
  private nonisolated let executor = QueueExecutor("hanse.folding")
  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    executor.asUnownedSerialExecutor()
  }

  /// A folded merge.
  package struct Folded: Sendable {
    package let state: FoldState
    package let root: ContentID
    /// The names of the states on the way, the start's first: one more than there are groups.
    package let names: [ContentID]
    /// The place in `names` of the state that it began from; those after it were computed.
    package let began: Int
  }

  /// A merge taken apart by the ledger: what lands when, and the announcements behind it.
  package struct Recipe: Sendable {
    package let groups: [LandingGroup]
    package let round: UInt32
    package let messages: [ContentID: Hanse_V1_Contribution]
    /// The rules of each roster version that a group is folded under.
    package let rules: [UInt32: Hanse_V1_MergeRules]

    package init(
      groups: [LandingGroup], round: UInt32, messages: [ContentID: Hanse_V1_Contribution],
      rules: [UInt32: Hanse_V1_MergeRules]
    ) {
      self.rules = rules
      self.groups = groups
      self.round = round
      self.messages = messages
    }
  }

  private static let statesInMemory = 2
  /// Bytes that the states in memory may take together. Larger ones are read from their snapshots:
  /// in seconds, while the next round takes minutes at least.
  package static let stateBytesInMemory = 256 << 20
  private static let rootsInMemory = 16
  private static let snapshotsOnDisk = 4

  private let charter: Charter
  private let layout: AdapterLayout
  private let payloads: Payloads
  private let store: Store
  /// Whether a state may be taken from a snapshot of this name.
  private let isUsable: @Sendable (ContentID) -> Bool
  private let keepsSnapshots: Bool
  private let statesInMemory: Int
  private var remembered: [(key: ContentID, state: FoldState)] = []
  private var roots: [(key: ContentID, root: ContentID)] = []
  private var kept: [ContentID] = []
  /// Chains whose states are not pruned, whatever else is.
  private nonisolated let spared = Mutex<[ContentID]>([])

  /// - Parameter only: nil for the daemon's own folds; else the chains of the states that may be
  ///   begun from, and none to replay everything from the charter.
  package init(
    charter: Charter, store: Store, only: Set<ContentID>? = nil,
    stateBytesInMemory: Int = Folding.stateBytesInMemory
  ) throws {
    self.charter = charter
    layout = try AdapterShapes.layout(of: charter)
    // Unknown rules are said at the start, not in the middle of a round.
    _ = try FoldRules(charter.message.merge)
    payloads = Payloads(store: store, layout: layout)
    self.store = store
    isUsable = { chain in only?.contains(chain) ?? true }
    keepsSnapshots = only == nil
    let fitting = stateBytesInMemory / FoldState.byteCount(of: layout)
    // Without snapshots the last one is the only place to go on from.
    statesInMemory = min(max(fitting, keepsSnapshots ? 0 : 1), Self.statesInMemory)
  }

  /// Runs what reads much, such as the base's files, on this actor's own queue.
  func off<Result: Sendable>(_ body: @Sendable () throws -> Result) throws -> Result { try body() }

  /// The state of a merge. Reads the payloads that are new since the nearest remembered state.
  ///
  /// - Throws: ``NodeError/missingPayload(contribution:)``; where a damaged snapshot is why
  ///   payloads that were let go are needed again, the `StorageError` that names its file.
  package func fold(_ recipe: Recipe) throws -> Folded {
    var damage: (any Error)?
    do {
      return try fold(recipe, &damage)
    } catch NodeError.missingPayload(let contribution) {
      throw damage ?? NodeError.missingPayload(contribution: contribution)
    }
  }

  private func fold(_ recipe: Recipe, _ damage: inout (any Error)?) throws -> Folded {
    let keys = chain(of: recipe)
    var (index, state) = nearest(keys, recipe.groups, &damage)
    let began = index
    while index < recipe.groups.count {
      let group = recipe.groups[index]
      state = try Merging.fold(
        consume state, group: group,
        deltas: { id in
          guard let message = recipe.messages[id] else {
            throw NodeError.missingPayload(contribution: id)
          }
          return try self.payloads.delta(message, of: id)
        }, rules: recipe.rules(of: group))
      index += 1
    }
    let key = keys[keys.count - 1]
    remember(key, state)
    return Folded(state: state, root: root(of: state, key), names: keys, began: began)
  }

  /// Hashed once: a large state is looked at many times in a round.
  private func root(of state: FoldState, _ key: ContentID) -> ContentID {
    if let known = roots.first(where: { $0.key == key }) { return known.root }
    let root = state.root
    roots.append((key, root))
    if roots.count > Self.rootsInMemory { roots.removeFirst() }
    return root
  }

  /// Keeps a snapshot of a merge that was adopted, and forgets older ones.
  package func keep(_ recipe: Recipe, _ folded: Folded) throws {
    guard keepsSnapshots, !store.readOnly else { return }
    let chain = chain(of: recipe)
    let key = chain[chain.count - 1]
    try store.writeSnapshot(key, folded.state.encode)
    kept.removeAll { $0 == key }
    kept.append(key)
    if kept.count > Self.snapshotsOnDisk { kept.removeFirst(kept.count - Self.snapshotsOnDisk) }
    try store.pruneSnapshots(keeping: Set(kept + spared.withLock { $0 }))
  }

  private func chain(of recipe: Recipe) -> [ContentID] {
    LandingGroup.chain(recipe.groups, of: charter, under: recipe.rules)
  }

  /// Lets no state go that is called so.
  nonisolated func spare(_ chains: [ContentID]) { spared.withLock { $0 = chains } }

  // MARK: snapshots of other labs, and for them

  /// Makes an object of the first of these states that is kept; nil when none is.
  func makeObject(of states: [Foundation]) throws -> (root: ContentID, object: ContentID)? {
    for state in states {
      // Read twice, so that it is never in memory as bytes and as numbers at once.
      guard try snapshot(state.chain, round: state.round, root: state.root) != nil,
        let bytes = try store.readSnapshot(state.chain)
      else { continue }
      let list = try BlockList(of: bytes)
      try store.addObject(NodeCore.objectList(list, id: list.id), bytes)
      return (state.root, list.id)
    }
    return nil
  }

  /// Keeps an object's bytes as the state that they are said to be; false when they are not.
  func keep(_ object: ContentID, as state: Foundation) throws -> Bool {
    guard let bytes = try store.readObject(object), isState(bytes, state) else { return false }
    // A file of that name whose bytes are damaged must not stand in the way.
    try store.replaceSnapshot(state.chain, bytes)
    // Not to be pruned before the node has noted that it rests on it.
    kept.append(state.chain)
    spared.withLock { $0.append(state.chain) }
    return true
  }

  private func isState(_ bytes: [UInt8], _ foundation: Foundation) -> Bool {
    do {
      _ = try FoldState(
        decoding: bytes, layout: layout, round: foundation.round, root: foundation.root)
      return true
    } catch {
      return false
    }
  }

  /// The state that is kept under a name; nil when there is none, or another.
  private func snapshot(_ chain: ContentID, round: UInt32, root: ContentID?) throws -> FoldState? {
    do {
      return try store.readSnapshot(chain) { reader in
        try FoldState(decoding: reader.byteCount, layout: layout, round: round, root: root) {
          reader.fill($0)
        }
      }
    } catch is FoldError {
      return nil
    }
  }

  private func nearest(
    _ keys: [ContentID], _ groups: [LandingGroup], _ damage: inout (any Error)?
  ) -> (Int, FoldState) {
    for index in stride(from: keys.count - 1, through: 0, by: -1) {
      if let known = remembered.first(where: { $0.key == keys[index] }) {
        return (index, known.state)
      }
      guard index > 0, isUsable(keys[index]) else { continue }
      do {
        let round = groups[index - 1].round
        if let state = try snapshot(keys[index], round: round, root: nil) { return (index, state) }
      } catch {
        damage = damage ?? error
      }
    }
    return (0, FoldState.start(layout: layout, seed: Array(charter.message.adapter.seed)))
  }

  private func remember(_ key: ContentID, _ state: FoldState) {
    remembered.removeAll { $0.key == key }
    remembered.append((key, state))
    let excess = remembered.count - statesInMemory
    if excess > 0 { remembered.removeFirst(excess) }
  }
}

extension Folding.Recipe {
  /// Everything needed to fold a merge that the ledger has taken apart.
  package init(_ merge: Hanse_V1_Merge, groups: [LandingGroup], in logbook: Logbook) {
    var messages: [ContentID: Hanse_V1_Contribution] = [:]
    for group in groups {
      for contribution in group.contributions {
        messages[contribution.id] = logbook.contribution(contribution.id)?.message
      }
    }
    self.init(
      groups: groups, round: merge.frontier.round, messages: messages,
      rules: logbook.mergeRules(of: groups))
  }

  /// What a group is folded under.
  func rules(of group: LandingGroup) throws -> FoldRules {
    guard let message = rules[group.rosterVersion] else {
      throw NodeError.notFound("roster version \(group.rosterVersion)")
    }
    return try FoldRules(message)
  }
}

extension Logbook {
  /// Everything needed to fold a merge.
  package mutating func recipe(for merge: Hanse_V1_Merge) throws -> Folding.Recipe {
    Folding.Recipe(merge, groups: try landingGroups(of: merge), in: self)
  }
}
