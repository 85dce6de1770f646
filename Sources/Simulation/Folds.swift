import Adapters
import Deltas
import FoundationEssentials
import Identities
import Ledger
import Merging
import Records

/// The folds of all nodes of a world, each done once.
///
/// A fold is a pure function of what is folded, so two nodes that fold the same groups share the
/// work; what differs from node to node is which groups the ledger makes of a merge, and that is
/// asked of each node's own.
struct Folds {
  let layout: AdapterLayout
  private let rules: FoldRules
  private let start: FoldState
  private let startKey: ContentID
  private var states: [ContentID: FoldState] = [:]
  private var roots: [ContentID: ContentID] = [:]
  private var deltas: [ContentID: Result<Delta, DeltaError>] = [:]

  init(charter: Charter, layout: AdapterLayout) throws {
    self.layout = layout
    rules = try FoldRules(charter.message.merge)
    start = FoldState.start(layout: layout, seed: Array(charter.message.adapter.seed))
    startKey = ContentID(of: charter.bytes, kind: .merge)
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
    _ groups: [LandingGroup],
    delta: (inout Folds, ContentID) throws -> Delta
  ) throws -> ContentID {
    var key = startKey
    var state = start
    for group in groups {
      key = Self.key(after: key, group)
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
        }, rules: rules)
      states[key] = state
    }
    if let root = roots[key] { return root }
    let root = state.root
    roots[key] = root
    return root
  }

  private static func key(after key: ContentID, _ group: LandingGroup) -> ContentID {
    var bytes = key.bytes + group.round.littleEndianBytes
    for contribution in group.contributions {
      bytes += contribution.id.bytes
      bytes.append(contribution.isRecalled ? 1 : 0)
      bytes += contribution.landingRound.littleEndianBytes
    }
    return ContentID(of: bytes, kind: .merge)
  }
}
