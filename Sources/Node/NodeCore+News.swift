import Gossip
import Identities
import Ledger
import Logging
import Participation

extension NodeCore {
  /// A lab's name and id, safe to print.
  func name(of lab: LabID) -> String {
    let name = logbook.rosters.last { $0.member(lab) != nil }?.member(lab)?.name
    return printable(name ?? "?") + " (\(lab.short))"
  }

  /// Writes what happened to the log, in words.
  func report(_ news: News) {
    switch news {
    case .connected(let lab, let address):
      log.info("connected to \(name(of: lab))", metadata: ["address": "\(printable(address))"])
    case .disconnected(let id, let reason):
      log.info("disconnected: \(reason)", metadata: ["connection": "\(id)"])
    case .unreachable(let lab, let reason):
      log.debug("no connection to \(name(of: lab)): \(reason)")
    case .refused(let reason):
      refusals?.append(reason)
      log.debug("entry refused: \(reason)")
    case .equivocated(let lab, let sequence, let entry):
      log.warning(
        "lab \(name(of: lab)) signed two entries at sequence \(sequence)",
        metadata: ["entry": "\(entry.short)"])
    case .changedOver(let lab, let sequence):
      log.warning(
        "the log of lab \(name(of: lab)) goes on here as a quorum attested it",
        metadata: ["sequence": "\(sequence)"])
    case .ownLogComplete(let sequence):
      log.info("the own log is complete at sequence \(sequence); signing from here on")
    case .standsOn(let merge, let round, let root):
      log.notice(
        "stands on merge \(merge.short)", metadata: ["round": "\(round)", "root": "\(root.short)"])
    case .asked(let name, let fingerprint):
      log.notice("\(printable(name)) asks to join", metadata: ["fingerprint": "\(fingerprint)"])
    case .looksForState(let round):
      log.notice("far behind: asking for the state of round \(round) instead of all payloads")
    case .restsOn(let merge, let round, let root):
      log.notice(
        "rests on the attested state of merge \(merge.short)",
        metadata: ["round": "\(round)", "root": "\(root.short)"])
    case .falseSnapshot(let root, let labs):
      log.warning(
        "what came is not the state of root \(root.short)",
        metadata: ["named by": "\(labs.map { name(of: $0) }.joined(separator: ", "))"])
    case .differentRoots(let merge, let own, let other, let lab):
      alarm("\(NodeError.differentRoots(merge: merge, own: own, other: other, lab: lab))")
    case .cannotSign(let reason): log.error("an entry could not be signed: \(reason)")
    case .ownFork(let sequence):
      alarm(
        "two entries of this lab's own log stand at sequence \(sequence): was the home copied? "
          + "This node signs no more until the members have removed the lab and admitted it anew")
    case .signedElsewhere(let sequence):
      alarm(
        "another daemon has signed entry \(sequence) of this lab's own log: was the home copied? "
          + "This node signs no more; end one of the two, and start this one again")
    case .contributed, .judged, .proposed, .approved, .attested: reportEntry(news)
    }
  }

  private func alarm(_ line: String) {
    log.critical("\(line)")
    if !attention.contains(line) { attention.append(line) }
  }

  private func reportEntry(_ news: News) {
    switch news {
    case .contributed(let lab, let round, let entry):
      log.info(
        "\(name(of: lab)) contributed to round \(round)", metadata: ["id": "\(entry.short)"])
    case .judged(let lab, let accepts, let contribution):
      log.info("\(name(of: lab)) \(accepts ? "accepted" : "rejected") \(contribution.short)")
    case .proposed(let lab, let entry):
      log.notice("\(name(of: lab)) proposed a change", metadata: ["id": "\(entry.short)"])
    case .approved(let lab): log.notice("\(name(of: lab)) approved a proposal")
    case .attested(let lab, let round, let root):
      log.info("\(name(of: lab)) attests round \(round), root \(root?.short ?? "?")")
    default: break
    }
  }

  /// Why the worker has nothing to do, in words.
  func words(_ waiting: Waiting) -> String {
    switch waiting {
    case .removed: "this lab was removed by the members: see hanse roster"
    case .approval: "waiting for the members to approve this lab"
    case .newKey:
      "waiting for the members to approve this lab's key "
        + participant.key.publicKey.fingerprint
    case .catchingUp(let round): "catching up with round \(round): " + participant.catchingUp
    case .ownLog: "waiting for other labs to confirm where this lab's log ends"
    case .ownKey:
      "signing nothing: this lab's key is in use elsewhere, or its log forked; see hanse status"
    case .rosterTakenBack:
      "waiting for the members to approve a change of the roster again: a lab that had approved it "
        + "forked its log; see hanse pending"
    case .labs(let needed, let present): "waiting for \(needed) labs, there are \(present)"
    case .attestations: "waiting for the other labs' attestations"
    case .grace(let round, let seconds):
      "round \(round): a quorum is done, \(seconds) s of grace for the rest"
    case .alone(let round): "round \(round): no other lab is connected"
    case .rejected(let round):
      "round \(round): every try of every lab was rejected; see hanse log"
    case .verdicts(let round, let judges, let away):
      "round \(round): waiting for verdicts" + list(" by ", judges)
        + list("; not connected: ", away)
    case .contributions(let round, let labs):
      "round \(round): waiting for" + list(" ", labs)
    }
  }

  /// The labs' names after some words; nothing where there are none.
  private func list(_ words: String, _ labs: [LabID]) -> String {
    labs.isEmpty ? "" : words + labs.map { name(of: $0) }.joined(separator: ", ")
  }
}

extension Waiting {
  /// Whether two reasons differ in nothing but seconds that count down.
  package func isSame(but other: Waiting) -> Bool {
    if case .grace(let round, _) = self, case .grace(let later, _) = other {
      return round == later
    }
    return self == other
  }
}
