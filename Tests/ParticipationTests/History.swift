import Determinism
import FoundationEssentials
import Identities
import Ledger
import Records

/// Two labs that have come some rounds far: their logs, with roots that stand for real ones.
struct History {
  let charter: Charter
  let keys: [SigningKey]
  var book: Logbook
  /// The heads that both attested, round after round.
  private(set) var heads: [Hanse_V1_Merge] = []

  /// - Parameter payloadBytes: of each contribution; a snapshot of this charter has 320.
  init(rounds: Int, payloadBytes: UInt64 = 300, retention: UInt32 = 256) throws {
    keys = (0..<2).map { SigningKey(seed: [UInt8](repeating: UInt8($0 + 1), count: 32))! }
    charter = try Self.charter(keys, retention: retention)
    book = Logbook(charter: charter)
    for round in 1...rounds { try write(round: UInt32(round), payloadBytes) }
  }

  var labs: [LabID] { keys.map { LabID(firstKey: $0.publicKey) } }

  static func root(ofRound round: UInt32) -> ContentID {
    ContentID(of: round.littleEndianBytes, kind: .state)
  }

  private static func charter(_ keys: [SigningKey], retention: UInt32) throws -> Charter {
    var message = Hanse_V1_Charter()
    message.format = 1
    message.name = "test"
    var file = Hanse_V1_BaseFile()
    file.name = "base"
    file.size = 1
    file.hash = Data(ContentID(of: [1], kind: .file).bytes)
    message.base.files = [file]
    message.adapter.rank = 2
    message.adapter.alpha = 4
    message.adapter.seed = Data(repeating: 7, count: 32)
    var module = Hanse_V1_ModuleShape()
    module.path = "model.layers.0.mlp.up_proj"
    module.inputs = 3
    module.outputs = 5
    message.adapter.modules = [module]
    message.round.localSteps = 1
    message.round.batch = 1
    message.round.length = 8
    message.round.learningRate = 1e-3
    message.round.labsToBegin = 2
    message.merge.rule = "clipped-mean"
    message.merge.outerRateQ16 = 45875
    message.merge.momentumQ16 = 58982
    message.merge.latenessLimit = 2
    message.merge.retention = retention
    message.judging.committee = 16
    for (index, key) in keys.enumerated() {
      var founder = Hanse_V1_Founder()
      founder.name = "lab \(index)"
      founder.key = Data(key.publicKey.bytes)
      message.founders.append(founder)
    }
    return try Charter(message)
  }

  private mutating func write(round: UInt32, _ payloadBytes: UInt64) throws {
    let base = heads.last ?? book.emptyMerge()
    var entries: [Entry] = []
    for index in keys.indices {
      var message = Hanse_V1_Contribution()
      message.base = base
      message.round = round
      message.attempt = 1
      message.payload.codec = "int4-128"
      message.payload.size = payloadBytes
      let name = round.littleEndianBytes + [UInt8(index)]
      message.payload.blockList = Data(ContentID(of: name, kind: .object).bytes)
      message.payload.symbols = Data(ContentID(of: name, kind: .symbols).bytes)
      message.factorNorms = [1, 2]
      message.tokens = 100
      entries.append(try sign(index, .contribution(message)))
    }
    for index in keys.indices {
      var verdict = Hanse_V1_Verdict()
      verdict.contribution = Data(entries[1 - index].id.bytes)
      verdict.accept = true
      _ = try sign(index, .verdict(verdict))
    }
    let head = book.head { _ in true }
    heads.append(head)
    for index in keys.indices {
      var attestation = Hanse_V1_Attestation()
      attestation.prefixes = book.heads
      attestation.merge = head
      attestation.stateRoot = Data(Self.root(ofRound: round).bytes)
      _ = try sign(index, .attestation(attestation))
    }
  }

  private mutating func sign(
    _ index: Int, _ payload: Hanse_V1_Entry.OneOf_Payload
  ) throws -> Entry {
    let last = book.log(of: labs[index]).last
    var message = Hanse_V1_Entry()
    message.federation = Data(charter.id.bytes)
    message.lab = Data(labs[index].bytes)
    message.rosterVersion = 1
    message.sequence = (last?.sequence ?? 0) + 1
    message.previous = Data(last?.id.bytes ?? [])
    message.payload = payload
    let entry = try Entry(signing: message, with: keys[index])
    _ = try book.append(entry)
    book.settle()
    return entry
  }

  /// Another entry of the first lab, at the place of its contribution to a round.
  func twin(ofRound round: UInt32) throws -> Entry {
    guard let state = book.contributions(ofRound: round).first(where: { $0.author == labs[0] })
    else { throw Missing() }
    var message = state.entry.message
    message.timeSeconds += 1
    return try Entry(signing: message, with: keys[0])
  }

  struct Missing: Error {}

  /// The payloads of the contributions up to a round.
  func payloads(upTo round: UInt32 = .max) -> [ContentID] {
    book.contributionsInOrder.filter { $0.round <= round }.compactMap(\.object)
  }
}
