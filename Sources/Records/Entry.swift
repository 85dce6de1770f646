import FoundationEssentials
import Identities
import SwiftProtobuf
import Synchronization

/// Where entries are read from signed bytes. Reading is a pure function, so that who simulates many
/// nodes in one process may read each entry once for all of them.
public protocol EntryReading: Sendable {
  /// The entry of these bytes; see ``Entry/init(_:)``.
  func read(_ signed: Hanse_V1_SignedEntry) throws(RecordError) -> Entry
}

/// Reads each time anew.
public struct PlainEntryReading: EntryReading {
  /// The only way.
  public init() {}
  public func read(_ signed: Hanse_V1_SignedEntry) throws(RecordError) -> Entry {
    try Entry(signed)
  }
}

/// A place in a log, and the entry that stands there.
public struct LogPlace: Sendable, Hashable {
  /// Whose log.
  public let lab: LabID
  /// The entry's number, from 1.
  public let sequence: UInt64
  /// The entry's id.
  public let entry: ContentID

  /// A place as carried; nil when an id has another length than 32 bytes or the sequence is 0.
  init?(_ wire: Hanse_V1_LogPosition) {
    guard let lab = LabID(bytes: wire.lab), let entry = ContentID(bytes: wire.entry),
      wire.sequence > 0
    else { return nil }
    self.lab = lab
    self.sequence = wire.sequence
    self.entry = entry
  }
}

/// One item of a lab's log, read from its bytes and checked as far as the bytes alone allow.
///
/// The signature is checked by ``verify(with:)``, since only the roster knows a lab's key.
///
/// All copies of an entry share what was read, and the key that it was once found to be signed
/// with.
public struct Entry: Sendable, Hashable {
  private let content: Content

  private final class Content: Sendable {
    let id: ContentID
    let body: [UInt8]
    let signature: [UInt8]
    let message: Hanse_V1_Entry
    let lab: LabID
    let federation: ContentID
    let previous: ContentID?
    let position: Hanse_V1_LogPosition
    let attested: [LogPlace]
    let signer = Mutex<PublicKey?>(nil)

    init(
      _ body: [UInt8], _ signature: [UInt8], _ message: Hanse_V1_Entry, lab: LabID,
      federation: ContentID, previous: ContentID?
    ) {
      let id = ContentID(of: body, kind: .entry)
      var position = Hanse_V1_LogPosition()
      position.lab = .init(lab.bytes)
      position.sequence = message.sequence
      position.entry = .init(id.bytes)
      self.id = id
      self.position = position
      if case .attestation(let attestation)? = message.payload {
        attested = attestation.prefixes.compactMap { LogPlace($0) }
      } else {
        attested = []
      }
      self.body = body
      self.signature = signature
      self.message = message
      self.lab = lab
      self.federation = federation
      self.previous = previous
    }
  }

  /// Content id of `body`: the entry's name everywhere.
  public var id: ContentID { content.id }
  /// The signed bytes, exactly as carried.
  public var body: [UInt8] { content.body }
  /// Ed25519, 64 bytes.
  public var signature: [UInt8] { content.signature }
  /// The message in `body`.
  public var message: Hanse_V1_Entry { content.message }
  /// Whose log it belongs to.
  public var lab: LabID { content.lab }
  /// Which federation.
  public var federation: ContentID { content.federation }
  /// The entry before in the same log; nil at sequence 1.
  public var previous: ContentID? { content.previous }

  /// Position in the log, from 1.
  public var sequence: UInt64 { message.sequence }
  /// The roster version under which it was written.
  public var rosterVersion: UInt32 { message.rosterVersion }

  /// Where logs end that it attests, in its order; nothing when it is no attestation.
  public var attested: [LogPlace] { content.attested }

  /// Reads an entry.
  ///
  /// - Throws: ``RecordError`` naming the field. The signature is not checked here.
  public init(body: [UInt8], signature: [UInt8]) throws(RecordError) {
    guard body.count <= Limits.entryBytesMax else {
      throw .tooLarge(what: "an entry", bytes: body.count, limit: Limits.entryBytesMax)
    }
    guard signature.count == PublicKey.signatureByteCount else {
      throw .field("signature", "has \(signature.count) bytes instead of 64")
    }
    guard let message = try? Hanse_V1_Entry(serializedBytes: body) else {
      throw .unreadable(what: "an entry")
    }
    guard let lab = LabID(bytes: message.lab) else { throw .field("lab", "is not an id") }
    guard let federation = ContentID(bytes: message.federation) else {
      throw .field("federation", "is not an id")
    }
    guard message.sequence >= 1, message.sequence < 1 << 62 else {
      throw .field("sequence", "is \(message.sequence)")
    }
    guard message.rosterVersion >= 1 else { throw .field("roster_version", "is 0") }
    let previous = ContentID(bytes: message.previous)
    guard (message.sequence == 1) == message.previous.isEmpty,
      previous != nil || message.previous.isEmpty
    else {
      throw .field("previous", "does not fit sequence \(message.sequence)")
    }
    try PayloadCheck.check(message)
    content = Content(
      body, signature, message, lab: lab, federation: federation, previous: previous)
  }

  /// Reads what crossed the wire.
  public init(_ signed: Hanse_V1_SignedEntry) throws(RecordError) {
    try self.init(body: Array(signed.body), signature: Array(signed.signature))
  }

  /// Signs a new entry. Precondition: the message is within the limits.
  public init(signing message: Hanse_V1_Entry, with key: SigningKey) throws(RecordError) {
    guard let body: [UInt8] = try? message.serializedBytes() else {
      throw .unreadable(what: "a new entry")
    }
    try self.init(body: body, signature: key.sign(Self.signedBytes(body)))
  }

  /// Checks the signature.
  ///
  /// - Throws: ``RecordError/signature(lab:sequence:)``.
  public func verify(with key: PublicKey) throws(RecordError) {
    if content.signer.withLock({ $0 == key }) { return }
    guard key.verifies(signature, of: Self.signedBytes(body)) else {
      throw .signature(lab: lab, sequence: sequence)
    }
    content.signer.withLock { $0 = key }
  }

  /// The wire form.
  public var signed: Hanse_V1_SignedEntry {
    var result = Hanse_V1_SignedEntry()
    result.body = .init(body)
    result.signature = .init(signature)
    return result
  }

  /// Its place in the log.
  public var position: Hanse_V1_LogPosition { content.position }

  /// What is signed: a fixed prefix, so that no signature serves two purposes, then the body.
  static func signedBytes(_ body: [UInt8]) -> [UInt8] {
    Array("hanse entry 1\u{0}".utf8) + body
  }

  public static func == (left: Entry, right: Entry) -> Bool {
    left.content === right.content
      || (left.id == right.id && left.signature == right.signature)
  }

  public func hash(into hasher: inout Hasher) { hasher.combine(id) }
}
