import FoundationEssentials
import Identities
import Ledger
import Records
import Storage
import SwiftProtobuf

/// Reading what a home holds of the federation.
enum HomeCharter {
  /// The charter of a home whose store is open.
  ///
  /// Every entry names the charter's hash, so a changed file is noticed; the store keeps a copy
  /// from the first start on, which stands in for it. Gives what was wrong with the file, if the
  /// copy had to.
  static func read(_ home: HomeLayout, _ store: Store) throws -> (charter: Charter, fault: String?)
  {
    let named = try store.allEntries().lazy.compactMap { try? $0.entry().federation }.first
    let file = Result { try readFile(home) }
    if case .success(let charter) = file, named == nil || charter.id == named {
      return (charter, nil)
    }
    let fault: String
    switch file {
    case .success(let charter):
      fault =
        "\(home.charter) was changed: its id is \(charter.id.short), but the entries here "
        + "belong to \(named?.short ?? "?")"
    case .failure(let error): fault = "\(home.charter): \(oneLine(error))"
    }
    guard let bytes = try? store.value(OwnValue.charter), let kept = try? Charter(bytes: bytes),
      named == nil || kept.id == named
    else { throw NodeError.charter(fault) }
    return (kept, fault)
  }

  private static func readFile(_ home: HomeLayout) throws -> Charter {
    let bytes = try DurableFile.read(home.charter, limit: Limits.charterBytesMax + 1)
    do { return try Charter(bytes: bytes) } catch { throw NodeError.charter("\(error)") }
  }

  /// The merge that the node last stood on; nil when there is none, or none that these logs can
  /// make sense of: the node then finds its head anew.
  static func head(_ store: Store, in logbook: inout Logbook) -> Hanse_V1_Merge? {
    guard let bytes = try? store.value(OwnValue.head),
      let merge = try? Hanse_V1_Merge(serializedBytes: bytes),
      (try? logbook.recipe(for: merge)) != nil
    else { return nil }
    return merge
  }

  /// The states that the node rests on, but for those whose snapshots are not here any more.
  static func foundations(_ store: Store) throws -> Hanse_V1_Foundations {
    guard let bytes = try? store.value(OwnValue.foundations),
      var message = try? Hanse_V1_Foundations(serializedBytes: bytes)
    else { return Hanse_V1_Foundations() }
    let kept = try store.snapshots()
    message.foundations.removeAll { foundation in
      ContentID(bytes: foundation.chain).map { !kept.contains($0) } ?? true
    }
    return message
  }
}

/// Names of the node's own values in the store.
enum OwnValue {
  static let head = "head"
  static let feedback = "feedback"
  static let startLoss = "held-out-start"
  static let nowLoss = "held-out-now"
  static let declined = "declined-requests"
  static let charter = "charter"
  static let lab = "lab"
  static let bundleEchoes = "bundle-echoes"
  static let foundations = "foundations"
}

/// Requests to join that this node's operator has declined: their ids, one after the other.
enum Declined {
  static func read(_ store: Store) throws -> Set<ContentID> {
    let bytes = try store.value(OwnValue.declined) ?? []
    let size = ContentID.byteCount
    return Set(
      stride(from: 0, to: bytes.count - bytes.count % size, by: size).compactMap {
        ContentID(bytes: bytes[$0..<$0 + size])
      })
  }

  /// The newest 256 are remembered: older requests have long lost their invitation.
  static func add(_ id: ContentID, to store: Store) throws {
    let bytes = try store.value(OwnValue.declined) ?? []
    try store.setValue(
      OwnValue.declined, Array(bytes.suffix(255 * ContentID.byteCount)) + id.bytes)
  }
}
