import Control
import Deltas
import FoundationEssentials
import Identities
import Ledger
import Logging
import Participation
import Records
import Storage

/// Exchanges bundles for a node, running or not, one at a time and beside everything else.
///
/// What a bundle brings goes through the node's core as if a peer had sent it: nothing is believed
/// because it stands in a file.
actor BundleDesk {
  private nonisolated let executor = QueueExecutor("hanse.bundle")
  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  private let core: NodeCore
  private static let entriesAtOnce = 512

  init(core: NodeCore) { self.core = core }

  func handle(_ request: BundleRequest) async throws -> BundlePage {
    guard request.file.hasPrefix("/") else {
      throw ControlError(.wrongUse, "\(request.file) is not a path from the root", hint: nil)
    }
    switch request.action {
    case .export:
      let (note, key) = try await core.bundleNote()
      return try BundleExport(
        store: core.store, federation: core.charter.id, note: note, key: key,
        payloads: request.payloads ?? true
      ).write(to: request.file)
    case .import: return try await take(request.file)
    }
  }

  // MARK: importing

  private func take(_ path: String) async throws -> BundlePage {
    let file = try BundleInput(path)
    do {
      // All of it is looked at before any of it is believed: a file that was cut changes nothing.
      let seal = try check(file)
      file.rewind()
      return try await take(file, path, seal)
    } catch let error as BundleError {
      throw NodeError.bundle(
        "\(path): \(error)", hint: "have it written or copied again; nothing was changed here")
    }
  }

  /// What stands at a whole bundle's end, and in its note.
  private struct Seal {
    var note: Hanse_V1_BundleNote?
    var hash: ContentID
    var signature: [UInt8]?
  }

  private func check(_ file: BundleInput) throws -> Seal {
    var reader = try BundleReader { try file.take($0) }
    guard reader.federation == core.charter.id else {
      throw NodeError.bundle(
        "the bundle is of another federation (\(reader.federation.short))",
        hint: "this home is of \(core.charter.id.short)")
    }
    var note: Hanse_V1_BundleNote?
    while let part = try reader.next() {
      switch part {
      case .note(let found): note = found
      case .end(let hash, let signature):
        return Seal(note: note, hash: hash, signature: signature)
      default: break
      }
    }
    throw BundleError.truncated
  }

  private func take(_ file: BundleInput, _ path: String, _ seal: Seal) async throws -> BundlePage {
    var reader = try BundleReader { try file.take($0) }
    var page = BundlePage(
      file: path, federation: core.charter.id.description, entries: 0, payloads: 0, signed: false)
    var batch: [Hanse_V1_SignedEntry] = []
    var object: ContentID?
    var own: UInt64 = 0
    let before = await core.logbook.entryCount
    while let part = try reader.next() {
      switch part {
      case .note: continue
      case .entry(let signed), .evidence(let signed):
        batch.append(signed)
        if batch.count < Self.entriesAtOnce { continue }
      case .block(let index, let bytes):
        guard let id = object else { continue }
        if let reason = try await core.store(imported: bytes, at: index, of: id) {
          page.refuse(reason)
          object = nil
        }
        continue
      case .blockList, .end: break
      }
      let taken = try await core.take(imported: batch)
      batch = []
      own = max(own, taken.own)
      for reason in taken.refused { page.refuse(reason) }
      if let done = object, part.isBoundary {
        if try await core.finish(imported: done) { page.payloads += 1 }
        object = nil
      }
      if case .blockList(let bytes) = part { object = try await core.begin(imported: bytes) }
    }
    page.entries = await core.logbook.entryCount - before
    page.signed = try await core.believe(seal.note, seal.hash, seal.signature, own: own)
    return page
  }
}

extension Bundle.Part {
  /// Whether an object that came before is over here.
  fileprivate var isBoundary: Bool {
    switch self {
    case .blockList, .end: true
    case .note, .entry, .evidence, .block: false
    }
  }
}
