import Adapters
import Identities
import Ledger
import Merging
import Participation
import Records
import Storage
import SwiftProtobuf

/// What a home rests on instead of payloads, as its store and its logs say.
struct HomeFoundation {
  /// The lowest state that is kept to go on from; nil for a home that has, or wants, everything.
  let lowest: Foundation?
  /// The contributions that it stands for.
  let covered: Set<ContentID>
  /// How many of their payloads are not here.
  let absent: Int
  /// Labs that attested its root.
  let attestedBy: [LabID]
  /// What is wrong with its snapshot, while payloads are missing that it stands for.
  let fault: String?

  /// - Parameter reads: whether the snapshot is read back and compared with the root.
  init(_ store: Store, in logbook: inout Logbook, reads: Bool) throws {
    let bytes = try? store.value(OwnValue.foundations)
    let message = bytes.flatMap { try? Hanse_V1_Foundations(serializedBytes: $0) }
    guard let lowest = message?.foundations.lazy.compactMap({ Foundation($0) }).first,
      let expansion = try? logbook.expand(lowest.merge.frontier)
    else {
      (lowest, covered, absent, attestedBy, fault) = (nil, [], 0, [], nil)
      return
    }
    self.lowest = lowest
    let members = logbook.members(of: expansion)
    covered = Set(members)
    absent = try members.count { id in
      guard let object = logbook.contribution(id)?.object else { return false }
      return try store.object(object)?.missing.isEmpty != true
    }
    let (merge, root) = (lowest.merge, Array(lowest.root.bytes))
    attestedBy = logbook.labs.filter { lab in
      logbook.log(of: lab).contains { entry in
        guard case .attestation(let attestation)? = entry.message.payload else { return false }
        return Array(attestation.stateRoot) == root
          && attestation.merge.frontier.members == merge.frontier.members
          && attestation.merge.rosterVersion == merge.rosterVersion
      }
    }
    fault = absent > 0 && reads ? try Self.fault(lowest, store, logbook.charter) : nil
  }

  private static func fault(
    _ state: Foundation, _ store: Store, _ charter: Charter
  ) throws -> String? {
    do {
      let layout = try AdapterShapes.layout(of: charter)
      let found: Void? = try store.readSnapshot(state.chain) { reader in
        _ = try FoldState(
          decoding: reader.byteCount, layout: layout, round: state.round, root: state.root
        ) { reader.fill($0) }
      }
      return found == nil ? "it is missing" : nil
    } catch let error as StorageError {
      return oneLine(error)
    } catch let error as FoldError {
      return "\(error)"
    }
  }

  /// Why a contribution's payload is not here; nil when it is, or when it should be.
  func absence(of contribution: ContentID) -> String? {
    guard let lowest, covered.contains(contribution) else { return nil }
    return Self.pruned(lowest)
  }

  /// Why a payload is not here that a state stands for.
  static func pruned(_ state: Foundation) -> String {
    "pruned by policy: the attested state of round \(state.round) stands for it"
  }

  /// What is not here and why that is as it should be; none when everything is here.
  func notes(in logbook: Logbook) -> [String] {
    guard let lowest, absent > 0 else { return [] }
    let names = attestedBy.map { lab in
      let seat = logbook.rosters.last { $0.member(lab) != nil }?.member(lab)
      return seat?.name ?? lab.short
    }
    let few = names.prefix(5).joined(separator: ", ") + (names.count > 5 ? " and others" : "")
    return [
      "\(absent) payloads up to round \(lowest.round) are pruned by policy: the state of that "
        + "round, root \(lowest.root.short), stands for them "
        + "(attested by \(few.isEmpty ? "nobody" : few))"
    ]
  }
}
