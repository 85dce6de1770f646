import Foundation
import Identities
import Records
import SwiftProtobuf
import Testing

/// The vectors of Protocol/Vectors/Bundle, and what must hold of any bundle.
///
/// With `HANSE_FORGE_VECTORS=1` they are written instead of read.
@Suite struct BundleTests {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Protocol/Vectors/Bundle")
  static let key = SigningKey(seed: (0..<32).map { UInt8($0) })!
  static let federation = ContentID(bytes: [UInt8](repeating: 0x11, count: 32))!

  /// Every piece of a bundle.
  static func parts(_ bytes: [UInt8]) throws -> [Records.Bundle.Part] {
    var position = 0
    var reader = try BundleReader { count in
      let piece = Array(bytes[position...].prefix(count))
      position += piece.count
      return piece
    }
    var parts: [Records.Bundle.Part] = []
    while let part = try reader.next() { parts.append(part) }
    return parts
  }

  /// The check that a bundle fails at, or `success`.
  static func outcome(_ bytes: [UInt8]) throws -> String {
    do {
      _ = try parts(bytes)
      return "success"
    } catch let error as BundleError {
      return error.name
    }
  }

  static func write(
    note: Hanse_V1_BundleNote? = Self.note, signed: Bool = true,
    _ body: (inout BundleWriter) throws -> Void = { _ in }
  ) throws -> [UInt8] {
    final class Box { var bytes: [UInt8] = [] }
    let box = Box()
    var writer = try BundleWriter(federation: federation, note: note) { box.bytes += $0 }
    try body(&writer)
    try writer.finish(signedWith: signed ? key : nil)
    return box.bytes
  }

  static var note: Hanse_V1_BundleNote {
    var note = Hanse_V1_BundleNote()
    note.lab = Data(LabID(firstKey: key.publicKey).bytes)
    note.nonce = Data(repeating: 0x33, count: 32)
    return note
  }

  static func entry() throws -> Hanse_V1_SignedEntry {
    var message = Hanse_V1_Entry()
    message.federation = Data(federation.bytes)
    message.lab = Data(LabID(firstKey: key.publicKey).bytes)
    message.rosterVersion = 1
    message.sequence = 1
    message.presence = Hanse_V1_Presence()
    return try Entry(signing: message, with: key).signed
  }

  /// Header, records as given, and a right end.
  static func sealed(_ records: [UInt8], version: UInt8 = 1) -> [UInt8] {
    let before =
      Records.Bundle.magic + [version] + [UInt8](repeating: 0, count: 7) + federation.bytes
      + records
    return before + [0, 0, 0, 0, 32] + ContentID(of: before, kind: .bundle).bytes
  }

  static func record(_ kind: UInt8, _ body: [UInt8]) -> [UInt8] {
    [kind] + withUnsafeBytes(of: UInt32(body.count).bigEndian) { Array($0) } + body
  }

  struct Case {
    let name: String
    let expect: String
    let comment: String
    let bytes: [UInt8]
  }

  static func forge() throws -> [Case] { try forgeFiles() + forgeRecords() }

  /// Whole files, and what can be wrong around the records.
  static func forgeFiles() throws -> [Case] {
    let entry = try entry()
    let good = try write { writer in
      try writer.add(entry)
      try writer.begin(blockList: [3, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 9, count: 32))
      try writer.add(block: [1, 2, 3], at: 0)
    }
    var lab = Hanse_V1_BundleNote()
    lab.lab = Data(repeating: 0x22, count: 32)
    let plain = try write(note: lab, signed: false)
    func flipped(_ offset: Int) -> [UInt8] {
      var bytes = good
      bytes[offset] ^= 1
      return bytes
    }
    let noteBytes: [UInt8] = try note.serializedBytes()
    return [
      Case(name: "good", expect: "success", comment: "A note, an entry, an object.", bytes: good),
      Case(name: "plain", expect: "success", comment: "The page's example.", bytes: plain),
      Case(name: "empty", expect: "success", comment: "No record.", bytes: sealed([])),
      Case(name: "magic", expect: "magic", comment: "Another letter.", bytes: flipped(3)),
      Case(
        name: "later", expect: "version", comment: "Version 2.", bytes: sealed([], version: 2)),
      Case(
        name: "reserved", expect: "unreadable", comment: "A reserved byte is set.",
        bytes: flipped(12)),
      Case(
        name: "federation", expect: "hash", comment: "Another federation than was hashed.",
        bytes: flipped(20)),
      Case(
        name: "entry_flipped", expect: "hash", comment: "A bit of the entry.",
        bytes: flipped(48 + 5 + noteBytes.count + 5 + 40)),
      Case(
        name: "header_cut", expect: "truncated", comment: "Inside of the header.",
        bytes: Array(good.prefix(30))),
      Case(
        name: "record_cut", expect: "truncated", comment: "Inside of a record.",
        bytes: Array(good.prefix(150))),
      Case(
        name: "end_missing", expect: "truncated", comment: "Before the end.",
        bytes: Array(good.dropLast(101))),
      Case(
        name: "end_cut", expect: "truncated", comment: "Without the last byte.",
        bytes: Array(good.dropLast())),
      Case(
        name: "trailing", expect: "trailing", comment: "A byte behind the end.", bytes: good + [0]),
    ]
  }

  /// Records that have no place, no such length, or no meaning.
  static func forgeRecords() throws -> [Case] {
    let list = record(4, [UInt8](repeating: 0, count: 8))
    let signed: [UInt8] = try entry().serializedBytes()
    var echo = Hanse_V1_BundleEcho()
    echo.lab = Data(repeating: 2, count: 32)
    echo.nonce = Data(repeating: 2, count: 32)
    var unsorted = note
    unsorted.echoes = [echo, echo]
    let noteBytes: [UInt8] = try note.serializedBytes()
    return [
      Case(
        name: "kind_unknown", expect: "kind", comment: "Kind 9.", bytes: sealed(record(9, [1]))),
      Case(
        name: "length_huge", expect: "length", comment: "Four gibibytes of a note.",
        bytes: sealed([1, 0xFF, 0xFF, 0xFF, 0xFF])),
      Case(
        name: "entry_empty", expect: "length", comment: "An entry without bytes.",
        bytes: sealed(record(2, []))),
      Case(
        name: "end_short", expect: "length", comment: "A signature of 63 bytes.",
        bytes: Array(sealed([]).dropLast(37)) + record(0, [UInt8](repeating: 0, count: 95))),
      Case(
        name: "note_late", expect: "order", comment: "A note behind an entry.",
        bytes: sealed(record(2, signed) + record(1, noteBytes))),
      Case(
        name: "entry_late", expect: "order", comment: "An entry behind evidence.",
        bytes: sealed(record(3, signed) + record(2, signed))),
      Case(
        name: "block_alone", expect: "order", comment: "A block without a list.",
        bytes: sealed(record(5, [0, 0, 0, 0, 1]))),
      Case(
        name: "block_twice", expect: "order", comment: "Indexes that do not ascend.",
        bytes: sealed(list + record(5, [0, 0, 0, 1, 1]) + record(5, [0, 0, 0, 1, 1]))),
      Case(
        name: "entry_garbage", expect: "unreadable", comment: "An entry that is none.",
        bytes: sealed(record(2, [0xFF, 0xFF]))),
      Case(
        name: "note_unsorted", expect: "unreadable", comment: "One lab echoed twice.",
        bytes: sealed(record(1, try unsorted.serializedBytes()))),
    ]
  }

  static func text(_ one: Case) throws -> String {
    var lines = ["expect: \(one.expect)", "comment: \(one.comment)", "kind: bundle"]
    if one.expect == "success" {
      let parts = try parts(one.bytes)
      lines.append("records: \(parts.count)")
      guard case .end(let hash, let signature)? = parts.last else { return "" }
      let isSigned = signature.map { Records.Bundle.isSigned(hash, $0, by: key.publicKey) } ?? false
      lines += ["key: \(EntryVectorTests.hex(key.publicKey.bytes))", "signed: \(isSigned)"]
    }
    var hex: [String] = []
    var rest = one.bytes[...]
    while !rest.isEmpty {
      hex.append(EntryVectorTests.hex(Array(rest.prefix(32))))
      rest = rest.dropFirst(32)
    }
    return (lines + [""] + hex).joined(separator: "\n") + "\n"
  }

  @Test func theVectorsAreWhatTheForgeWritesAndEndWhereTheySay() throws {
    let isForging = ProcessInfo.processInfo.environment["HANSE_FORGE_VECTORS"] == "1"
    if isForging {
      try FileManager.default.createDirectory(at: Self.folder, withIntermediateDirectories: true)
    }
    let cases = try Self.forge()
    for one in cases {
      #expect(try Self.outcome(one.bytes) == one.expect, "\(one.name)")
      let url = Self.folder.appending(path: one.name + ".txt")
      let text = try Self.text(one)
      if isForging { try text.write(to: url, atomically: true, encoding: .utf8) }
      #expect(try String(contentsOf: url, encoding: .utf8) == text, "\(one.name)")
    }
    let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
      .filter { $0.hasSuffix(".txt") }
    #expect(names.count == cases.count)
  }

  @Test func everyPieceComesBackAndEveryCutIsNoticed() throws {
    let entry = try Self.entry()
    let bytes = try Self.write { writer in
      try writer.add(entry)
      try writer.add(evidence: entry)
      try writer.begin(blockList: [UInt8](repeating: 7, count: 40))
      try writer.add(block: [1], at: 0)
      try writer.add(block: [2, 3], at: 5)
    }
    let parts = try Self.parts(bytes)
    #expect(
      Array(parts.dropLast()) == [
        .note(Self.note), .entry(entry), .evidence(entry),
        .blockList([UInt8](repeating: 7, count: 40)), .block(index: 0, bytes: [1]),
        .block(index: 5, bytes: [2, 3]),
      ])
    guard case .end(let hash, let signature?)? = parts.last else {
      Issue.record("no signed end")
      return
    }
    #expect(Records.Bundle.isSigned(hash, signature, by: Self.key.publicKey))
    #expect(!Records.Bundle.isSigned(hash, signature, by: SigningKey.generate().publicKey))
    for count in 0..<bytes.count {
      let cut = try Self.outcome(Array(bytes.prefix(count)))
      #expect(cut == "truncated" || cut == "magic", "\(count) bytes: \(cut)")
    }
    for place in bytes.indices.dropLast(64) {
      var other = bytes
      other[place] ^= 0x10
      #expect(try Self.outcome(other) != "success", "byte \(place)")
    }
  }
}
