import FoundationEssentials
import Identities
import Ledger
import Records
import Storage
import SwiftProtobuf

/// Reading what a home holds of the federation.
enum HomeCharter {
  static func read(_ home: HomeLayout) throws -> Charter {
    let bytes = try DurableFile.read(home.charter, limit: Limits.charterBytesMax + 1)
    do { return try Charter(bytes: bytes) } catch { throw NodeError.charter("\(error)") }
  }

  /// Replays the stored entries, each checked again as if it had just arrived.
  static func replay(_ store: Store, _ charter: Charter) throws -> Logbook {
    var logbook = Logbook(charter: charter)
    for stored in try store.allEntries() {
      let entry: Entry
      do { entry = try stored.entry() } catch {
        throw NodeError.file(
          path: store.home.database,
          reason:
            "entry \(stored.sequence) of lab \(stored.lab.short) (\(stored.id.short)): \(error)\n"
            + "hint: run hanse fsck --repair; the entry is fetched again from the other labs")
      }
      guard entry.id == stored.id else {
        throw NodeError.file(
          path: store.home.database,
          reason: "entry \(stored.sequence) of lab \(stored.lab.short): its bytes are not those of "
            + "\(stored.id.short)\nhint: run hanse fsck --repair")
      }
      do {
        let outcome = try logbook.append(entry)
        guard outcome == .appended else {
          throw NodeError.file(
            path: store.home.database,
            reason: "entry \(entry.id.short) does not fit its log: \(outcome)")
        }
      } catch let error as LedgerError {
        throw NodeError.file(
          path: store.home.database,
          reason: "entry \(entry.sequence) of lab \(entry.lab.short) (\(entry.id.short)): \(error)")
      }
    }
    for stored in try store.forks() {
      if let entry = try? stored.entry() { _ = try? logbook.append(entry) }
    }
    logbook.settle()
    return logbook
  }

  /// The lab that this key signs for: its seat's, or the one whose first key it is.
  static func lab(key: SigningKey, logbook: Logbook, charter: Charter) -> LabID {
    logbook.roster.member(key: key.publicKey)?.lab ?? LabID(firstKey: key.publicKey)
  }

  /// The merge that the node last stood on.
  static func head(_ store: Store) throws -> Hanse_V1_Merge? {
    guard let bytes = try store.value(OwnValue.head) else { return nil }
    return try? Hanse_V1_Merge(serializedBytes: bytes)
  }
}

/// Names of the node's own values in the store.
enum OwnValue {
  static let head = "head"
  static let feedback = "feedback"
  static let startLoss = "held-out-start"
  static let nowLoss = "held-out-now"
}
