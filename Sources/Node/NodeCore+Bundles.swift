import Control
import Deltas
import FoundationEssentials
import Identities
import Ledger
import Logging
import Participation
import Records
import Storage

/// What a bundle brings, one piece at a time, and what one that is written says of this node.
extension NodeCore {
  /// The note of a bundle that this node writes now, and the key that signs it.
  func bundleNote() throws -> (note: Hanse_V1_BundleNote, key: SigningKey) {
    var note = Hanse_V1_BundleNote()
    note.lab = Data(lab.bytes)
    note.nonce = Data(bundleNonce)
    note.echoes = try BundleEchoes.read(store)
    note.software = Self.software
    note.timeSeconds = Self.wallSeconds()
    return (note, participant.key)
  }

  /// Checks entries and keeps those that have a place in the logs.
  ///
  /// - Returns: why some were refused, and the highest sequence of this lab's own among them.
  func take(
    imported signed: [Hanse_V1_SignedEntry]
  ) throws -> (refused: [String], own: UInt64) {
    var entries: [Entry] = []
    var refused: [String] = []
    for one in signed {
      do { entries.append(try Entry(one)) } catch { refused.append("\(error)") }
    }
    refusals = []
    handle(.imported(entries))
    refused += refusals ?? []
    refusals = nil
    if let failure { throw failure }
    return (refused, entries.lazy.filter { $0.lab == self.lab }.map(\.sequence).max() ?? 0)
  }

  /// Makes room for a payload that is announced and not here; nil for any other.
  func begin(imported list: [UInt8]) throws -> ContentID? {
    guard let list = try? BlockList(decoding: list) else { return nil }
    let id = list.id
    guard participant.mayTake(id, bytes: list.byteCount) else { return nil }
    _ = try store.beginObject(Self.objectList(list, id: id))
    return id
  }

  /// Keeps a block of a payload; why not, if it is not the one that the list names.
  func store(imported bytes: [UInt8], at index: UInt32, of object: ContentID) throws -> String? {
    do {
      _ = try store.storeBlock(Int(index), of: object, bytes)
      return nil
    } catch let error as StorageError {
      guard case .wrongBlock = error else { throw error }
      return error.cause
    }
  }

  /// Takes a payload into use if all of it is here now; whether it is.
  func finish(imported object: ContentID) throws -> Bool {
    guard let status = try store.object(object), status.missing.isEmpty else { return false }
    handle(.objectImported(object))
    if let failure { throw failure }
    return true
  }

  /// Takes a member's word for where this node's own log ends with it, if it was given after this
  /// node's start; and remembers the member's nonce. Whether a member has signed the bundle.
  func believe(
    _ note: Hanse_V1_BundleNote?, _ hash: ContentID, _ signature: [UInt8]?, own: UInt64
  ) throws -> Bool {
    guard let note, let signature, let writer = LabID(bytes: note.lab),
      let seat = logbook.roster.member(writer), Bundle.isSigned(hash, signature, by: seat.key)
    else { return false }
    guard writer != lab else { return true }
    if !note.nonce.isEmpty { try BundleEchoes.note(writer, nonce: note.nonce, in: store) }
    if note.echoes.contains(where: {
      Array($0.lab) == lab.bytes && Array($0.nonce) == bundleNonce
    }) {
      handle(.vouched(by: writer, sequence: own))
    }
    if let failure { throw failure }
    return true
  }
}

/// Bundles of a home whose daemon is down.
public enum BundleExchange {
  /// Writes or takes in a bundle.
  ///
  /// - Throws: `StorageError.locked` when a daemon has the home after all.
  public static func run(_ request: BundleRequest, home path: String) async throws -> BundlePage {
    let home = HomeLayout(path)
    switch request.action {
    case .import:
      guard home.isHome else { throw home.absence }
      var log = Logger(label: "hanse")
      log.logLevel = .error
      let core = try NodeCore(
        home: home, configuration: try Configuration.read(home.configuration), log: log)
      let page = try await BundleDesk(core: core).handle(request)
      try core.store.close()
      return page
    case .export: return try export(request, home)
    }
  }

  /// Neither key nor settings are needed, so that an auditor's copy can be handed on.
  private static func export(_ request: BundleRequest, _ home: HomeLayout) throws -> BundlePage {
    let store = try Store(home: home, readOnly: true)
    defer { try? store.close() }
    let charter = try HomeCharter.read(home, store).charter
    let logbook = try HomeReplay(store, charter).logbook
    let keys = DurableFile.exists(home.key) ? try KeyFile.readAll(in: home) : []
    let seat = keys.lazy.compactMap { logbook.roster.member(key: $0.publicKey) }.first
    var note = Hanse_V1_BundleNote()
    note.lab = Data(seat?.lab.bytes ?? [UInt8](repeating: 0, count: 32))
    note.echoes = try BundleEchoes.read(store)
    note.software = NodeCore.software
    note.timeSeconds = NodeCore.wallSeconds()
    return try BundleExport(
      store: store, federation: charter.id, note: note,
      key: keys.first { $0.publicKey == seat?.key }, payloads: request.payloads ?? true
    ).write(to: request.file)
  }
}
