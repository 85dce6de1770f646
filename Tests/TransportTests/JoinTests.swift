import Foundation
import Gossip
import Identities
import Records
import Synchronization
import Testing
import Transport

@Suite struct JoinTests {
  private static func guest(_ number: UInt8) -> SigningKey {
    SigningKey(seed: [UInt8](repeating: number, count: 32))!
  }

  private static func request() -> Hanse_V1_JoinRequest {
    var request = Hanse_V1_JoinRequest()
    request.body = Data(repeating: 5, count: 300)
    return request
  }

  private func listener(
    _ answer: @escaping Switchboard.GuestHandler = { _, _ in Hanse_V1_JoinAnswer() }
  ) async throws -> House {
    let roster = Roster()
    roster.add(2)
    roster.add(7)
    let house = try House(2, roster: roster, answer: answer)
    try await house.board.start()
    return house
  }

  @Test func aStrangerAsksAndGetsTheCharter() async throws {
    let charter = Data((0..<Limits.charterBytesMax).map { UInt8(truncatingIfNeeded: $0 &* 31) })
    let seen = Mutex<(Hanse_V1_JoinRequest, Guest)?>(nil)
    let house = try await listener { request, guest in
      seen.withLock { $0 = (request, guest) }
      var answer = Hanse_V1_JoinAnswer()
      answer.accepted = true
      answer.charter = charter
      return answer
    }
    let answer = try await JoinClient.ask(
      address: house.address, expectedKey: house.key.publicKey, key: Self.guest(3),
      request: Self.request())
    #expect(answer.accepted && answer.charter == charter)
    let (request, guest) = try #require(seen.withLock { $0 })
    #expect(request == Self.request())
    #expect(guest.key == Self.guest(3).publicKey)
    // A guest is never reported as connected.
    #expect(house.events.withLock { $0.isEmpty })
    await house.board.shutdown()
  }

  private func failure(
    _ address: String, _ key: PublicKey, _ guest: UInt8 = 3, seconds: Double = 5
  ) async -> TransportError? {
    do {
      _ = try await JoinClient.ask(
        address: address, expectedKey: key, key: Self.guest(guest), request: Self.request(),
        seconds: seconds)
      return nil
    } catch { return error }
  }

  @Test func anotherKeyThanTheTicketSays() async throws {
    let house = try await listener()
    let expected = Self.guest(50).publicKey
    let reason = await failure(house.address, expected)
    #expect(reason == .wrongKey(expected: expected, found: house.key.publicKey))
    #expect(reason?.description.contains(expected.fingerprint) == true)
    await house.board.shutdown()
  }

  @Test func nobodyListens() async throws {
    let house = try await listener()
    let port = try DeafPort()
    let address = port.address
    let reason = await failure(address, house.key.publicKey)
    #expect(reason?.description.hasPrefix("cannot connect to \(address)") == true)
    #expect(await failure("nowhere", house.key.publicKey) == .badAddress("nowhere"))
    #expect(
      await failure("no-such-host.invalid:1", house.key.publicKey)?.description
        .contains("cannot be resolved") == true)
  }

  @Test func aMemberHasNothingToAsk() async throws {
    let house = try await listener()
    let asked = Task { await failure(house.address, house.key.publicKey, 7) }
    #expect(await eventually { house.connection != nil })
    house.board.send(hello(), on: house.connection!)
    #expect(await asked.value == .alreadyMember)
    await house.board.shutdown()
  }

  @Test func anAnswerThatNeverComes() async throws {
    let house = try await listener { _, _ in
      try? await Task.sleep(for: .seconds(2))
      return Hanse_V1_JoinAnswer()
    }
    let reason = await failure(house.address, house.key.publicKey, seconds: 0.5)
    #expect(reason == .timedOut(awaiting: "answer", seconds: 0.5))
    await house.board.shutdown()
  }

  @Test func aNodeThatGoesAwayMeanwhile() async throws {
    let isAsked = Mutex(false)
    let house = try await listener { _, _ in
      isAsked.withLock { $0 = true }
      try? await Task.sleep(for: .seconds(2))
      return Hanse_V1_JoinAnswer()
    }
    let asked = Task { await failure(house.address, house.key.publicKey) }
    #expect(await eventually { isAsked.withLock { $0 } })
    await house.board.shutdown()
    #expect(await asked.value == .goodbye("shutting down"))
  }

  @Test func whoAsksTooOftenIsToldToWait() async throws {
    let house = try await listener { _, _ in
      var answer = Hanse_V1_JoinAnswer()
      answer.accepted = true
      return answer
    }
    var answers: [Hanse_V1_JoinAnswer] = []
    for _ in 0...TransportLimits.joinsPerMinutePerAddress {
      answers.append(
        try await JoinClient.ask(
          address: house.address, expectedKey: house.key.publicKey, key: Self.guest(3),
          request: Self.request()))
    }
    #expect(answers.dropLast().allSatisfy { $0.accepted })
    #expect(answers.last?.accepted == false)
    #expect(answers.last?.hint.contains("minute") == true)
    await house.board.shutdown()
  }

  @Test func theDoorkeeperCountsBackToNothing() {
    var keeper = Doorkeeper()
    let places = TransportLimits.strangersPerAddress
    for _ in 0..<3 {
      let admitted = (0...places).map { _ in keeper.admit("a") }
      #expect(admitted == Array(repeating: true, count: places) + [false])
      let other = keeper.admit("b")
      #expect(other)
      keeper.recognise("a")
      let again = keeper.admit("a")
      #expect(again)
      keeper.leave("a", wasRecognised: true)
      keeper.leave("b", wasRecognised: false)
      for _ in 0..<TransportLimits.strangersPerAddress {
        keeper.leave("a", wasRecognised: false)
      }
    }
    let asks = TransportLimits.joinsPerMinutePerAddress
    let asked = (0...asks).map { keeper.mayAsk("a", now: Double($0)) }
    #expect(asked == Array(repeating: true, count: asks) + [false])
    let elsewhere = keeper.mayAsk("b", now: 10)
    let later = keeper.mayAsk("a", now: 61)
    #expect(elsewhere && later)
  }

  /// Who has a network of addresses is one stranger all the same.
  @Test func aNetworkOfAddressesIsOnePlace() {
    let same = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::", "2001:DB8:1:2:0:0:0:9"]
    #expect(Set(same.map(Doorkeeper.place)).count == 1)
    let others = ["2001:db8:1:3::1", "192.0.2.1", "192.0.2.2", "::1", "unknown", "fe80::1%eth0"]
    #expect(Set((others + same.prefix(1)).map(Doorkeeper.place)).count == others.count + 1)
    #expect(Doorkeeper.place(of: "::ffff:192.0.2.1") == "192.0.2.1")
  }
}
