import Control
import Node
import Testing

/// What `hanse doctor` says of a lab, for everything that can keep two labs apart.
@Suite struct DiagnosisTests {
  private typealias Peer = PeersPage.Peer

  private func peer(
    link: PeersPage.Peer.Link = .none, addresses: [String] = ["lab.example:7400"],
    failure: PeersPage.Peer.Failure? = nil, ahead: Int? = nil
  ) -> PeersPage.Peer {
    PeersPage.Peer(
      lab: Named(name: "bremen", id: "b"), address: addresses.first, link: link,
      connectedSeconds: nil, roundTripMilliseconds: nil, bytesReceived: 0, bytesSent: 0,
      trouble: "", addresses: addresses,
      attempts: failure.map {
        [.init(address: "lab.example:7400", failure: $0, reason: "because", secondsAgo: 3)]
      } ?? [], secondsAhead: ahead)
  }

  private func say(
    _ peer: PeersPage.Peer, listens: Bool = true, others: Bool = true,
    _ finding: Reachability.Finding = .open
  ) -> LabDiagnosis {
    LabDiagnosis.of(peer, listens: listens, othersConnected: others) { _ in finding }
  }

  @Test func eachStepThatFailsIsNamedWithItsWayOut() {
    let unresolved = say(peer(), .unresolved("no such host"))
    #expect(!unresolved.ok && unresolved.text.contains("does not resolve: no such host"))
    #expect(unresolved.hint?.contains("DNS") == true)
    let closed = say(peer(), .closed("Connection refused"))
    #expect(!closed.ok && closed.text.contains("lab.example:7400: Connection refused"))
    #expect(closed.hint?.contains("firewall") == true)
    #expect(say(peer(addresses: ["nonsense"]), .noAddress).text.contains("not host:port"))
    let expected: [(PeersPage.Peer.Failure, String)] = [
      (.tls, "another program"), (.version, "same release"), (.clock, "timedatectl"),
      (.key, "fingerprint"), (.roster, "hanse roster"), (.silence, "overloaded"),
    ]
    for (failure, word) in expected {
      let diagnosis = say(peer(failure: failure))
      #expect(!diagnosis.ok && diagnosis.text.contains("because"), "\(failure)")
      #expect(diagnosis.hint?.contains(word) == true, "\(failure)")
    }
  }

  @Test func whatCameFurthestGivesTheHint() {
    let two = peer(addresses: ["other.example:1", "lab.example:7400"], failure: .clock)
    let diagnosis = LabDiagnosis.of(two, listens: true, othersConnected: true) { address in
      address == "lab.example:7400" ? .open : .closed("No route to host")
    }
    #expect(diagnosis.text.contains("No route to host"))
    #expect(diagnosis.hint?.contains("timedatectl") == true)
  }

  @Test func labsThatOnlyDialAreKnownAsSuch() {
    let accepted = say(peer(link: .accepted, addresses: []))
    #expect(accepted.ok && accepted.text.contains("only dials"))
    let absent = say(peer(addresses: []))
    #expect(!absent.ok && absent.hint?.contains("hanse doctor") == true)
    // Two of them meet through a third, and that is all right.
    #expect(say(peer(addresses: []), listens: false).ok)
    let alone = say(peer(addresses: []), listens: false, others: false)
    #expect(!alone.ok && alone.hint?.contains("listen") == true)
    let dialled = say(peer(link: .dialled), listens: false)
    #expect(dialled.ok && dialled.text.contains("this node only dials"))
  }

  @Test func aClockThatIsWrongIsSaidOfWhoeverHasIt() {
    #expect(say(peer(link: .dialled, ahead: 60)).ok)
    let ahead = say(peer(link: .dialled, ahead: 7200))
    #expect(!ahead.ok && ahead.hint?.contains("clocks") == true)
    #expect(LabDiagnosis.ownClock([peer(ahead: 7200), peer()]) == nil)
    let own = LabDiagnosis.ownClock([peer(ahead: 7200), peer(ahead: 7100), peer()])
    #expect(own?.ok == false && own?.text.contains("this machine's clock") == true)
  }

  @Test func thisMachinesOwnPortsAreLookedAt() {
    #expect(Reachability.look(at: "nonsense") == .noAddress)
    #expect(Reachability.look(at: "127.0.0.1:0") == .noAddress)
    guard case .unresolved = Reachability.look(at: "no-such-host.invalid:1") else {
      Issue.record("a name under .invalid was resolved")
      return
    }
    guard case .closed = Reachability.look(at: "127.0.0.1:1") else {
      Issue.record("something listens on port 1")
      return
    }
  }
}
