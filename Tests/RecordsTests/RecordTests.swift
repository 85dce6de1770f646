import Determinism
import FoundationEssentials
import Identities
import Records
import SwiftProtobuf
import Testing

@Suite struct RecordTests {
  static let key = SigningKey(seed: [UInt8](repeating: 3, count: 32))!

  static func message(_ payload: Hanse_V1_Entry.OneOf_Payload?) -> Hanse_V1_Entry {
    var message = Hanse_V1_Entry()
    message.federation = Data(ContentID(of: [1], kind: .charter).bytes)
    message.lab = Data(LabID(firstKey: key.publicKey).bytes)
    message.rosterVersion = 1
    message.sequence = 1
    message.payload = payload
    return message
  }

  @Test func anEntryComesBackFromItsBytes() throws {
    var presence = Hanse_V1_Presence()
    presence.name = "Lübeck"
    let entry = try Entry(signing: Self.message(.presence(presence)), with: Self.key)
    let read = try Entry(body: entry.body, signature: entry.signature)
    try read.verify(with: Self.key.publicKey)
    #expect(read == entry)
    #expect(read.id == ContentID(of: entry.body, kind: .entry))
    #expect(read.message.presence.name == "Lübeck")
  }

  @Test func aRotationIsOneLineThatShowsEveryMistake() throws {
    let lab = LabID(firstKey: Self.key.publicKey)
    let new = SigningKey(seed: [UInt8](repeating: 4, count: 32))!
    let line = KeyRotationText.write(Hanse_V1_KeyRotation(of: lab, to: new))
    #expect(line.hasPrefix("hansekey1"))
    let read = try KeyRotationText.read("  \(line.uppercased())\n")
    #expect(LabID(bytes: read.lab) == lab)
    #expect(PublicKey(bytes: read.newKey) == new.publicKey)
    for place in line.indices {
      var letters = Array(line)
      let index = line.distance(from: line.startIndex, to: place)
      letters[index] = letters[index] == "a" ? "b" : "a"
      #expect(throws: RecordError.self) { try KeyRotationText.read(String(letters)) }
      #expect(throws: RecordError.self) { try KeyRotationText.read(String(line[..<place])) }
    }
    var foreign = read
    foreign.lab = Data(LabID(firstKey: new.publicKey).bytes)
    #expect(throws: RecordError.self) {
      try KeyRotationText.read(KeyRotationText.write(foreign))
    }
  }

  @Test func everyFlippedBitOfAnEntryIsRefused() throws {
    var presence = Hanse_V1_Presence()
    presence.addresses = ["a:1"]
    let entry = try Entry(signing: Self.message(.presence(presence)), with: Self.key)
    for bit in 0..<entry.body.count * 8 {
      var body = entry.body
      body[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(throws: RecordError.self) {
        try Entry(body: body, signature: entry.signature).verify(with: Self.key.publicKey)
      }
    }
    for bit in 0..<512 {
      var signature = entry.signature
      signature[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(throws: RecordError.self) {
        try Entry(body: entry.body, signature: signature).verify(with: Self.key.publicKey)
      }
    }
  }

  @Test func aKindOfALaterVersionIsKept() throws {
    let known = try Self.message(nil).serializedBytes() as [UInt8]
    // Field 40, two bytes: nothing that this version knows.
    let later = known + [0xC2, 0x02, 0x02, 0x01, 0x02]
    let entry = try Entry(body: later, signature: [UInt8](repeating: 0, count: 64))
    #expect(entry.message.payload == nil)
    #expect(entry.body == later)
  }

  @Test func namesWhatIsTooLargeOrOutOfRange() throws {
    let large = [UInt8](repeating: 0, count: Limits.entryBytesMax + 1)
    #expect(
      throws: RecordError.tooLarge(
        what: "an entry", bytes: large.count, limit: Limits.entryBytesMax)
    ) { try Entry(body: large, signature: [UInt8](repeating: 0, count: 64)) }
    var message = Self.message(.presence(Hanse_V1_Presence()))
    message.sequence = 2
    #expect(throws: RecordError.self) { try Entry(signing: message, with: Self.key) }
    var verdict = Hanse_V1_Verdict()
    verdict.contribution = Data([1, 2, 3])
    #expect(
      throws: RecordError.field("verdict.contribution", "has 3 bytes instead of 32")
    ) { try Entry(signing: Self.message(.verdict(verdict)), with: Self.key) }
    var attempt = Hanse_V1_Contribution()
    attempt.round = 1
    attempt.attempt = 9
    #expect(throws: RecordError.self) {
      try Entry(signing: Self.message(.contribution(attempt)), with: Self.key)
    }
  }

  @Test func noBytesTrapTheReader() {
    var generator = SeededGenerator(seed: 11)
    let signature = [UInt8](repeating: 0, count: 64)
    var seed =
      (try? Self.message(.presence(Hanse_V1_Presence())).serializedBytes() as [UInt8]) ?? []
    for _ in 0..<20_000 {
      var bytes = seed
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        let index = Int.random(in: 0..<bytes.count, using: &generator)
        bytes[index] = UInt8(truncatingIfNeeded: generator.next())
      }
      if let entry = try? Entry(body: bytes, signature: signature), generator.next() % 8 == 0 {
        seed = entry.body
      }
      _ = try? Charter(bytes: bytes)
    }
  }

  @Test func aTicketSurvivesMailAndNothingElse() throws {
    var ticket = Hanse_V1_Ticket()
    ticket.federation = Data(ContentID(of: [1], kind: .charter).bytes)
    ticket.invitationSeed = Data(Self.key.seed)
    ticket.expiresSeconds = 5
    var contact = Hanse_V1_Contact()
    contact.lab = Data(LabID(firstKey: Self.key.publicKey).bytes)
    contact.key = Data(Self.key.publicKey.bytes)
    contact.addresses = ["lab.example:7400"]
    ticket.contacts = [contact]
    let line = TicketText.write(ticket)
    #expect(try TicketText.read("  \(line)\n") == ticket)
    let middle = line.index(line.startIndex, offsetBy: line.count / 2)
    #expect(try TicketText.read(line[..<middle] + " \n " + line[middle...]) == ticket)
    for place in line.indices where line.distance(from: line.startIndex, to: place) >= 6 {
      var broken = line
      broken.replaceSubrange(place...place, with: line[place] == "a" ? "b" : "a")
      #expect(throws: TicketText.Failure.self) { try TicketText.read(broken) }
    }
    #expect(throws: TicketText.Failure.damaged) { try TicketText.read(String(line.dropLast())) }
    #expect(throws: TicketText.Failure.notATicket) { try TicketText.read("hello") }
    #expect(throws: TicketText.Failure.tooLong(1_000_000)) {
      try TicketText.read(String(repeating: "a", count: 1_000_000))
    }
  }

  @Test func aRequestNeedsBothSignatures() throws {
    let invitation = SigningKey(seed: [UInt8](repeating: 4, count: 32))!
    var body = Hanse_V1_JoinRequestBody()
    body.federation = Data(ContentID(of: [1], kind: .charter).bytes)
    body.name = "bremen"
    let request = try JoinAsk.sign(body, lab: Self.key, invitation: invitation)
    #expect(try JoinAsk(request).name == "bremen")
    var stolen = request
    stolen.labSignature = request.invitationSignature
    #expect(throws: RecordError.self) { try JoinAsk(stolen) }
    var renamed = request
    renamed.body[renamed.body.count - 1] ^= 1
    #expect(throws: RecordError.self) { try JoinAsk(renamed) }
  }
}
