import Control
import Identities
import Ledger
import Logging
import Participation
import Records
import Storage
import Transport

extension NodeCore {
  /// Brings the first of these keys into use and keeps the others, on disk as in handshakes.
  func use(_ order: [PublicKey]) throws {
    let held = order.compactMap { key in keys.first { $0.publicKey == key } }
    guard let first = held.first else { return }
    if first.publicKey != (try KeyFile.read(in: home)).publicKey {
      try KeyFile.bringIntoUse(first, in: home)
      log.notice(
        "the key of this lab is a new one from here on",
        metadata: ["fingerprint": "\(first.publicKey.fingerprint)"])
    }
    try KeyFile.forgetOld(but: order, in: home)
    keys = held
    try board?.show(held)
  }

  /// Makes a new key for this lab and proposes it. The key is durable before the proposal is
  /// signed; it comes into use when more than half of the labs have approved.
  func rotateKey() throws -> ApprovePage {
    do { try participant.requireRotation() } catch { throw ControlError(error) }
    let roster = logbook.roster
    let next = try KeyFile.prepareNext(of: lab, in: home) { roster.isUsed($0) }
    if !keys.contains(where: { $0.publicKey == next.publicKey }) { keys.append(next) }
    let id = try ask { () throws(Refusal) in try participant.rotate(to: next, at: Self.moment) }
    return try approve(id)
  }
}
