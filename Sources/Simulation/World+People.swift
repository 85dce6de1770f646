import Determinism
import FoundationEssentials
import Identities
import Ledger
import Participation
import Records

/// The people beside the nodes: they invite, ask, approve, remove and recall.
extension World {
  /// An operator looks at what there is to approve, and approves what is honestly meant.
  func operate(_ node: SimulatedNode) {
    queue.add(.operate(node: node.index), at: time + ns(draw(3, 9)))
    guard isReady(node), node.isHonest, let process = node.process else { return }
    guard operatedAt[node.index] != process.participant.logbook.revision else { return }
    operatedAt[node.index] = process.participant.logbook.revision
    let book = process.participant.logbook
    let open = passable(at: node)
    if let attempt = open.map(\.message.attempt).max() {
      let current = open.filter { $0.message.attempt == attempt }
      // Who has approved waits, until that can be enacted no more.
      guard !current.contains(where: { $0.canPass && $0.approvers.contains(node.lab) }) else {
        return
      }
      // What most have approved, so that votes do not split: people talk to each other.
      let alive = current.filter(\.canPass)
      guard
        let best = (alive.isEmpty ? current : alive).max(by: {
          ($0.approvers.count, $1.id) < ($1.approvers.count, $0.id)
        })
      else { return }
      return ask(node) { try $0.approve(best.id, at: $1).directives }
    }
    for request in book.pendingRequests where request.isInvited && request.proposal == nil {
      var admission = Hanse_V1_Admission()
      admission.request = request.ask.request
      return propose(.admit(admission), by: node)
    }
  }

  func isReady(_ node: SimulatedNode) -> Bool {
    guard let process = node.process, node.frozenUntil <= time else { return false }
    return process.participant.canSign && !node.isSyncing && node.pending.isEmpty
  }

  /// Asks a participant for something that it may refuse.
  func ask(
    _ node: SimulatedNode,
    _ body: (inout Participant, Participant.Moment) throws -> [ParticipantDirective]
  ) {
    guard let process = node.process else { return }
    let moment = node.moment(time)
    do {
      node.pending += try body(&process.participant, moment)
    } catch { mark(time, 4) }
    goOn(node)
  }

  /// Open proposals but for those that no node approves any more, beside which others may stand.
  func passable(at node: SimulatedNode) -> [OpenProposal] {
    guard let process = node.process else { return [] }
    return process.participant.logbook.openProposals.filter {
      !process.participant.refuses($0)
    }
  }

  func propose(_ change: Hanse_V1_Proposal.OneOf_Change, by node: SimulatedNode) {
    guard node.process != nil, passable(at: node).isEmpty else { return }
    ask(node) { try $0.propose(change, at: $1).directives }
  }

  var readyMember: SimulatedNode? {
    let ready = nodes.filter { $0.isHonest && isReady($0) && !$0.isRemoved }
    return ready.isEmpty ? nil : ready[pick(ready.count)]
  }

  // MARK: joining

  /// A member makes a ticket, and a new lab asks with it; later, when nobody can be asked now.
  func join(_ node: SimulatedNode) {
    guard !node.hasJoined else { return askToJoin(node) }
    guard let inviter = readyMember, !isBlocked(from: node.index, to: inviter.index),
      let oneTime = SigningKey(
        seed: ContentID(of: chance.next().littleEndianBytes, kind: .start).bytes),
      let answer = try? inviter.process?.participant.invite(
        oneTime, uses: 1, expiresInSeconds: 1 << 20, at: inviter.moment(time))
    else { return queue.add(.weather(.join(node: node.index)), at: time + ns(5)) }
    inviter.pending += answer.directives
    goOn(inviter)
    node.contacts = answer.value.contacts.flatMap { contact -> [Contact] in
      guard let lab = LabID(bytes: contact.lab), let key = PublicKey(bytes: contact.key) else {
        return []
      }
      return contact.addresses.map { Contact(lab: lab, key: key, address: $0) }
    }
    node.ticket = oneTime
    node.askedOf = inviter.index
    node.hasJoined = true
    weatherLog.append("\(node.name) joins")
    start(node)
    askToJoin(node)
  }

  /// Sends the request until somebody takes it.
  func askToJoin(_ node: SimulatedNode) {
    guard let ticket = node.ticket, let index = node.askedOf else { return }
    let member = nodes[index]
    if node.process?.participant.isMember == true { return }
    guard isReady(member), !isBlocked(from: node.index, to: index) else {
      return queue.add(.weather(.join(node: node.index)), at: time + ns(5))
    }
    var body = Hanse_V1_JoinRequestBody()
    body.federation = Data(charter.id.bytes)
    body.name = node.name
    body.addresses = [Self.address(of: node.index)]
    body.timeSeconds = UInt64(seconds)
    guard let request = try? JoinAsk.sign(body, lab: node.key, invitation: ticket) else { return }
    let key = node.key.publicKey
    ask(member) { $0.answer(request, from: key, at: $1).directives }
    // Asked again, should it have been lost.
    queue.add(.weather(.join(node: node.index)), at: time + ns(20))
  }

  // MARK: leaving and recalling

  /// The members remove a lab: it is no healthy one any more.
  func remove(_ node: SimulatedNode) {
    let others = nodes.filter { isReady($0) && $0.isHonest && $0.index != node.index }
    guard node.hasJoined, others.count * 2 > nodes.count, !isCalm else { return }
    let proposer = others[pick(others.count)]
    guard let last = proposer.process?.participant.logbook.log(of: node.lab).last else { return }
    var removal = Hanse_V1_Removal()
    removal.lab = Data(node.lab.bytes)
    removal.lastSequence = last.sequence
    removal.lastEntry = Data(last.id.bytes)
    removal.reason = "left"
    guard proposer.process?.participant.logbook.openProposals.isEmpty == true else { return }
    weatherLog.append("\(node.name) is removed")
    node.isRemoved = true
    propose(.remove(removal), by: proposer)
  }

  func recall() {
    guard let proposer = readyMember, !isCalm,
      let book = proposer.process?.participant.logbook
    else { return }
    let admitted = book.contributionsInOrder.filter { $0.status == .admitted }
    guard !admitted.isEmpty else { return }
    var recall = Hanse_V1_Recall()
    recall.contributions = [Data(admitted[pick(admitted.count)].id.bytes)]
    recall.reason = "by mistake"
    weatherLog.append("a recall")
    propose(.recall(recall), by: proposer)
  }
}
