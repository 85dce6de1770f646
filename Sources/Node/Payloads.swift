import Adapters
import Deltas
import FoundationEssentials
import Identities
import Records
import Storage

/// The deltas behind contributions: from the store's objects to what may be judged and folded.
package struct Payloads: Sendable {
  let store: Store
  let layout: AdapterLayout

  /// Why a payload is not what its contribution announced.
  package struct Fault: Error, CustomStringConvertible {
    package let contribution: ContentID
    package let reason: String
    package var description: String {
      "the payload of contribution \(contribution.short) is not what was announced: \(reason)"
    }
  }

  package init(store: Store, layout: AdapterLayout) {
    self.store = store
    self.layout = layout
  }

  /// Whether the whole payload is here.
  func isHeld(_ payload: Hanse_V1_Payload) -> Bool {
    guard let id = ContentID(bytes: payload.blockList), let status = try? store.object(id) else {
      return false
    }
    return status.missing.isEmpty
  }

  /// The delta of a contribution, with everything that was announced of it checked.
  ///
  /// - Throws: ``Fault`` for a payload that is not as announced,
  ///   ``NodeError/missingPayload(contribution:)`` for one that is not here, `StorageError` for one
  ///   that is damaged on disk.
  package func delta(_ message: Hanse_V1_Contribution, of contribution: ContentID) throws -> Delta {
    let payload = message.payload
    guard let object = ContentID(bytes: payload.blockList), let bytes = try store.readObject(object)
    else { throw NodeError.missingPayload(contribution: contribution) }
    func fault(_ reason: String) -> Fault { Fault(contribution: contribution, reason: reason) }
    guard UInt64(bytes.count) == payload.size else { throw fault("\(bytes.count) bytes") }
    let delta: Delta
    do { delta = try Delta.unpack(bytes, layout: layout) } catch let error as DeltaError {
      throw fault("\(error)")
    }
    guard delta.tier.name == payload.codec else { throw fault("codec \(delta.tier.name)") }
    guard delta.symbolsHash().bytes == Array(payload.symbols) else { throw fault("other symbols") }
    guard delta.factorNorms() == message.factorNorms else { throw fault("other norms") }
    return delta
  }
}
