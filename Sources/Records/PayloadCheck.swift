import Identities

/// The checks on an entry's payload that need nothing but its bytes: ids, counts and text lengths.
enum PayloadCheck {
  static func check(_ entry: Hanse_V1_Entry) throws(RecordError) {
    switch entry.payload {
    case .contribution(let contribution): try check(contribution)
    case .verdict(let verdict):
      try id(verdict.contribution, "verdict.contribution")
    case .attestation(let attestation):
      try positions(attestation.prefixes, "attestation.prefixes")
      try check(attestation.merge)
      try id(attestation.stateRoot, "attestation.state_root")
    case .proposal(let proposal): try check(proposal)
    case .approval(let approval): try id(approval.proposal, "approval.proposal")
    case .presence(let presence): try check(presence)
    case nil: break  // a kind of a later version: kept and relayed, never acted on
    }
  }

  private static func check(_ contribution: Hanse_V1_Contribution) throws(RecordError) {
    try check(contribution.base)
    guard contribution.round >= 1 else { throw .field("round", "is 0") }
    guard (1...UInt32(Limits.attemptsMax)).contains(contribution.attempt) else {
      throw .field("attempt", "is \(contribution.attempt), at most \(Limits.attemptsMax)")
    }
    guard contribution.rejections.count <= Limits.labsMax else {
      throw .field("rejections", "are more than \(Limits.labsMax)")
    }
    for rejection in contribution.rejections { try id(rejection, "rejections") }
    let payload = contribution.payload
    try text(payload.codec, "payload.codec")
    guard payload.size >= 1, payload.size <= UInt64(Limits.payloadBytesMax),
      payload.decodedSize <= UInt64(Limits.payloadBytesMax) * 8
    else { throw .field("payload.size", "is \(payload.size)") }
    try id(payload.blockList, "payload.block_list")
    try id(payload.symbols, "payload.symbols")
    guard contribution.factorNorms.count <= Limits.factorsMax else {
      throw .field("factor_norms", "are more than \(Limits.factorsMax)")
    }
    guard contribution.tokens >= 1, contribution.tokens <= Limits.tokensMax else {
      throw .field("tokens", "are \(contribution.tokens)")
    }
    try text(contribution.engine, "engine")
    try text(contribution.licence, "licence")
    if !contribution.card.isEmpty { try id(contribution.card, "card") }
    guard contribution.epsilon.isFinite, contribution.epsilon >= 0 else {
      throw .field("epsilon", "is not a budget")
    }
  }

  private static func check(_ merge: Hanse_V1_Merge) throws(RecordError) {
    guard merge.rosterVersion >= 1 else { throw .field("merge.roster_version", "is 0") }
    let frontier = merge.frontier
    guard frontier.seal.rosterVersion >= 1 else { throw .field("seal.roster_version", "is 0") }
    try positions(frontier.seal.prefixes, "seal.prefixes")
    try positions(frontier.above, "frontier.above")
    try id(frontier.members, "frontier.members")
    var last: [UInt8] = []
    for exclusion in frontier.excluded {
      try id(exclusion.lab, "excluded.lab")
      let lab = Array(exclusion.lab)
      guard last.lexicographicallyPrecedes(lab) else {
        throw .field("excluded", "is not sorted by lab")
      }
      last = lab
      guard !exclusion.sequences.isEmpty,
        zip(exclusion.sequences, exclusion.sequences.dropFirst()).allSatisfy({ $0 < $1 })
      else { throw .field("excluded.sequences", "do not ascend") }
    }
  }

  private static func check(_ proposal: Hanse_V1_Proposal) throws(RecordError) {
    guard proposal.makesVersion >= 2 else {
      throw .field("makes_version", "is \(proposal.makesVersion)")
    }
    guard (1...Limits.proposalAttemptsMax).contains(proposal.attempt) else {
      throw .field(
        "attempt", "is \(proposal.attempt), at most \(Limits.proposalAttemptsMax)")
    }
    guard proposal.citations.count <= Limits.labsMax else {
      throw .field("citations", "are more than \(Limits.labsMax)")
    }
    for citation in proposal.citations { try id(citation, "citations") }
    switch proposal.change {
    case .admit(let admission): _ = try JoinAsk(admission.request)
    case .remove(let removal):
      try id(removal.lab, "remove.lab")
      try text(removal.reason, "remove.reason")
    case .rotate(let rotation):
      try id(rotation.lab, "rotate.lab")
      guard PublicKey(bytes: rotation.newKey) != nil else {
        throw .field("rotate.new_key", "is not a key")
      }
      guard rotation.isSigned else {
        throw .field("rotate.signature", "does not fit the new key")
      }
    case .recall(let recall):
      guard recall.contributions.count <= Limits.recallsMax else {
        throw .field("recall.contributions", "are more than \(Limits.recallsMax)")
      }
      for contribution in recall.contributions { try id(contribution, "recall.contributions") }
      try text(recall.reason, "recall.reason")
    case .changeRule(let change):
      try text(change.rule, "change_rule.rule")
      try text(change.reason, "change_rule.reason")
    case nil: break
    }
  }

  private static func check(_ presence: Hanse_V1_Presence) throws(RecordError) {
    try addresses(presence.addresses)
    try text(presence.software, "presence.software")
    try name(presence.name, "presence.name")
    guard presence.invitations.count <= Limits.invitationsMax,
      presence.requests.count <= Limits.invitationsMax
    else { throw .field("presence", "names more than \(Limits.invitationsMax)") }
    for invitation in presence.invitations {
      guard PublicKey(bytes: invitation.key) != nil else {
        throw .field("invitations.key", "is not a key")
      }
      guard (1...UInt32(Limits.invitationUsesMax)).contains(invitation.uses) else {
        throw .field("invitations.uses", "is \(invitation.uses)")
      }
    }
    for request in presence.requests { _ = try JoinAsk(request) }
  }

  static func addresses(_ addresses: [String]) throws(RecordError) {
    guard addresses.count <= Limits.addressesMax,
      addresses.allSatisfy({ !$0.isEmpty && $0.utf8.count <= Limits.addressBytesMax })
    else { throw .field("addresses", "are too many or too long") }
  }

  static func name(_ name: String, _ field: String) throws(RecordError) {
    guard name.utf8.count <= Limits.nameBytesMax else {
      throw .field(field, "is longer than \(Limits.nameBytesMax) bytes")
    }
  }

  private static func text(_ text: String, _ field: String) throws(RecordError) {
    guard text.utf8.count <= Limits.textBytesMax else {
      throw .field(field, "is longer than \(Limits.textBytesMax) bytes")
    }
  }

  private static func id(_ bytes: some Collection<UInt8>, _ field: String) throws(RecordError) {
    guard bytes.count == ContentID.byteCount else {
      throw .field(field, "has \(bytes.count) bytes instead of \(ContentID.byteCount)")
    }
  }

  private static func positions(
    _ positions: [Hanse_V1_LogPosition], _ field: String
  ) throws(RecordError) {
    guard positions.count <= Limits.labsMax else {
      throw .field(field, "are more than \(Limits.labsMax)")
    }
    var last: [UInt8] = []
    for position in positions {
      try id(position.lab, field + ".lab")
      try id(position.entry, field + ".entry")
      guard position.sequence >= 1, position.sequence < 1 << 62 else {
        throw .field(field + ".sequence", "is \(position.sequence)")
      }
      let lab = Array(position.lab)
      guard last.lexicographicallyPrecedes(lab) else { throw .field(field, "is not sorted by lab") }
      last = lab
    }
  }
}
