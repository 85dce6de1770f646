import Identities

/// The keys that a lab's node holds: the one in use, perhaps the one that a rotation is to bring,
/// perhaps earlier ones that other labs still expect.
///
/// Which of them signs is not decided here: it is the one that the roster names.
package struct Keyring: Sendable {
  /// The keys, each once; the one that the home calls its own comes first.
  private(set) var keys: [SigningKey]

  /// A ring of at least one key.
  package init(_ keys: [SigningKey]) {
    precondition(!keys.isEmpty, "a node without a key")
    self.keys = keys
  }

  /// The held key whose public half this is.
  func holder(of key: PublicKey) -> SigningKey? { keys.first { $0.publicKey == key } }

  mutating func add(_ key: SigningKey) {
    if holder(of: key.publicKey) == nil { keys.append(key) }
  }

  mutating func remove(_ key: PublicKey) { keys.removeAll { $0.publicKey == key } }
}
