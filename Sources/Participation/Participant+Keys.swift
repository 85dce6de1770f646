import FoundationEssentials
import Gossip
import Identities
import Ledger
import Records

/// Which of the lab's keys is in use, and how it gets another. Protocol/Rounds.md, "Keys".
extension Participant {
  /// The key that signs: the one that the roster names, if it is held here.
  var signingKey: SigningKey? {
    logbook.roster.member(lab).flatMap { keyring.holder(of: $0.key) }
  }

  /// The key that this node calls its own: the one that signs, or else the one of its home.
  package var key: SigningKey { signingKey ?? keyring.keys[0] }

  /// Whether this lab may write to its log now.
  package var canSign: Bool { isMember && maySign && signingKey != nil }

  /// Says which keys are to be shown, when that has changed; forgets an earlier one when every
  /// other member has shown that it knows the one in use.
  mutating func showKeys() {
    if keyring.keys.count > 1, let current = signingKey {
      for held in keyring.keys where held.publicKey != current.publicKey {
        if hadKey(held.publicKey), isKnownToAll(current.publicKey) {
          keyring.remove(held.publicKey)
        }
      }
    }
    let first = key.publicKey
    if keyring.keys.count == 1, shownKeys.count == 1, shownKeys[0] == first { return }
    let order = [first] + keyring.keys.map(\.publicKey).filter { $0 != first }
    guard order != shownKeys else { return }
    shownKeys = order
    out.append(.keys(order))
  }

  private func hadKey(_ key: PublicKey) -> Bool {
    logbook.rosters.contains { $0.member(lab)?.key == key }
  }

  /// Whether every other member has written under a roster that has this key.
  private func isKnownToAll(_ key: PublicKey) -> Bool {
    guard let since = logbook.rosters.first(where: { $0.member(lab)?.key == key })?.version else {
      return false
    }
    return logbook.roster.members.allSatisfy { seat in
      seat.lab == lab || (logbook.log(of: seat.lab).last?.rosterVersion ?? 0) >= since
    }
  }

  // MARK: rotation

  /// The open proposal to give a lab another key, if there is one.
  package func openRotation(of lab: LabID) -> OpenProposal? {
    logbook.openProposals.first {
      guard case .rotate(let rotation)? = $0.message.change else { return false }
      return LabID(bytes: rotation.lab) == lab
    }
  }

  /// Throws what keeps this lab from asking for another key.
  package func requireRotation() throws(Refusal) {
    try requireSigning()
    if let open = openRotation(of: lab) {
      throw Refusal(
        .refused,
        "a new key for this lab is proposed already (\(open.id.short)), with "
          + "\(open.approvers.count) of \(open.needed) approvals",
        hint: "the other members approve it with: hanse approve \(open.id.short)")
    }
    // Known before a key is made: a lab that has approved what is open makes no proposal.
    let open = logbook.openProposals
    if let newest = open.map(\.message.attempt).max(),
      let other = open.first(where: {
        $0.message.attempt == newest && $0.canPass && $0.approvers.contains(lab)
      })
    {
      throw refusal(for: other)
    }
  }

  /// Proposes a new key for this lab and approves that. The key must be durable by now: once more
  /// than half of the labs have approved, only it can sign.
  package mutating func rotate(
    to next: SigningKey, at moment: Moment
  ) throws(Refusal) -> Answer<ContentID> {
    try requireRotation()
    let change = Hanse_V1_KeyRotation(of: lab, to: next)
    try requireUnused(change)
    // What cannot be proposed now leaves no key behind.
    if let other = hindrance(to: .rotate(change)) { throw refusal(for: other) }
    keyring.add(next)
    return try propose(.rotate(change), at: moment)
  }

  /// Throws when a rotation cannot be carried out.
  package func requireUnused(_ rotation: Hanse_V1_KeyRotation) throws(Refusal) {
    guard rotation.isSigned, let lab = LabID(bytes: rotation.lab),
      let key = PublicKey(bytes: rotation.newKey)
    else {
      throw Refusal(
        .wrongUse, "the new key is not signed by itself",
        hint: "use the line exactly as hanse rotate-key --request printed it")
    }
    if let other = logbook.roster.member(key: key) {
      throw Refusal(
        .refused,
        other.lab == lab
          ? "that is the lab's key already"
          : "the key \(key.fingerprint) is that of \(printable(other.name))",
        hint: "make another key: hanse rotate-key")
    }
    guard !logbook.roster.isUsed(key) else {
      throw Refusal(
        .refused, "the key \(key.fingerprint) was in use before and was given up",
        hint: "make another key: hanse rotate-key")
    }
  }
}
