import Adapters
import Deltas
import FoundationEssentials
import Identities
import Ledger
import Merging
import Records
import Storage

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
  private static let snapshotsOnDisk = 4

  private let charter: Charter
  private let layout: AdapterLayout
  private let payloads: Payloads
  private let store: Store
  private let usesSnapshots: Bool
  private var remembered: [(key: ContentID, state: FoldState)] = []
  private var kept: [ContentID] = []

  /// - Parameter usesSnapshots: false replays everything from the charter.
  package init(charter: Charter, store: Store, usesSnapshots: Bool = true) throws {
    self.charter = charter
    layout = try AdapterShapes.layout(of: charter)
    // Unknown rules are said at the start, not in the middle of a round.
    _ = try FoldRules(charter.message.merge)
    payloads = Payloads(store: store, layout: layout)
    self.store = store
    self.usesSnapshots = usesSnapshots
  }

  /// Runs what reads much, such as the base's files, on this actor's own queue.
  func off<Result: Sendable>(_ body: @Sendable () throws -> Result) throws -> Result { try body() }

  /// The state of a merge. Reads the payloads that are new since the nearest remembered state.
  package func fold(_ recipe: Recipe) throws -> Folded {
    var keys = [ContentID(of: charter.bytes, kind: .merge)]
    for group in recipe.groups {
      keys.append(try Self.key(after: keys[keys.count - 1], group, recipe.rules(of: group)))
    }
    var (index, state) = nearest(keys, recipe.groups)
    while index < recipe.groups.count {
      let group = recipe.groups[index]
      state = try Merging.fold(
        state, group: group,
        deltas: { id in
          guard let message = recipe.messages[id] else {
            throw NodeError.missingPayload(contribution: id)
          }
          return try self.payloads.delta(message, of: id)
        }, rules: recipe.rules(of: group))
      index += 1
    }
    remember(keys[keys.count - 1], state)
    return Folded(state: state, root: state.root)
  }

  /// Keeps a snapshot of a merge that was adopted, and forgets older ones.
  package func keep(_ recipe: Recipe, _ folded: Folded) throws {
    guard usesSnapshots, !store.readOnly else { return }
    var key = ContentID(of: charter.bytes, kind: .merge)
    for group in recipe.groups { key = try Self.key(after: key, group, recipe.rules(of: group)) }
    try store.writeSnapshot(key, folded.state.encoded())
    kept.removeAll { $0 == key }
    kept.append(key)
    if kept.count > Self.snapshotsOnDisk { kept.removeFirst(kept.count - Self.snapshotsOnDisk) }
    try store.pruneSnapshots(keeping: Set(kept))
  }

  private func nearest(_ keys: [ContentID], _ groups: [LandingGroup]) -> (Int, FoldState) {
    for index in stride(from: keys.count - 1, through: 0, by: -1) {
      if let known = remembered.first(where: { $0.key == keys[index] }) {
        return (index, known.state)
      }
      guard usesSnapshots, index > 0,
        let bytes = try? store.readSnapshot(keys[index]),
        let state = try? FoldState(
          decoding: bytes, layout: layout, round: groups[index - 1].round, root: nil)
      else { continue }
      return (index, state)
    }
    return (0, FoldState.start(layout: layout, seed: Array(charter.message.adapter.seed)))
  }

  private func remember(_ key: ContentID, _ state: FoldState) {
    remembered.removeAll { $0.key == key }
    remembered.append((key, state))
    if remembered.count > Self.statesInMemory { remembered.removeFirst() }
  }

  /// Names a chain of groups by everything that the fold reads of it but the payloads, which the
  /// contribution ids name.
  private static func key(
    after key: ContentID, _ group: LandingGroup, _ rules: FoldRules
  ) -> ContentID {
    var bytes = key.bytes + group.round.littleEndianBytes
    bytes += Array(rules.rule.rawValue.utf8) + rules.outerRate.littleEndianBytes
    bytes += rules.momentum.littleEndianBytes + rules.latenessLimit.littleEndianBytes
    for contribution in group.contributions {
      bytes += contribution.id.bytes
      bytes.append(contribution.isRecalled ? 1 : 0)
    }
    return ContentID(of: bytes, kind: .merge)
  }
}

extension Folding.Recipe {
  /// Everything needed to fold a merge that the ledger has taken apart.
  package init(_ merge: Hanse_V1_Merge, groups: [LandingGroup], in logbook: Logbook) {
    var messages: [ContentID: Hanse_V1_Contribution] = [:]
    var rules: [UInt32: Hanse_V1_MergeRules] = [:]
    for group in groups {
      rules[group.rosterVersion] = logbook.roster(version: group.rosterVersion)?.rules.merge
      for contribution in group.contributions {
        messages[contribution.id] = logbook.contribution(contribution.id)?.message
      }
    }
    self.init(groups: groups, round: merge.frontier.round, messages: messages, rules: rules)
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
