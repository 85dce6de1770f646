import Foundation
import Identities
import Records
import SwiftProtobuf
import Testing

/// The vectors of Protocol/Vectors/Entry: a body, a signature, a key, and the check that must fail.
///
/// With `HANSE_FORGE_VECTORS=1` they are written instead of read.
@Suite struct EntryVectorTests {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Protocol/Vectors/Entry")
  static let key = SigningKey(seed: (0..<32).map { UInt8($0) })!

  struct Case {
    let name: String
    let expect: String
    let comment: String
    let body: [UInt8]
    let signature: [UInt8]

    var text: String {
      """
      expect: \(expect)
      comment: \(comment)
      key: \(EntryVectorTests.hex(EntryVectorTests.key.publicKey.bytes))
      signature: \(EntryVectorTests.hex(signature))

      \(EntryVectorTests.hex(body))

      """
    }
  }

  @Test func eachVectorEndsAtTheCheckThatItNames() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
      .filter { $0.hasSuffix(".txt") }.sorted()
    #expect(names.count >= 14)
    for name in names {
      let text = try String(contentsOf: Self.folder.appending(path: name), encoding: .utf8)
      let parts = text.components(separatedBy: "\n\n")
      var fields: [String: String] = [:]
      for line in parts[0].split(separator: "\n") {
        let halves = line.split(separator: ":", maxSplits: 1)
        fields[String(halves[0])] = halves[1].trimmingCharacters(in: .whitespaces)
      }
      let body = Self.bytes(parts[1].filter { !$0.isWhitespace })
      let signature = Self.bytes(fields["signature"] ?? "")
      let key = try #require(PublicKey(bytes: Self.bytes(fields["key"] ?? "")))
      #expect(Self.outcome(body, signature, key) == fields["expect"], "\(name)")
    }
  }

  @Test func theVectorsAreWhatTheForgeWrites() throws {
    let isForging = ProcessInfo.processInfo.environment["HANSE_FORGE_VECTORS"] == "1"
    if isForging {
      try FileManager.default.createDirectory(at: Self.folder, withIntermediateDirectories: true)
    }
    for vector in try Self.forge() {
      let url = Self.folder.appending(path: vector.name + ".txt")
      if isForging { try vector.text.write(to: url, atomically: true, encoding: .utf8) }
      #expect(try String(contentsOf: url, encoding: .utf8) == vector.text, "\(vector.name)")
    }
  }

  /// `success`, or the name of the field or check that refused.
  static func outcome(_ body: [UInt8], _ signature: [UInt8], _ key: PublicKey) -> String {
    do throws(RecordError) {
      try Entry(body: body, signature: signature).verify(with: key)
      return "success"
    } catch {
      switch error {
      case .tooLarge: return "too large"
      case .unreadable: return "unreadable"
      case .field(let name, _): return name
      case .signature: return "signature"
      }
    }
  }

  static func forge() throws -> [Case] {
    func made(
      _ name: String, _ expect: String, _ comment: String,
      _ payload: Hanse_V1_Entry.OneOf_Payload? = .presence(Hanse_V1_Presence()),
      change: (inout Hanse_V1_Entry) -> Void = { _ in }
    ) throws -> Case {
      var message = Hanse_V1_Entry()
      message.federation = Data(ContentID(of: [1], kind: .charter).bytes)
      message.lab = Data(LabID(firstKey: key.publicKey).bytes)
      message.rosterVersion = 1
      message.sequence = 1
      message.payload = payload
      change(&message)
      let body: [UInt8] = try message.serializedBytes()
      return Case(
        name: name, expect: expect, comment: comment, body: body,
        signature: key.sign(Array("hanse entry 1\u{0}".utf8) + body))
    }
    let good = try made("entry_good", "success", "A lab says that it is there.")
    var flipped = good.signature
    flipped[10] ^= 4
    var presence = Hanse_V1_Presence()
    presence.addresses = (0..<9).map { "lab:\($0 + 1)" }
    var contribution = Hanse_V1_Contribution()
    contribution.base.rosterVersion = 1
    contribution.base.frontier.seal.rosterVersion = 1
    contribution.base.frontier.members = Data(ContentID.members([]).bytes)
    contribution.round = 1
    contribution.attempt = 1
    contribution.payload.codec = "int4-128"
    contribution.payload.size = 1
    contribution.payload.blockList = Data(ContentID(of: [1], kind: .object).bytes)
    contribution.payload.symbols = Data(ContentID(of: [1], kind: .symbols).bytes)
    contribution.tokens = 1
    func changed(_ change: (inout Hanse_V1_Contribution) -> Void) -> Hanse_V1_Entry.OneOf_Payload {
      var copy = contribution
      change(&copy)
      return .contribution(copy)
    }
    return [
      good,
      Case(
        name: "signature_flipped", expect: "signature",
        comment: "One bit of the signature differs.",
        body: good.body, signature: flipped),
      Case(
        name: "signature_bare", expect: "signature", comment: "Signed without the prefix.",
        body: good.body, signature: key.sign(good.body)),
      Case(
        name: "signature_short", expect: "signature", comment: "63 bytes.",
        body: good.body, signature: Array(good.signature.dropLast())),
      Case(
        name: "entry_cut", expect: "unreadable", comment: "The last byte is missing.",
        body: Array(good.body.dropLast()), signature: good.signature),
      try made("sequence_zero", "sequence", "Numbers begin at 1.") { $0.sequence = 0 },
      try made("previous_missing", "previous", "Sequence 2 names nothing before it.") {
        $0.sequence = 2
      },
      try made("previous_first", "previous", "Sequence 1 names something before it.") {
        $0.previous = Data(ContentID(of: [1], kind: .entry).bytes)
      },
      try made("lab_short", "lab", "31 bytes.") { $0.lab = $0.lab.dropLast() },
      try made("federation_missing", "federation", "No federation.") { $0.federation = Data() },
      try made("roster_zero", "roster_version", "Rosters begin at 1.") { $0.rosterVersion = 0 },
      try made("kind_unknown", "success", "No payload that version 1 knows: kept.", nil),
      try made(
        "addresses_many", "addresses", "Nine addresses.", .presence(presence)),
      try made("contribution_good", "success", "The smallest contribution.", changed { _ in }),
      try made("attempt_nine", "attempt", "Eight tries are allowed.", changed { $0.attempt = 9 }),
      try made(
        "payload_huge", "payload.size", "More than 2^30 bytes.",
        changed { $0.payload.size = (1 << 30) + 1 }),
      try made("tokens_none", "tokens", "Trained on nothing.", changed { $0.tokens = 0 }),
      try made(
        "epsilon_negative", "epsilon", "A privacy budget below zero.", changed { $0.epsilon = -1 }),
    ]
  }

  static func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  static func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map {
      UInt8(digits[$0] << 4 | digits[$0 + 1])
    }
  }
}
