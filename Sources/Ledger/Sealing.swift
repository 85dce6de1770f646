import Identities
import Records

extension Logbook {
  /// Finds the log prefixes that a quorum attested, roster after roster.
  mutating func settleSeal() {
    var version: UInt32 = 1
    while true {
      guard let roster = roster(version: version) else { break }
      for position in attested(by: roster) {
        sealed[position.lab] = max(sealed[position.lab] ?? 0, position.sequence)
      }
      // Only what is sealed may decide who seals next.
      let next = UInt32(rosters(within: sealed).count)
      guard next > version else { break }
      version += 1
    }
    var seal = Hanse_V1_Seal()
    seal.rosterVersion = version
    seal.prefixes = labs.compactMap { lab in
      guard let last = sealed[lab], last > 0, Int(last) <= log(of: lab).count else { return nil }
      return log(of: lab)[Int(last) - 1].position
    }
    guard seal != self.seal else { return }
    olderSeals.append(self.seal)
    if olderSeals.count > Self.olderSealsMax { olderSeals.removeFirst() }
    self.seal = seal
  }

  /// What enough labs of a roster attested, by lab.
  private func attested(by roster: Roster) -> [(lab: LabID, sequence: UInt64)] {
    let coverages = roster.members.map { coverage(of: $0.lab) }
    return labs.compactMap { lab in
      let reach = coverages.map { $0[lab] ?? 0 }.sorted(by: >)
      let sequence = reach.count >= roster.sealQuorum ? reach[roster.sealQuorum - 1] : 0
      return sequence > 0 ? (lab, sequence) : nil
    }
  }

  /// The prefixes that a lab's attestations rest on, as far as they are this ledger's branches.
  ///
  /// What lies behind an equivocation or a removal counts here too: a quorum leaves room for as
  /// many labs as may lie, and what was once sealed must be sealed for whoever reads the same
  /// entries in another order.
  public func coverage(of lab: LabID) -> [LabID: UInt64] {
    var result: [LabID: UInt64] = [:]
    for entry in entries(of: lab, within: nil, whole: true) {
      guard case .attestation(let attestation)? = entry.message.payload else { continue }
      for prefix in attestation.prefixes {
        guard let named = LabID(bytes: prefix.lab), let id = ContentID(bytes: prefix.entry),
          let held = entryByID[id], held.lab == named, held.sequence == prefix.sequence
        else { continue }
        result[named] = max(result[named] ?? 0, prefix.sequence)
      }
    }
    return result
  }

  /// Whether a quorum attested every prefix that this seal names.
  func isAttested(_ seal: Hanse_V1_Seal) -> Bool {
    seal.prefixes.allSatisfy { prefix in
      LabID(bytes: prefix.lab).map { (sealed[$0] ?? 0) >= prefix.sequence } ?? false
    }
  }
}
