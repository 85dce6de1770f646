import Determinism
import FoundationEssentials
import Identities
import Ledger
import Participation
import Records

/// Keys that are replaced or lost, and rules that are changed.
extension World {
  private func newKey() -> SigningKey? {
    SigningKey(seed: ContentID(of: chance.next().littleEndianBytes, kind: .start).bytes)
  }

  /// A lab asks for a new key, which is on its disk before anything is signed.
  func rotate(_ node: SimulatedNode) {
    guard !isCalm, !node.isRemoved, !node.hasLostKey else { return }
    guard isReady(node), passable(at: node).isEmpty, let key = node.nextKey ?? newKey() else {
      return queue.add(.weather(.rotate(node: node.index)), at: time + ns(draw(4, 8)))
    }
    node.nextKey = nil
    if !node.keys.contains(where: { $0.publicKey == key.publicKey }) { node.keys.append(key) }
    weatherLog.append("\(node.name) asks for a new key")
    ask(node) { try $0.rotate(to: key, at: $1).directives }
  }

  /// A disk is replaced but for the logs: the lab starts with another key, which it shows to the
  /// others' people.
  func loseKey(_ node: SimulatedNode) {
    guard !isCalm, !node.isRemoved, let process = node.process, process.participant.isMember,
      let key = newKey()
    else { return }
    let roster = process.participant.logbook.roster
    let silent = roster.members.count { seat in
      guard let other = indexOf[seat.lab].map({ nodes[$0] }) else { return true }
      return !other.isHonest || other.isRemoved || other.hasLostKey || other.index == node.index
    }
    // With more of them nobody is sure to get a change of the roster through.
    guard silent <= roster.faultsTolerated else { return }
    weatherLog.append("\(node.name) loses its key")
    crash(node, quietly: false)
    node.keys = [key]
    node.nextKey = key
    node.hasLostKey = true
    queue.add(.weather(.restart(node: node.index)), at: time + ns(draw(1, 20)))
    queue.add(.weather(.recover(node: node.index)), at: time + ns(draw(5, 40)))
  }

  /// A member proposes the key that a lab has shown, until the roster has it.
  func recover(_ node: SimulatedNode) {
    guard let key = node.nextKey, node.hasLostKey, !node.isRemoved else { return }
    if let participant = node.process?.participant, participant.canSign {
      node.hasLostKey = false
      node.nextKey = nil
      return
    }
    queue.add(.weather(.recover(node: node.index)), at: time + ns(draw(6, 12)))
    guard let member = readyMember,
      let seat = member.process?.participant.logbook.roster.member(node.lab),
      seat.key != key.publicKey
    else { return }
    propose(.rotate(Hanse_V1_KeyRotation(of: node.lab, to: key)), by: member)
  }

  func changeRule() {
    guard !isCalm else { return }
    guard let proposer = readyMember, passable(at: proposer).isEmpty else {
      return queue.add(.weather(.changeRule), at: time + ns(draw(4, 8)))
    }
    var change = Hanse_V1_RuleChange()
    switch pick(5) {
    case 0: change.graceSeconds = 4 + UInt32(pick(30))
    case 1: change.rule = ["clipped-mean", "median", "nnm-trimmed-mean"][pick(3)]
    case 2: change.latenessLimit = UInt32(pick(3))
    case 3: change.committee = 3 + UInt32(pick(10))
    default:
      change.outerRateQ16 = 30_000 + UInt32(pick(30_000))
      change.momentumQ16 = UInt32(pick(60_000))
    }
    weatherLog.append("a change of the rules")
    propose(.changeRule(change), by: proposer)
  }
}
