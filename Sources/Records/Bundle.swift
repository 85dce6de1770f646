import FoundationEssentials
import Identities
import SwiftProtobuf

/// Logs and payloads as one file, for labs that cannot reach each other. Protocol/Bundle.md.
public enum Bundle {
  /// The first eight bytes.
  public static let magic = Array("HANSEBUN".utf8)
  /// The version that this software writes and reads.
  public static let version: UInt8 = 1
  /// Magic, version, seven zeros, federation.
  public static let headerBytes = 48
  /// Kind and length.
  static let recordHeaderBytes = 5

  /// One piece of a bundle.
  public enum Part: Sendable, Equatable {
    /// Who wrote it.
    case note(Hanse_V1_BundleNote)
    /// An entry; what it rests on stands before it.
    case entry(Hanse_V1_SignedEntry)
    /// Another entry at a place that one has been given for: a proof of equivocation.
    case evidence(Hanse_V1_SignedEntry)
    /// The block list of the object whose blocks follow.
    case blockList([UInt8])
    /// A block of the object whose list came last.
    case block(index: UInt32, bytes: [UInt8])
    /// The end, with the name of everything before it, and the writer's signature if there is one.
    case end(hash: ContentID, signature: [UInt8]?)

    /// The kinds as they are written, in the order in which they may follow each other.
    enum Kind: UInt8 {
      case end = 0
      case note = 1
      case entry = 2
      case evidence = 3
      case blockList = 4
      case block = 5

      /// Bytes that the record may have.
      var limits: ClosedRange<Int> {
        switch self {
        case .end: 32...96
        case .note: 0...Limits.bundleNoteBytesMax
        case .entry, .evidence: 1...Limits.entryBytesMax + 128
        case .blockList: 8...8 + 32 * (Limits.payloadBytesMax / Limits.blockBytesMax)
        case .block: 5...4 + Limits.blockBytesMax
        }
      }
    }
  }

  /// What the writer signs: the hash at the end.
  static func signedBytes(_ hash: ContentID) -> [UInt8] {
    Array("hanse bundle 1\u{0}".utf8) + hash.bytes
  }

  /// Whether a lab's key has signed a bundle.
  public static func isSigned(_ hash: ContentID, _ signature: [UInt8], by key: PublicKey) -> Bool {
    key.verifies(signature, of: signedBytes(hash))
  }
}

/// Why a file is not a bundle, or not a whole one.
public enum BundleError: Error, Equatable, CustomStringConvertible {
  case notABundle
  case version(UInt8)
  case truncated
  case kind(UInt8)
  case length(kind: UInt8, bytes: Int)
  case outOfPlace(String)
  case unreadable(String)
  case tooManyRecords
  case hash
  case trailing

  /// The name of the check, as the vectors have it.
  public var name: String {
    switch self {
    case .notABundle: "magic"
    case .version: "version"
    case .truncated: "truncated"
    case .kind: "kind"
    case .length: "length"
    case .outOfPlace: "order"
    case .unreadable: "unreadable"
    case .tooManyRecords: "records"
    case .hash: "hash"
    case .trailing: "trailing"
    }
  }

  public var description: String {
    switch self {
    case .notABundle: "it is not a bundle"
    case .version(let version):
      "it is a bundle of version \(version); this software reads version \(Bundle.version)"
    case .truncated: "it ends in the middle: a part of the file is missing"
    case .kind(let kind): "it holds a record of an unknown kind (\(kind))"
    case .length(let kind, let bytes):
      "it holds a record of kind \(kind) with \(bytes) bytes, which no such record has"
    case .outOfPlace(let what): "\(what) stands where none may"
    case .unreadable(let what): "\(what) in it cannot be read"
    case .tooManyRecords: "it holds more than \(Limits.bundleRecordsMax) records"
    case .hash: "it is damaged: its contents do not have the hash at its end"
    case .trailing: "something follows its end"
    }
  }
}

/// Reads a bundle piece by piece, never more of it in memory than one record.
public struct BundleReader: ~Copyable {
  /// Gives the next bytes: as many as asked for, fewer only at the end.
  public typealias Source = (Int) throws -> [UInt8]

  /// Whose logs they are.
  public let federation: ContentID
  private let source: Source
  private var hasher: ContentHasher?
  private var last: Bundle.Part.Kind?
  private var lastBlock: UInt32?
  private var records = 0

  /// Reads the header.
  ///
  /// - Throws: ``BundleError``, or what the source throws.
  public init(_ source: @escaping Source) throws {
    let header = try source(Bundle.headerBytes)
    guard header.starts(with: Bundle.magic) else { throw BundleError.notABundle }
    guard header.count == Bundle.headerBytes else { throw BundleError.truncated }
    guard header[8] == Bundle.version else { throw BundleError.version(header[8]) }
    guard header[9..<16].allSatisfy({ $0 == 0 }), let id = ContentID(bytes: header[16...]) else {
      throw BundleError.unreadable("the header")
    }
    federation = id
    self.source = source
    var hasher = ContentHasher(kind: .bundle)
    hasher.update(header)
    self.hasher = consume hasher
  }

  /// The next piece; nil after the end.
  ///
  /// - Throws: ``BundleError``, or what the source throws.
  public mutating func next() throws -> Bundle.Part? {
    if last == .end { return nil }
    records += 1
    guard records <= Limits.bundleRecordsMax else { throw BundleError.tooManyRecords }
    let head = try take(Bundle.recordHeaderBytes)
    let length = head[1...].reduce(0) { $0 << 8 | Int($1) }
    guard let kind = Bundle.Part.Kind(rawValue: head[0]) else { throw BundleError.kind(head[0]) }
    guard kind.limits.contains(length) else {
      throw BundleError.length(kind: head[0], bytes: length)
    }
    try checkPlace(of: kind)
    let body = try take(length)
    if kind != .end {
      hasher?.update(head)
      hasher?.update(body)
    }
    last = kind
    return try part(kind, body)
  }

  private func take(_ count: Int) throws -> [UInt8] {
    let bytes = try source(count)
    guard bytes.count == count else { throw BundleError.truncated }
    return bytes
  }

  /// The note comes first, entries before evidence, evidence before objects, blocks behind a list.
  private func checkPlace(of kind: Bundle.Part.Kind) throws {
    let before = last?.rawValue ?? 0
    switch kind {
    case .note: if last != nil { throw BundleError.outOfPlace("a note") }
    case .entry: if before > kind.rawValue { throw BundleError.outOfPlace("an entry") }
    case .evidence: if before > kind.rawValue { throw BundleError.outOfPlace("evidence") }
    case .block:
      guard last == .blockList || last == .block else { throw BundleError.outOfPlace("a block") }
    case .blockList, .end: break
    }
  }

  private mutating func part(_ kind: Bundle.Part.Kind, _ body: [UInt8]) throws -> Bundle.Part {
    switch kind {
    case .note:
      guard let note = try? Hanse_V1_BundleNote(serializedBytes: body), Self.isGood(note) else {
        throw BundleError.unreadable("the note")
      }
      return .note(note)
    case .entry, .evidence:
      guard let entry = try? Hanse_V1_SignedEntry(serializedBytes: body) else {
        throw BundleError.unreadable("an entry")
      }
      return kind == .entry ? .entry(entry) : .evidence(entry)
    case .blockList:
      lastBlock = nil
      return .blockList(body)
    case .block:
      let index = body.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      if let lastBlock, index <= lastBlock { throw BundleError.outOfPlace("a block") }
      lastBlock = index
      return .block(index: index, bytes: Array(body.dropFirst(4)))
    case .end: return try end(body)
    }
  }

  private static func isGood(_ note: Hanse_V1_BundleNote) -> Bool {
    let labs = note.echoes.map { Array($0.lab) }
    return note.lab.count == 32 && (note.nonce.isEmpty || note.nonce.count == 32)
      && note.software.utf8.count <= Limits.textBytesMax && labs.count <= Limits.labsMax
      && note.echoes.allSatisfy { $0.lab.count == 32 && $0.nonce.count == 32 }
      && zip(labs, labs.dropFirst()).allSatisfy { $0.lexicographicallyPrecedes($1) }
  }

  private mutating func end(_ body: [UInt8]) throws -> Bundle.Part {
    guard body.count == 32 || body.count == 96, let named = ContentID(bytes: body.prefix(32)) else {
      throw BundleError.length(kind: Bundle.Part.Kind.end.rawValue, bytes: body.count)
    }
    guard let found = hasher.take()?.finish(), found == named else { throw BundleError.hash }
    guard try source(1).isEmpty else { throw BundleError.trailing }
    return .end(hash: named, signature: body.count > 32 ? Array(body.dropFirst(32)) : nil)
  }
}

/// Writes a bundle piece by piece.
public struct BundleWriter: ~Copyable {
  private let sink: ([UInt8]) throws -> Void
  private var hasher: ContentHasher

  /// Writes the header.
  public init(
    federation: ContentID, note: Hanse_V1_BundleNote?, to sink: @escaping ([UInt8]) throws -> Void
  ) throws {
    self.sink = sink
    hasher = ContentHasher(kind: .bundle)
    let header =
      Bundle.magic + [Bundle.version] + [UInt8](repeating: 0, count: 7) + federation.bytes
    hasher.update(header)
    try sink(header)
    if let note { try write(.note, note.serializedBytes()) }
  }

  /// Writes an entry; what it rests on must stand before it.
  public mutating func add(_ entry: Hanse_V1_SignedEntry) throws {
    try write(.entry, entry.serializedBytes())
  }

  /// Writes the other entry at a place of a log. To be called after all entries.
  public mutating func add(evidence: Hanse_V1_SignedEntry) throws {
    try write(.evidence, evidence.serializedBytes())
  }

  /// Begins an object. To be called after all entries and evidence.
  public mutating func begin(blockList: [UInt8]) throws { try write(.blockList, blockList) }

  /// Writes a block of the object that was begun, in ascending order.
  public mutating func add(block bytes: [UInt8], at index: UInt32) throws {
    try write(.block, index.bigEndianBytes + bytes)
  }

  /// Ends the bundle; nothing may be written afterwards.
  public consuming func finish(signedWith key: SigningKey?) throws {
    let sink = sink
    let hash = hasher.finish()
    let signature = key?.sign(Bundle.signedBytes(hash)) ?? []
    try sink(Self.head(.end, 32 + signature.count) + hash.bytes + signature)
  }

  private mutating func write(_ kind: Bundle.Part.Kind, _ body: [UInt8]) throws {
    guard kind.limits.contains(body.count) else {
      throw BundleError.length(kind: kind.rawValue, bytes: body.count)
    }
    let head = Self.head(kind, body.count)
    hasher.update(head)
    hasher.update(body)
    try sink(head + body)
  }

  private static func head(_ kind: Bundle.Part.Kind, _ length: Int) -> [UInt8] {
    [kind.rawValue] + UInt32(length).bigEndianBytes
  }
}

extension UInt32 {
  fileprivate var bigEndianBytes: [UInt8] { withUnsafeBytes(of: bigEndian) { Array($0) } }
}
