import Identities
import SwiftProtobuf

/// A federation's founding document, read from its bytes and checked.
public struct Charter: Sendable {
  /// The bytes as the founder wrote them.
  public let bytes: [UInt8]
  /// The federation id: content id of `bytes`.
  public let id: ContentID
  /// The message in `bytes`.
  public let message: Hanse_V1_Charter
  /// The founding labs in the charter's order.
  public let founders: [(lab: LabID, key: PublicKey, name: String)]

  /// Reads a charter.
  ///
  /// - Throws: ``RecordError`` naming the field and what it may be.
  public init(bytes: [UInt8]) throws(RecordError) {
    guard bytes.count <= Limits.charterBytesMax else {
      throw .tooLarge(what: "a charter", bytes: bytes.count, limit: Limits.charterBytesMax)
    }
    guard let message = try? Hanse_V1_Charter(serializedBytes: bytes) else {
      throw .unreadable(what: "a charter")
    }
    guard message.format == 1 else {
      throw .field("format", "is \(message.format); this software reads format 1")
    }
    guard !message.name.isEmpty else { throw .field("name", "is empty") }
    try PayloadCheck.name(message.name, "name")
    try Self.checkShape(message.adapter)
    try Self.checkRules(message)
    guard !message.base.files.isEmpty,
      message.base.files.allSatisfy({ $0.hash.count == ContentID.byteCount && !$0.name.isEmpty })
    else { throw .field("base.files", "do not each have a name and a hash") }
    guard (1...Limits.labsMax).contains(message.founders.count) else {
      throw .field("founders", "are \(message.founders.count)")
    }
    var founders: [(lab: LabID, key: PublicKey, name: String)] = []
    for founder in message.founders {
      guard let key = PublicKey(bytes: founder.key) else {
        throw .field("founders.key", "is not a key")
      }
      try PayloadCheck.name(founder.name, "founders.name")
      let lab = LabID(firstKey: key)
      guard !founders.contains(where: { $0.lab == lab }) else {
        throw .field("founders", "name one key twice")
      }
      founders.append((lab, key, founder.name))
    }
    self.bytes = bytes
    self.id = ContentID(of: bytes, kind: .charter)
    self.message = message
    self.founders = founders
  }

  /// Writes a charter.
  public init(_ message: Hanse_V1_Charter) throws(RecordError) {
    guard let bytes: [UInt8] = try? message.serializedBytes() else {
      throw .unreadable(what: "a new charter")
    }
    try self.init(bytes: bytes)
  }

  private static func checkShape(_ shape: Hanse_V1_AdapterShape) throws(RecordError) {
    guard (1...1024).contains(shape.rank) else { throw .field("adapter.rank", "is \(shape.rank)") }
    guard (1...65536).contains(shape.alpha) else {
      throw .field("adapter.alpha", "is \(shape.alpha)")
    }
    guard shape.seed.count == 32 else { throw .field("adapter.seed", "has not 32 bytes") }
    guard !shape.modules.isEmpty, shape.modules.count * 2 <= Limits.factorsMax else {
      throw .field("adapter.modules", "are \(shape.modules.count)")
    }
    for module in shape.modules {
      guard !module.path.isEmpty, module.path.utf8.count <= Limits.textBytesMax,
        (1...1 << 24).contains(module.inputs), (1...1 << 24).contains(module.outputs)
      else {
        throw .field("adapter.modules", "has an impossible one: \(module.path.debugDescription)")
      }
    }
  }

  private static func checkRules(_ message: Hanse_V1_Charter) throws(RecordError) {
    let merge = message.merge
    guard merge.outerRateQ16 <= 1 << 20 else { throw .field("merge.outer_rate_q16", "is over 16") }
    guard merge.momentumQ16 < 1 << 16 else { throw .field("merge.momentum_q16", "is not below 1") }
    guard merge.latenessLimit <= UInt32(Limits.latenessMax) else {
      throw .field("merge.lateness_limit", "is \(merge.latenessLimit)")
    }
    guard (1...UInt32(Limits.judgesMax)).contains(message.judging.committee) else {
      throw .field("judging.committee", "is \(message.judging.committee)")
    }
    let round = message.round
    guard (1...1 << 20).contains(round.localSteps), (1...1 << 16).contains(round.batch),
      (2...1 << 20).contains(round.length), round.learningRate.isFinite, round.learningRate > 0
    else { throw .field("round", "has a number out of range") }
  }
}

extension Charter {
  /// Rounds for which payloads are kept; 256 where the charter names none.
  public var retention: UInt32 {
    message.merge.retention == 0 ? UInt32(Limits.retentionRounds) : message.merge.retention
  }

  /// Bytes of the snapshot of a folded state, which follow from the adapter's shape alone:
  /// Protocol/Merge.md, "State".
  public var snapshotByteCount: UInt64 {
    let shape = message.adapter
    let coordinates = shape.modules.reduce(UInt64(0)) { sum, module in
      sum + UInt64(shape.rank) * (UInt64(module.inputs) + UInt64(module.outputs))
    }
    return 48 + 8 * (2 * UInt64(shape.modules.count) + 2 * coordinates)
  }
}
