import Gossip
import Identities
import Logging
import Participation
import Storage

/// States of the fold as objects: made for labs that are behind, and taken from others.
extension NodeCore {
  /// Reading and hashing a state takes as long as it is large: not on the node's own queue.
  func makeSnapshot(_ connection: ConnectionID, _ states: [Foundation]) {
    Task {
      var made: (root: ContentID, object: ContentID)?
      do { made = try await folding.makeObject(of: states) } catch {
        // A full disk, a damaged file: somebody else has it.
        log.warning("a snapshot could not be given: \(oneLine(error))")
      }
      handle(.snapshotMade(connection, root: made?.root, object: made?.object))
    }
  }

  func checkSnapshot(_ object: ContentID, _ state: Foundation) {
    Task {
      do {
        handle(.snapshotChecked(object, isGood: try await folding.keep(object, as: state)))
      } catch StorageError.damaged {
        // What the disk gave back is not what came: fetched again, and nobody is to blame.
        if (try? store.mendObject(object)) == true { handle(.snapshotDamaged(object)) }
      } catch {
        fail(error)
      }
    }
  }
}
