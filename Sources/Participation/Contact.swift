import Identities
import Records

/// A member known from a ticket, before its log is here.
package struct Contact: Hashable, Sendable {
  package let lab: LabID
  package let key: PublicKey
  package let address: String

  package init(lab: LabID, key: PublicKey, address: String) {
    self.lab = lab
    self.key = key
    self.address = address
  }

  /// Reads `lab/key@host:port`; nil when it is something else.
  package init?(text: String) {
    let halves = text.split(separator: "@", maxSplits: 1)
    guard halves.count == 2 else { return nil }
    let names = halves[0].split(separator: "/")
    guard names.count == 2, let lab = LabID(text: String(names[0])),
      let bytes = Base32.decode(String(names[1])), let key = PublicKey(bytes: bytes)
    else { return nil }
    self.init(lab: lab, key: key, address: String(halves[1]))
  }

  /// The form in `hanse.toml`.
  package var text: String { "\(lab)/\(key)@\(address)" }
}
