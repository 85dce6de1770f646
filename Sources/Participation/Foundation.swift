import Determinism
import FoundationEssentials
import Identities
import Ledger
import Records

/// A merge whose folded state is durable here, so that nothing beneath it is needed to go on.
package struct Foundation: Hashable, Sendable {
  /// The merge.
  package let merge: Hanse_V1_Merge
  /// Its state root.
  package let root: ContentID
  /// What the state is called among the snapshots: the chain of what was folded into it.
  package let chain: ContentID

  package init(merge: Hanse_V1_Merge, root: ContentID, chain: ContentID) {
    self.merge = merge
    self.root = root
    self.chain = chain
  }

  /// What was written down of one; nil when its ids are none.
  package init?(_ message: Hanse_V1_Foundation) {
    guard let root = ContentID(bytes: message.stateRoot),
      let chain = ContentID(bytes: message.chain)
    else { return nil }
    self.init(merge: message.merge, root: root, chain: chain)
  }

  /// As it is written down.
  package var message: Hanse_V1_Foundation {
    var message = Hanse_V1_Foundation()
    message.merge = merge
    message.stateRoot = Data(root.bytes)
    message.chain = Data(chain.bytes)
    return message
  }

  /// The merge's round.
  package var round: UInt32 { merge.frontier.round }
}

/// The states that a node can go on from, and the one that it looks for.
struct Footing: Sendable {
  /// A snapshot that is looked for.
  struct Search: Sendable {
    /// What would do, the newest first; with one when that was chosen before a restart.
    let candidates: [Foundation]
    /// The one that is being fetched, its object, and who named that.
    var chosen: Foundation?
    var object: ContentID?
    var labs: [LabID] = []
    /// Whether it goes on with what was chosen before a restart: the others may have moved on.
    var isResumed = false

    /// What need not be fetched while this is looked for.
    var target: Foundation { chosen ?? candidates[0] }
  }

  /// By round, the lowest first. Beneath that, payloads may be missing.
  var foundations: [Foundation]
  /// The contributions that states stand for, by chain, as far as the logs make them of the merge.
  var grounds: [ContentID: Set<ContentID>] = [:]
  /// By chain, the logbook's revision when its ground was last looked for in vain.
  var groundless: [ContentID: UInt64] = [:]
  /// Chains of states that were found to stand for ever.
  var settled: Set<ContentID> = []
  /// How often the logs had been counted anew when all of this was found.
  var recounts: UInt64 = 0
  /// The contributions beneath the lowest foundation.
  var covered: Set<ContentID> = []
  /// States that this node folded last, the newest last.
  var adopted: [Foundation] = []
  static let adoptedMax = 8

  var search: Search?
  /// The contributions beneath what is looked for.
  var passedOver: Set<ContentID> = []
  /// A merge that this node would adopt and cannot fold from what is here.
  var stuck: Hanse_V1_Merge?
  /// A larger head that cannot be folded either, and since when.
  var missed: (merge: ContentID, since: Instant)?
  /// Whether payloads beneath the foundation are wanted all the same.
  var isExposed = false
  /// Whether there were contributions that were not wanted when they came.
  var hasLeft = false
  /// Since when others have been far ahead.
  var farSince: Instant?
  /// Since when payloads are not asked for while entries still come, and whether that is so now.
  var defersSince: Instant?
  var defers = false
  var looksAt: Instant
  /// No snapshot is looked for before then.
  var searchesAt: Instant
  /// Merges that were found to be foldable.
  var foldable: Set<ContentID> = []
  /// Objects of snapshots that were made for others, the oldest first.
  var given: [ContentID] = []
  /// Objects that were begun and then passed over.
  var begun: [ContentID] = []

  init(foundations: [Foundation], now: Instant) {
    self.foundations = foundations.sorted { $0.round < $1.round }
    looksAt = now
    searchesAt = now
  }

  var lowest: Foundation? { foundations.first }
}
