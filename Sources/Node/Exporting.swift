import Adapters
import Checkpoints
import Control
import FoundationEssentials
import Identities
import Ledger
import Merging
import Records
import Storage

/// The shared adapter as files that others load.
enum Exporting {
  /// Writes a merge's adapter as a PEFT folder in the home's `work`.
  static func write(
    _ merge: Hanse_V1_Merge, recipe: Folding.Recipe, folding: Folding, into folder: String,
    baseModel: String
  ) async throws -> ContentID {
    let folded = try await folding.fold(recipe)
    try PEFTFolder.write(folded.state.adapter.rounded(), baseModel: baseModel, to: folder)
    return folded.root
  }

  /// The merge whose id begins so, among those that any lab attested.
  static func find(_ prefix: String?, in logbook: Logbook, head: Hanse_V1_Merge) throws
    -> Hanse_V1_Merge
  {
    guard let prefix else { return head }
    var found: [ContentID: Hanse_V1_Merge] = [:]
    for merge in [head] + attested(in: logbook) where merge.id.description.hasPrefix(prefix) {
      found[merge.id] = merge
    }
    guard let merge = found.values.first else {
      throw ControlError(
        .notFound, "no merge begins with \(prefix)", hint: "hanse log shows the merges")
    }
    guard found.count == 1 else {
      throw ControlError(
        .wrongUse, "\(prefix) begins \(found.count) merges", hint: "give more characters")
    }
    return merge
  }

  private static func attested(in logbook: Logbook) -> [Hanse_V1_Merge] {
    logbook.labs.flatMap { logbook.log(of: $0) }.compactMap { entry in
      guard case .attestation(let attestation)? = entry.message.payload else { return nil }
      return attestation.merge
    }
  }
}
