import FoundationEssentials
import GRDB
import Identities
import Records
import SwiftProtobuf

/// One thing in a home that is not what it was when it was written.
public struct Damage: Sendable, Hashable, CustomStringConvertible {
  /// What is damaged.
  public enum Thing: Sendable, Hashable {
    /// The entry of a log at a sequence; what follows it in the log cannot be checked without it.
    case entry(lab: LabID, sequence: UInt64)
    /// The kept branch of an equivocation.
    case fork(id: ContentID)
    /// Blocks of an object; empty when its file is missing or has another size.
    case object(id: ContentID, blocks: [Int])
    /// A state of the fold.
    case snapshot(root: ContentID)
    /// One of the node's own values or checked files.
    case value(name: String)
    /// The key, or the folder it is in.
    case key
    /// The founding document.
    case charter
    /// The database itself.
    case database
  }

  /// What is damaged.
  public var thing: Thing
  /// How that shows.
  public var reason: String
  /// Whether ``Store/repair(_:)`` can mend it, by making room to fetch or compute it again.
  public var isRepairable: Bool

  /// A damaged thing.
  public init(thing: Thing, reason: String, isRepairable: Bool) {
    self.thing = thing
    self.reason = reason
    self.isRepairable = isRepairable
  }

  public var description: String {
    switch thing {
    case .entry(let lab, let sequence): "log \(lab.short), entry \(sequence): \(reason)"
    case .fork(let id): "fork \(id.short): \(reason)"
    case .object(let id, let blocks):
      "object \(id)"
        + (blocks.isEmpty ? "" : ", blocks \(blocks.map(String.init).joined(separator: " "))")
        + ": \(reason)"
    case .snapshot(let root): "snapshot \(root): \(reason)"
    case .value(let name): "value \(name): \(reason)"
    case .key: "key: \(reason)"
    case .charter: "charter: \(reason)"
    case .database: "database: \(reason)"
    }
  }
}

extension Store {
  /// Reads everything back and names what is not what it was: ids, signatures, the chain of every
  /// log, every block of every object, states and own values.
  ///
  /// `verify` says whether an entry's signature is good; nil when the key is not known.
  public func check(
    verify: (StoredEntry) -> Bool? = { _ in nil }, progress: (String) -> Void = { _ in }
  ) throws(StorageError) -> [Damage] {
    var damages = checkKey()
    progress("database")
    damages += try checkDatabase()
    progress("logs")
    damages += try checkLogs(verify)
    let all = try objects()
    for (index, id) in all.enumerated() {
      // Now and then: a home of years has many thousands.
      if index % 512 == 0 { progress("payloads, \(index) of \(all.count)") }
      damages += try checkObject(id)
    }
    progress("snapshots and values")
    return damages + (try checkSnapshots()) + (try checkValues())
  }

  private func checkKey() -> [Damage] {
    do throws(StorageError) {
      _ = try KeyFile.read(in: home)
      return []
    } catch {
      return [Damage(thing: .key, reason: error.cause, isRepairable: false)]
    }
  }

  private func checkDatabase() throws(StorageError) -> [Damage] {
    if !DurableFile.exists(home.database), try !DurableFile.names(in: home.objects).isEmpty {
      return [Damage(thing: .database, reason: "it is missing", isRepairable: true)]
    }
    return try reading { try String.fetchAll($0, sql: "PRAGMA integrity_check(20)") }
      .filter { $0 != "ok" }
      .map { Damage(thing: .database, reason: $0, isRepairable: true) }
  }

  private func checkLogs(_ verify: (StoredEntry) -> Bool?) throws(StorageError) -> [Damage] {
    var damages: [Damage] = []
    for head in try heads() {
      var previous: StoredEntry?
      for entry in try entries(of: head.lab) {
        if let reason = Self.fault(of: entry, after: previous, verify) {
          damages.append(
            Damage(
              thing: .entry(lab: entry.lab, sequence: entry.sequence), reason: reason,
              isRepairable: true))
          break
        }
        previous = entry
      }
    }
    for fork in try forks() {
      guard ContentID(of: fork.body, kind: .entry) != fork.id || verify(fork) == false else {
        continue
      }
      damages.append(
        Damage(
          thing: .fork(id: fork.id), reason: "its id or signature is wrong", isRepairable: true))
    }
    return damages
  }

  private static func fault(
    of entry: StoredEntry, after previous: StoredEntry?, _ verify: (StoredEntry) -> Bool?
  ) -> String? {
    guard ContentID(of: entry.body, kind: .entry) == entry.id else {
      return "its id is not the hash of its bytes"
    }
    guard let body = try? Hanse_V1_Entry(serializedBytes: entry.body) else {
      return "its bytes are no entry"
    }
    guard [UInt8](body.lab) == entry.lab.bytes, body.sequence == entry.sequence else {
      return "its bytes belong to another place"
    }
    guard entry.sequence == (previous?.sequence ?? 0) + 1 else {
      return "the entry before it is missing"
    }
    guard [UInt8](body.previous) == previous?.id.bytes ?? [] else {
      return "it does not follow from the entry before it"
    }
    return verify(entry) == false ? "its signature is wrong" : nil
  }

  private func checkObject(_ id: ContentID) throws(StorageError) -> [Damage] {
    guard let row = try row(id), row.complete else { return [] }
    let blocks = damagedBlocks(home.object(id.description), row.list)
    if blocks == [] { return [] }
    return [
      Damage(
        thing: .object(id: id, blocks: blocks ?? []),
        reason: blocks == nil ? "its file is missing or has another size" : "other bytes",
        isRepairable: true)
    ]
  }

  private func checkSnapshots() throws(StorageError) -> [Damage] {
    var damages: [Damage] = []
    for root in try snapshots() {
      do throws(StorageError) {
        try CheckedFile.check(home.snapshot(root.description))
      } catch {
        damages.append(
          Damage(thing: .snapshot(root: root), reason: error.cause, isRepairable: true))
      }
    }
    return damages
  }

  private func checkValues() throws(StorageError) -> [Damage] {
    var damages: [Damage] = []
    for name in try valueNames() {
      do throws(StorageError) {
        _ = try value(name)
      } catch {
        damages.append(
          Damage(thing: .value(name: name), reason: error.cause, isRepairable: true))
      }
    }
    for file in try DurableFile.names(in: home.work) where file.hasSuffix(CheckedFile.suffix) {
      let name = String(file.dropLast(CheckedFile.suffix.utf8.count))
      do throws(StorageError) {
        try CheckedFile.check(workPath(name))
      } catch {
        damages.append(
          Damage(thing: .value(name: name), reason: error.cause, isRepairable: true))
      }
    }
    return damages
  }

  /// Makes room for what can be fetched or computed again: a damaged object is emptied of its bad
  /// blocks, a damaged log cut before its first bad entry, a damaged state removed.
  ///
  /// The labs that have the missing pieces send them once the daemon runs.
  public func repair(_ damages: [Damage]) throws(StorageError) {
    for damage in damages where damage.isRepairable {
      switch damage.thing {
      case .entry(let lab, let sequence): try truncate(lab, from: sequence)
      case .fork(let id):
        try writing {
          try $0.execute(sql: "DELETE FROM forks WHERE id = ?", arguments: [Data(id.bytes)])
        }
      case .object(let id, let blocks): try reopen(id, without: blocks)
      case .snapshot(let root): try CheckedFile.remove(home.snapshot(root.description))
      case .value(let name):
        // Everything under a name is this node's own conclusion, and can be drawn again.
        try setValue(name, nil)
        try removeWork(name)
      case .key, .charter, .database: break
      }
    }
  }

  /// Looks at a complete object again and, when it is damaged, turns it back into one that waits
  /// for what is bad. Gives whether it was damaged.
  public func mendObject(_ id: ContentID) throws(StorageError) -> Bool {
    let damages = try checkObject(id)
    try repair(damages)
    return !damages.isEmpty
  }

  /// Puts a database that SQLite cannot read aside, and the payloads that only it can name, and
  /// gives its new path; nil when there is none. The home must not be open. What they held is
  /// fetched from the other labs; nothing is deleted.
  public static func setDatabaseAside(_ home: HomeLayout) throws(StorageError) -> String? {
    guard DurableFile.exists(home.database) else { return nil }
    let lock = try HomeLock(home)
    defer { withExtendedLifetime(lock) {} }
    var aside = home.database + ".damaged"
    var number = 1
    while DurableFile.exists(aside) {
      number += 1
      aside = home.database + ".damaged-\(number)"
    }
    let objects = home.objects + aside.dropFirst(home.database.count)
    if DurableFile.exists(home.objects) { try DurableFile.move(home.objects, to: objects) }
    for suffix in ["-wal", "-shm", ""] where DurableFile.exists(home.database + suffix) {
      try DurableFile.move(home.database + suffix, to: aside + suffix)
    }
    return aside
  }

  /// Turns a complete object back into one that waits for blocks.
  private func reopen(_ id: ContentID, without blocks: [Int]) throws(StorageError) {
    guard let row = try row(id) else { return }
    var held = BlockBits(count: row.list.blocks.count)
    if !blocks.isEmpty {
      for index in row.list.blocks.indices { held[index] = !blocks.contains(index) }
    }
    let complete = home.object(id.description)
    let partial = home.partial(id.description)
    try DurableFile.move(complete, to: blocks.isEmpty ? nil : partial)
    try writing { try ObjectRow.update(id, held: held, complete: false, $0) }
  }
}
