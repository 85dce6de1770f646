import Identities
import NIOSSL

/// The keys that a node shows: one, but for the time in which some labs know of a new one and
/// others do not. Protocol/Wire.md, "Two keys".
///
/// A lab that rotates its key cannot know who has heard of that. It shows the key that its own
/// roster names; to a lab with which that led to no connection, the next one.
struct Faces: Sendable {
  private var faces: [(key: PublicKey, security: ChannelSecurity)] = []
  private var accepted = 0
  private var dialled: [LabID: Int] = [:]

  init() {}

  /// Makes a certificate for each key, the preferred one first.
  init(_ keys: [SigningKey]) throws {
    faces = try keys.map { key in
      let certificate = try LabCertificate(key: key, now: unixSeconds())
      return (key.publicKey, ChannelSecurity(certificate: certificate))
    }
  }

  func has(_ key: PublicKey) -> Bool { faces.contains { $0.key == key } }

  /// What an accepted connection is shown. Precondition: there is a key.
  var accepting: ChannelSecurity { faces[accepted % faces.count].security }

  /// What a lab is shown that is dialled. Precondition: there is a key.
  func dialling(_ lab: LabID) -> ChannelSecurity {
    faces[(dialled[lab] ?? 0) % faces.count].security
  }

  /// A connection did not come to stand: the next one is shown another key, if there is one.
  mutating func turn(from lab: LabID?) {
    guard faces.count > 1 else { return }
    if let lab {
      dialled[lab, default: 0] = ((dialled[lab] ?? 0) + 1) % faces.count
    } else {
      accepted = (accepted + 1) % faces.count
    }
  }
}
