import FoundationEssentials
import Identities
import Ledger
import Records
import SwiftProtobuf

/// A federation in memory: keys, logs that their labs write, and everything ever written.
struct Federation {
  let charter: Charter
  var keys: [LabID: SigningKey] = [:]
  var labs: [LabID] = []
  var book: Logbook
  var written: [Entry] = []

  init(founders: Int = 1, committee: UInt32 = 16) throws {
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
    message.merge.rule = "clipped-mean"
    message.merge.outerRateQ16 = 45875
    message.merge.momentumQ16 = 58982
    message.judging.committee = committee
    var keys: [SigningKey] = []
    for index in 0..<founders {
      let key = Self.key(index)
      keys.append(key)
      var founder = Hanse_V1_Founder()
      founder.name = "lab \(index)"
      founder.key = Data(key.publicKey.bytes)
      message.founders.append(founder)
    }
    charter = try Charter(message)
    book = Logbook(charter: charter)
    for key in keys { remember(key) }
  }

  static func key(_ index: Int) -> SigningKey {
    SigningKey(seed: ContentID(of: [UInt8(index)], kind: .start).bytes)!
  }

  mutating func remember(_ key: SigningKey) {
    let lab = LabID(firstKey: key.publicKey)
    keys[lab] = key
    labs.append(lab)
  }

  /// Writes the next entry of a lab's log.
  mutating func write(_ lab: LabID, _ payload: Hanse_V1_Entry.OneOf_Payload) throws -> Entry {
    let last = book.log(of: lab).last
    let entry = try draft(lab, payload, after: last)
    let outcome = try book.append(entry)
    precondition(outcome == .appended, "\(outcome)")
    book.settle()
    written.append(entry)
    return entry
  }

  /// An entry that is not filed.
  func draft(
    _ lab: LabID, _ payload: Hanse_V1_Entry.OneOf_Payload, after last: Entry?
  ) throws -> Entry {
    var message = Hanse_V1_Entry()
    message.federation = Data(charter.id.bytes)
    message.lab = Data(lab.bytes)
    message.rosterVersion = book.roster.version
    message.sequence = (last?.sequence ?? 0) + 1
    message.previous = Data(last?.id.bytes ?? [])
    message.payload = payload
    return try Entry(signing: message, with: keys[lab]!)
  }

  func contribution(
    base: Hanse_V1_Merge, attempt: UInt32 = 1, tokens: UInt64 = 100, salt: UInt8 = 0
  ) -> Hanse_V1_Contribution {
    var message = Hanse_V1_Contribution()
    message.base = base
    message.round = base.frontier.round + 1
    message.attempt = attempt
    message.payload.codec = "int4-128"
    message.payload.size = 10
    message.payload.blockList = Data(ContentID(of: [salt], kind: .object).bytes)
    message.payload.symbols = Data(ContentID(of: [salt], kind: .symbols).bytes)
    message.factorNorms = [1, 2]
    message.tokens = tokens
    return message
  }

  mutating func contribute(_ lab: LabID, base: Hanse_V1_Merge, attempt: UInt32 = 1) throws -> Entry
  {
    try write(lab, .contribution(contribution(base: base, attempt: attempt)))
  }

  mutating func judge(_ lab: LabID, _ entry: Entry, accept: Bool = true) throws -> Entry {
    var verdict = Hanse_V1_Verdict()
    verdict.contribution = Data(entry.id.bytes)
    verdict.accept = accept
    return try write(lab, .verdict(verdict))
  }

  mutating func attest(_ lab: LabID, _ merge: Hanse_V1_Merge) throws -> Entry {
    var attestation = Hanse_V1_Attestation()
    attestation.prefixes = book.heads
    attestation.merge = merge
    attestation.stateRoot = Data(ContentID(of: [], kind: .state).bytes)
    return try write(lab, .attestation(attestation))
  }

  mutating func head() -> Hanse_V1_Merge { book.head { _ in true } }

  /// A stranger's request, invited by a member's presence.
  mutating func request(_ index: Int, invitedBy lab: LabID) throws -> JoinAsk {
    let invitation = Self.key(200 + index)
    var announced = Hanse_V1_Invitation()
    announced.key = Data(invitation.publicKey.bytes)
    announced.uses = 1
    var presence = Hanse_V1_Presence()
    presence.name = "inviter"
    presence.invitations = [announced]
    _ = try write(lab, .presence(presence))
    var body = Hanse_V1_JoinRequestBody()
    body.federation = Data(charter.id.bytes)
    body.name = "lab \(index)"
    let request = try JoinAsk.sign(body, lab: Self.key(index), invitation: invitation)
    presence.invitations = []
    presence.requests = [request]
    _ = try write(lab, .presence(presence))
    return try JoinAsk(request)
  }

  mutating func propose(_ lab: LabID, admit ask: JoinAsk, attempt: UInt32 = 1) throws -> Entry {
    var proposal = Hanse_V1_Proposal()
    proposal.makesVersion = book.roster.version + 1
    proposal.attempt = attempt
    proposal.admit.request = ask.request
    return try write(lab, .proposal(proposal))
  }

  /// Proposes a change and has labs approve it until it is enacted, if it ever is.
  mutating func enact(_ change: Hanse_V1_Proposal.OneOf_Change) throws {
    var proposal = Hanse_V1_Proposal()
    proposal.makesVersion = book.roster.version + 1
    proposal.attempt = 1
    proposal.change = change
    let before = book.roster.version
    let entry = try write(labs[0], .proposal(proposal))
    for lab in labs where book.roster.version == before { _ = try approve(lab, entry) }
  }

  mutating func approve(_ lab: LabID, _ proposal: Entry) throws -> Entry {
    var approval = Hanse_V1_Approval()
    approval.proposal = Data(proposal.id.bytes)
    return try write(lab, .approval(approval))
  }
}
