import Adapters
import Deltas
import FoundationEssentials
import Identities
import Merging
import Records
import SwiftProtobuf

// What other labs send. What is signed is the bytes as carried, so entries and charters keep them;
// everything that has an encoder must come out of it as it went in.

/// Frames as they are carried, each behind four bytes of length. How a stream is cut into them is
/// `Transport`'s, whose tests hold it: the cryptography above it is not worth building here.
func readFrames(_ bytes: [UInt8]) throws {
  var rest = bytes[...]
  while rest.count > 4 {
    let length = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
    guard (1...Limits.frameBytesMax).contains(length), length <= rest.count - 4 else { return }
    rest = rest.dropFirst(4)
    let body = Array(rest.prefix(length))
    rest = rest.dropFirst(length)
    guard let message = try? Hanse_V1_Frame(serializedBytes: body) else { continue }
    let again: [UInt8] = try message.serializedBytes()
    try Fault.unless(
      try Hanse_V1_Frame(serializedBytes: again) == message, "a frame differs after writing")
    try readParts(message)
  }
}

private func readParts(_ frame: Hanse_V1_Frame) throws {
  switch frame.kind {
  case .entries(let entries)?:
    for signed in entries.entries { try refusing { try check(Entry(signed)) } }
  case .joinRequest(let request)?: try refusing { _ = try JoinAsk(request) }
  case .joinAnswer(let answer)?: try refusing { _ = try Charter(bytes: Array(answer.charter)) }
  case .block(let block)?: try refusing { _ = try BlockList(decoding: Array(block.bytes)) }
  default: break
  }
}

private func refusing(_ body: () throws -> Void) throws {
  do { try body() } catch is RecordError {} catch is DeltaError {}
}

/// The first 64 bytes are the signature, the rest the body.
func readEntry(_ bytes: [UInt8]) throws {
  let entry = try Entry(body: Array(bytes.dropFirst(64)), signature: Array(bytes.prefix(64)))
  try check(entry)
  if let key = PublicKey(bytes: entry.lab.bytes) { try? entry.verify(with: key) }
}

private func check(_ entry: Entry) throws {
  let again = try Entry(entry.signed)
  try Fault.unless(again == entry && again.id == entry.id, "an entry differs after carrying")
  try Fault.unless(again.body == entry.body, "an entry's body differs after carrying")
  try Fault.unless((entry.sequence == 1) == (entry.previous == nil), "an entry without the last")
  if case .attestation(let attestation)? = entry.message.payload {
    _ = attestation.merge.id
    _ = attestation.merge.frontier.seal.id
  }
}

func readCharter(_ bytes: [UInt8]) throws {
  let charter = try Charter(bytes: bytes)
  let again = try Charter(bytes: charter.bytes)
  try Fault.unless(again.id == charter.id, "a charter's name differs")
  let shape = charter.message.adapter
  let layout = try AdapterLayout(
    rank: Int(shape.rank), alpha: Int(shape.alpha),
    modules: shape.modules.map {
      AdapterModule(path: $0.path, inputs: Int($0.inputs), outputs: Int($0.outputs))
    })
  try Fault.unless(
    layout.count <= AdapterLayout.maximumCount, "a charter of \(layout.count) numbers")
}

/// A line as it is pasted; or, behind a zero byte, the message in it with a right checksum.
func readTicket(_ bytes: [UInt8]) throws {
  guard bytes.first == 0 else {
    let ticket = try TicketText.read(String(decoding: bytes, as: UTF8.self))
    try Fault.unless(TicketText.read(TicketText.write(ticket)) == ticket, "a ticket differs")
    return
  }
  let ticket = try Hanse_V1_Ticket(serializedBytes: Array(bytes.dropFirst()))
  let read = try TicketText.read(TicketText.write(ticket))
  try Fault.unless(read == ticket, "a ticket differs after writing")
}

/// A request as it is carried; or, behind a zero byte, the body that two keys then sign.
func readJoin(_ bytes: [UInt8]) throws {
  guard bytes.first == 0 else {
    let ask = try JoinAsk(Hanse_V1_JoinRequest(serializedBytes: bytes))
    try Fault.unless(JoinAsk(ask.request) == ask, "a request differs")
    return
  }
  guard let lab = SigningKey(seed: [UInt8](repeating: 1, count: 32)),
    let invitation = SigningKey(seed: [UInt8](repeating: 2, count: 32))
  else { throw Fault(text: "no keys") }
  let body = try Hanse_V1_JoinRequestBody(serializedBytes: Array(bytes.dropFirst()))
  let ask = try JoinAsk(JoinAsk.sign(body, lab: lab, invitation: invitation))
  try Fault.unless(ask.name == body.name, "a request's name differs")
  try Fault.unless(ask.lab == LabID(firstKey: lab.publicKey), "a request of another lab")
}

/// A line as it is pasted; or, behind a zero byte, the message in it with a right checksum.
func readRotation(_ bytes: [UInt8]) throws {
  let rotation =
    bytes.first == 0
    ? try Hanse_V1_KeyRotation(serializedBytes: Array(bytes.dropFirst()))
    : try KeyRotationText.read(String(decoding: bytes, as: UTF8.self))
  let read = try KeyRotationText.read(KeyRotationText.write(rotation))
  try Fault.unless(read == rotation && read.isSigned, "a rotation differs after writing")
}

/// A whole file; or, behind a zero byte, the records of one that gets a right header and end.
func readBundle(_ bytes: [UInt8]) throws {
  var file = bytes
  if bytes.first == 0 {
    let header = Bundle.magic + [Bundle.version] + [UInt8](repeating: 0, count: 39)
    let before = header + bytes.dropFirst()
    file = before + [0, 0, 0, 0, 32] + ContentID(of: before, kind: .bundle).bytes
  }
  let parts = try bundleParts(file)
  let collected = Collected()
  var rest = parts[...]
  var note: Hanse_V1_BundleNote?
  if case .note(let found)? = rest.first {
    note = found
    rest = rest.dropFirst()
  }
  var writer = try BundleWriter(
    federation: ContentID(bytes: Array(file[16..<48])) ?? ContentID(of: [], kind: .charter),
    note: note
  ) { collected.bytes += $0 }
  for part in rest {
    switch part {
    case .note, .end: break
    case .entry(let entry):
      try writer.add(entry)
      try refusing { try check(Entry(entry)) }
    case .evidence(let entry): try writer.add(evidence: entry)
    case .blockList(let list):
      try writer.begin(blockList: list)
      try refusing { _ = try BlockList(decoding: list) }
    case .block(let index, let block): try writer.add(block: block, at: index)
    }
  }
  try writer.finish(signedWith: nil)
  let again = try bundleParts(collected.bytes)
  try Fault.unless(again.dropLast() == parts.dropLast(), "a bundle differs after writing")
}

private final class Collected {
  var bytes: [UInt8] = []
}

private func bundleParts(_ bytes: [UInt8]) throws -> [Bundle.Part] {
  var position = 0
  var reader = try BundleReader { count in
    let piece = Array(bytes[position...].prefix(count))
    position += piece.count
    return piece
  }
  var parts: [Bundle.Part] = []
  while let part = try reader.next() { parts.append(part) }
  return parts
}

/// First byte: the tier, and in its top bit whether the rest is a payload (0) or the stream in it
/// (1), which then gets a right header and a plain frame.
func readDelta(_ bytes: [UInt8]) throws {
  guard let first = bytes.first else { return }
  let tier = DeltaTier.allCases[Int(first & 0x7F) % DeltaTier.allCases.count]
  let layout = try AdapterLayout(
    rank: 1, alpha: 2,
    modules: [
      AdapterModule(path: "q_proj", inputs: 130, outputs: 3),
      AdapterModule(path: "v_proj", inputs: 1, outputs: 4200),
    ])
  var payload = Array(bytes.dropFirst())
  if first & 0x80 != 0 {
    let blocks = tier.blockCount(of: layout)
    let zero = try Delta(
      layout: layout, tier: tier, exponents: [Int8](repeating: 0, count: blocks),
      symbols: [Int8](repeating: 0, count: layout.count))
    payload = Array(zero.pack()[..<20]) + word(payload.count, 4) + layout.id.bytes + frame(payload)
  }
  let delta = try Delta.unpack(payload, layout: layout, tier: tier)
  let again = try Delta.unpack(delta.pack(), layout: layout, tier: tier)
  try Fault.unless(again == delta, "a delta differs after packing")
  try Fault.unless(again.symbolsHash() == delta.symbolsHash(), "a delta's hash differs")
  let limit = Delta.maximumUnits
  try Fault.unless(
    delta.units().allSatisfy { (-limit...limit).contains($0) }, "a coordinate beyond its range")
  try Fault.unless(
    delta.factorNorms().count == layout.factors.count, "norms are not those of the factors")
}

/// One zstd frame with an uncompressed block of less than 128 KiB.
private func frame(_ content: [UInt8]) -> [UInt8] {
  [0x28, 0xB5, 0x2F, 0xFD, 0xA0] + word(content.count, 4) + word(content.count << 3 | 1, 3)
    + content
}

private func word(_ number: Int, _ count: Int) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
}

func readBlockList(_ bytes: [UInt8]) throws {
  let list = try BlockList(decoding: bytes)
  try Fault.unless(list.encoded() == bytes, "a block list differs after writing")
  for index in [-1, 0, list.hashes.count - 1, list.hashes.count, .max] {
    if let range = list.range(ofBlock: index) {
      try Fault.unless(
        !range.isEmpty && range.upperBound <= list.byteCount, "block \(index) is at \(range)")
      try Fault.unless(!list.accepts([], at: index), "an empty block was accepted")
    }
  }
}

/// A snapshot of a fold. Without a root to compare with, so that its numbers are looked at.
func readState(_ bytes: [UInt8]) throws {
  let layout = try AdapterLayout(
    rank: 1, alpha: 1, modules: [AdapterModule(path: "m", inputs: 2, outputs: 2)])
  let state = try FoldState(decoding: bytes, layout: layout, round: 1, root: nil)
  try Fault.unless(state.encoded() == bytes, "a state differs after writing")
  _ = state.root
}
