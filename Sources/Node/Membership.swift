import Identities
import Synchronization

/// Which key belongs to which lab, for the transport's handshakes on their own threads.
final class Membership: Sendable {
  private let labs: Mutex<[PublicKey: LabID]>

  init(_ labs: [PublicKey: LabID]) {
    self.labs = Mutex(labs)
  }

  /// The lab whose key this is now.
  func lab(of key: PublicKey) -> LabID? { labs.withLock { $0[key] } }

  /// The key that a lab is to be met with.
  func key(of lab: LabID) -> PublicKey? {
    labs.withLock { labs in labs.first { $0.value == lab }?.key }
  }

  /// Replaces everything.
  func replace(_ labs: [PublicKey: LabID]) { self.labs.withLock { $0 = labs } }
}
