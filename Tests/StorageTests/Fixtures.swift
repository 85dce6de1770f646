import Determinism
import FoundationEssentials
import Glibc
import Identities
import Records
import Storage
import SwiftProtobuf

/// A home in a folder of its own, which goes away with it.
final class TemporaryHome {
  let layout: HomeLayout

  init() {
    var template = Array("/tmp/hanse-storage-XXXXXX".utf8CString)
    layout = HomeLayout(String(cString: mkdtemp(&template)))
  }

  deinit { try? FileManager.default.removeItem(atPath: layout.path) }

  func open(readOnly: Bool = false) throws -> Store {
    // A process that another test starts at this very moment shares the lock until it is another
    // program.
    for _ in 0..<100 {
      do {
        return try Store(home: layout, readOnly: readOnly)
      } catch let error as StorageError {
        guard error == .locked(path: layout.path, holder: getpid()) else { throw error }
        usleep(10_000)
      }
    }
    return try Store(home: layout, readOnly: readOnly)
  }
}

/// A lab that writes a log.
struct Writer {
  let key: SigningKey
  let lab: LabID
  let federation = ContentID(of: [1], kind: .charter)
  private(set) var last: Entry?

  init(seed: UInt8) {
    key = SigningKey(seed: [UInt8](repeating: seed, count: 32))!
    lab = LabID(firstKey: key.publicKey)
  }

  mutating func next(name: String = "lab") throws -> StoredEntry {
    let entry = try sign(name: name)
    last = entry
    return StoredEntry(entry)
  }

  /// Goes on after an entry that an earlier run wrote.
  mutating func resume(at entry: Entry) { last = entry }

  /// An entry at the next place that the log does not go on from.
  func other(name: String) throws -> StoredEntry { StoredEntry(try sign(name: name)) }

  private func sign(name: String) throws -> Entry {
    var message = Hanse_V1_Entry()
    message.federation = Data(federation.bytes)
    message.lab = Data(lab.bytes)
    message.rosterVersion = 1
    message.sequence = (last?.sequence ?? 0) + 1
    message.previous = Data(last?.id.bytes ?? [])
    message.presence.name = name
    message.presence.software = "test"
    return try Entry(signing: message, with: key)
  }

  /// What `check` asks of a signature.
  static func verify(_ writers: [Writer]) -> (StoredEntry) -> Bool? {
    { stored in
      guard let writer = writers.first(where: { $0.lab == stored.lab }) else { return nil }
      guard let entry = try? stored.entry() else { return false }
      return (try? entry.verify(with: writer.key.publicKey)) != nil
    }
  }
}

/// An object's bytes and list.
func makeObject(bytes count: Int, blockSize: Int = 1024, seed: UInt64) -> (ObjectList, [UInt8]) {
  var generator = SeededGenerator(seed: seed)
  let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
  let blocks = stride(from: 0, to: count, by: blockSize).map {
    ContentID(of: Array(bytes[$0..<min($0 + blockSize, count)]), kind: .block)
  }
  let id = ContentID(of: blocks.flatMap(\.bytes), kind: .object)
  return (ObjectList(id: id, size: UInt64(count), blockSize: blockSize, blocks: blocks), bytes)
}

func block(_ index: Int, of bytes: [UInt8], _ list: ObjectList) -> [UInt8] {
  let start = index * list.blockSize
  return Array(bytes[start..<start + list.byteCount(of: index)])
}

/// Changes one byte of a file in place.
func flip(_ path: String, at offset: Int) throws {
  let descriptor = open(path, O_RDWR)
  precondition(descriptor >= 0, path)
  defer { close(descriptor) }
  var byte: UInt8 = 0
  precondition(pread(descriptor, &byte, 1, offset) == 1)
  byte ^= 0x40
  precondition(pwrite(descriptor, &byte, 1, offset) == 1)
}

extension Store {
  /// Writes a work file from one piece.
  func writeWork(_ name: String, _ bytes: [UInt8]) throws(StorageError) {
    try writeWork(name) { append in bytes.withUnsafeBytes(append) }
  }

  /// All bytes of a work file.
  func readWork(_ name: String) throws -> [UInt8]? {
    try readWork(name) { reader in
      var bytes = [UInt8](repeating: 0, count: reader.byteCount)
      return bytes.withUnsafeMutableBytes { reader.fill($0) } ? bytes : []
    }
  }

  /// Writes a state from one piece.
  func writeSnapshot(_ root: ContentID, _ bytes: [UInt8]) throws(StorageError) {
    try writeSnapshot(root) { append in bytes.withUnsafeBytes(append) }
  }
}
