import Adapters
import Checkpoints
import Containers
import FoundationEssentials
import Glibc

/// The adapter of a run's lowest held-out loss: a PEFT folder in the run's own, replaced as one.
public enum BestAdapter {
  /// Name of the folder in the run's.
  public static let folderName = "best"
  /// Name of the file in it that says which it is.
  static let recordName = "evaluation.json"

  /// The file beside the adapter.
  private struct Record: Encodable {
    let version = 1
    let step: Int
    let heldOutLoss: Double
    let heldOutTokens: Int

    enum CodingKeys: String, CodingKey {
      case version, step
      case heldOutLoss = "held_out_loss"
      case heldOutTokens = "held_out_tokens"
    }
  }

  /// Puts an adapter in place of the best so far. Whoever looks, or a crash at any instant, finds
  /// the old folder or the new one, whole.
  public static func write(
    _ adapter: Adapter, step: Int, evaluation: Evaluation, baseModel: String, dropout: Double,
    to run: String
  ) throws {
    let folder = "\(run)/\(folderName)"
    let sibling = folder + ".new"
    remove(sibling)
    try PEFTFolder.write(adapter, baseModel: baseModel, dropout: dropout, to: sibling)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    let record = try encoder.encode(
      Record(
        step: step, heldOutLoss: evaluation.natsPerToken, heldOutTokens: evaluation.tokens))
    try DurableFile.write([UInt8](record) + [0x0A], to: "\(sibling)/\(recordName)")
    try replace(folder, by: sibling)
    remove(sibling)
    try DurableFile.synchroniseFolder(of: folder)
  }

  /// Puts right what a kill left beside the best adapter: only one folder of that name stays.
  public static func removeLeftovers(in run: String) {
    let folder = "\(run)/\(folderName)"
    if access(folder, F_OK) != 0 { rename(folder + ".old", folder) }
    remove(folder + ".new")
    remove(folder + ".old")
  }

  /// Renames the best adapter of an earlier run, so that nobody takes it for the new one's.
  static func putAside(in run: String) {
    let (folder, aside) = ("\(run)/\(folderName)", "\(run)/best.before")
    guard access(folder, F_OK) == 0 else { return }
    remove(aside)
    rename(folder, aside)
  }

  private static func replace(_ folder: String, by sibling: String) throws {
    if access(folder, F_OK) == 0 {
      if exchange(folder, sibling) { return }
      // A file system that cannot exchange two names: for an instant there is none.
      let old = folder + ".old"
      remove(old)
      try check(rename(folder, old), folder)
      try check(rename(sibling, folder), folder)
      remove(old)
    } else {
      try check(rename(sibling, folder), folder)
    }
  }

  /// Swaps two names in one instant, if the file system can.
  private static func exchange(_ one: String, _ other: String) -> Bool {
    // Glibc has the call, but its Swift module does not show it: the header asks for _GNU_SOURCE.
    typealias Rename =
      @convention(c) (
        Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32
      ) -> Int32
    guard let symbol = dlsym(nil, "renameat2") else { return false }
    let exchangeNames: UInt32 = 2  // RENAME_EXCHANGE
    return unsafeBitCast(symbol, to: Rename.self)(
      AT_FDCWD, one, AT_FDCWD, other, exchangeNames) == 0
  }

  private static func check(_ result: Int32, _ path: String) throws {
    guard result == 0 else {
      throw CheckpointError.cannotWrite(path: path, reason: String(cString: strerror(errno)))
    }
  }

  /// Removes a folder of our own making; one with other files in it stays.
  private static func remove(_ folder: String) {
    DurableFile.removeLeftovers(in: folder)
    for name in ["adapter_config.json", "adapter_model.safetensors", recordName] {
      unlink("\(folder)/\(name)")
    }
    rmdir(folder)
  }
}
