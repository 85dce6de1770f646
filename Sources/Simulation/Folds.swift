import Adapters
import Deltas
import FoundationEssentials
import Identities
import Ledger
import Merging
import Participation
import Records

/// The folds of all nodes of a world, each done once.
///
/// A fold is a pure function of what is folded, so two nodes that fold the same groups share the
/// work; what differs from node to node is which groups the ledger makes of a merge, and that is
/// asked of each node's own.
struct Folds {
  let layout: AdapterLayout
  private let start: FoldState
  private let charter: Charter
  private var states: [ContentID: FoldState] = [:]
  private var roots: [ContentID: ContentID] = [:]
  private var deltas: [ContentID: Result<Delta, DeltaError>] = [:]

  init(charter: Charter, layout: AdapterLayout) throws {
    self.layout = layout
    start = FoldState.start(layout: layout, seed: Array(charter.message.adapter.seed))
    self.charter = charter
  }

  /// The delta of a contribution from its payload's bytes.
  mutating func delta(
    of contribution: ContentID, _ message: Hanse_V1_Contribution, bytes: () -> [UInt8]?
  ) throws -> Delta {
    if let known = deltas[contribution] { return try known.get() }
    guard let found = bytes() else { throw Missing(contribution: contribution) }
    do {
      let delta = try Delta.unpack(found, announcedBy: message, layout: layout, tier: .int4)
      deltas[contribution] = .success(delta)
      return delta
    } catch let error as DeltaError {
      deltas[contribution] = .failure(error)
      throw error
    }
  }

  /// A payload that a fold needs and that is not here.
  struct Missing: Error, CustomStringConvertible {
    let contribution: ContentID
    var description: String { "the payload of contribution \(contribution.short) is not here" }
  }

  /// The root of what these groups fold to.
  mutating func root(
    _ groups: [LandingGroup], in book: Logbook,
    delta: (inout Folds, ContentID) throws -> Delta
  ) throws -> ContentID {
    let rules = book.mergeRules(of: groups)
    let chain = LandingGroup.chain(groups, of: charter, under: rules)
    var state = start
    for (group, key) in zip(groups, chain.dropFirst()) {
      if let known = states[key] {
        state = known
        continue
      }
      var needed: [ContentID: Delta] = [:]
      for contribution in group.contributions where !contribution.isRecalled {
        needed[contribution.id] = try delta(&self, contribution.id)
      }
      state = try fold(
        state, group: group,
        deltas: { id in
          guard let delta = needed[id] else { throw Missing(contribution: id) }
          return delta
        }, rules: FoldRules(rules[group.rosterVersion] ?? charter.message.merge))
      states[key] = state
    }
    let key = chain[chain.count - 1]
    if let root = roots[key] { return root }
    let root = state.root
    roots[key] = root
    return root
  }

  /// Payloads that a node needs for a fold and has not: those that land after the last state that
  /// it keeps.
  func lacking(
    _ groups: [LandingGroup], in book: Logbook, at node: SimulatedNode
  ) -> [ContentID] {
    let chain = names(of: groups, in: book)
    let first = chain.lastIndex { node.disk.snapshots.contains($0) } ?? 0
    return groups[first...].flatMap(\.contributions).filter { contribution in
      guard !contribution.isRecalled else { return false }
      let object = book.contribution(contribution.id)?.object
      return object.flatMap { node.disk.objects[$0] }?.isComplete != true
    }.map(\.id)
  }

  private func names(of groups: [LandingGroup], in book: Logbook) -> [ContentID] {
    LandingGroup.chain(groups, of: charter, under: book.mergeRules(of: groups))
  }

  /// What the state of these groups is called.
  func chain(of groups: [LandingGroup], in book: Logbook) -> ContentID {
    let chain = names(of: groups, in: book)
    return chain[chain.count - 1]
  }

  /// The snapshot of a state that somebody folded.
  func snapshot(_ chain: ContentID) -> [UInt8]? { states[chain]?.encoded() }

  /// Whether a state has another root than what somebody folded from the same groups.
  func contradicts(_ foundation: Foundation) -> Bool {
    states[foundation.chain].map { $0.root != foundation.root } ?? false
  }

  /// Whether bytes are the state of a root; from then on it is known.
  mutating func check(_ bytes: [UInt8], is foundation: Foundation) -> Bool {
    guard
      let state = try? FoldState(
        decoding: bytes, layout: layout, round: foundation.round, root: foundation.root)
    else { return false }
    if states[foundation.chain] == nil { states[foundation.chain] = state }
    return true
  }
}
