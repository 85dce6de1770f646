import Identities
import Records

/// One seat of the federation.
public struct Seat: Sendable, Hashable {
  /// The lab's lasting name.
  public let lab: LabID
  /// The key that signs its log under this roster.
  public var key: PublicKey
  /// What it calls itself.
  public let name: String
  /// The roster version that admitted it.
  public let since: UInt32
}

/// The labs of the federation at one version, and what has been recalled by then.
public struct Roster: Sendable, Hashable {
  /// 1 is the charter's.
  public let version: UInt32
  /// Sorted by lab id.
  public let members: [Seat]
  /// Contributions taken out of the fold, sorted.
  public let recalled: [ContentID]
  /// Removed labs and the last entry of each that counts.
  public let cutoffs: [LabID: UInt64]
  /// Keys that labs had and have no longer, in that order: no lab may have one again.
  public let retired: [PublicKey]
  /// What the federation goes by under this version.
  public let rules: Rules

  init(
    version: UInt32, members: [Seat], recalled: [ContentID], cutoffs: [LabID: UInt64],
    retired: [PublicKey], rules: Rules
  ) {
    self.retired = retired
    self.rules = rules
    self.version = version
    self.members = members.sorted { $0.lab < $1.lab }
    self.recalled = recalled.sorted()
    self.cutoffs = cutoffs
  }

  /// The founding roster.
  init(charter: Charter) {
    self.init(
      version: 1,
      members: charter.founders.map { Seat(lab: $0.lab, key: $0.key, name: $0.name, since: 1) },
      recalled: [], cutoffs: [:], retired: [], rules: Rules(charter))
  }

  /// The seat of a lab, if it has one.
  public func member(_ lab: LabID) -> Seat? {
    var low = 0
    var high = members.count
    while low < high {
      let middle = (low + high) / 2
      if members[middle].lab < lab { low = middle + 1 } else { high = middle }
    }
    return low < members.count && members[low].lab == lab ? members[low] : nil
  }

  /// The seat whose key this is.
  public func member(key: PublicKey) -> Seat? { members.first { $0.key == key } }

  /// Whether a lab has this key, or had it.
  public func isUsed(_ key: PublicKey) -> Bool {
    member(key: key) != nil || retired.contains(key)
  }

  /// Labs that may lie while seals stay safe: ⌊(n−1)/3⌋.
  public var faultsTolerated: Int { max(0, (members.count - 1) / 3) }

  /// Attestations that seal a prefix: ⌊(n+f)/2⌋ + 1.
  public var sealQuorum: Int { (members.count + faultsTolerated) / 2 + 1 }

  /// Approvals that enact a proposal: more than half.
  public var approvalQuorum: Int { members.count / 2 + 1 }

  /// The roster's name.
  public var id: ContentID {
    var bytes: [UInt8] = version.littleEndianBytes
    for member in members { bytes += member.lab.bytes + member.key.bytes }
    for contribution in recalled { bytes += contribution.bytes }
    bytes += rules.canonicalBytes
    return ContentID(of: bytes, kind: .roster)
  }

  /// Who judges a contribution: everybody up to the committee's size, beyond that the author and
  /// others drawn by hash, which the author cannot grind.
  func judges(
    federation: ContentID, author: LabID, round: UInt32, attempt: UInt32
  ) -> [LabID] {
    let labs = members.map(\.lab)
    let committee = Int(rules.judging.committee)
    guard labs.count > committee else { return labs }
    var bytes =
      federation.bytes + version.littleEndianBytes + author.bytes + round.littleEndianBytes
    bytes += attempt.littleEndianBytes
    let start = bytes.count
    let drawn = labs.filter { $0 != author }.map { lab in
      bytes.replaceSubrange(start..., with: lab.bytes)
      return (ContentID(of: bytes, kind: .vote), lab)
    }
    let others = drawn.sorted { $0.0 < $1.0 }.prefix(committee - 1).map(\.1)
    return ([author] + others).sorted()
  }
}
