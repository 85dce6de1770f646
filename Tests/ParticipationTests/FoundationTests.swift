import Deltas
import Determinism
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Participation
import Records
import Testing

/// A node of the second lab of a ``History``, and the first lab's end of the wire.
private struct Scene {
  let history: History
  var node: Participant
  var time = 10.0
  /// Everything that was directed, in order.
  var seen: [ParticipantDirective] = []
  var wantedSnapshot: [ContentID]?
  let wire = ConnectionID(number: 1)

  init(
    _ history: History, knows: Bool = false, book: Logbook? = nil, fromGenesis: Bool = false,
    foundations: Hanse_V1_Foundations = Hanse_V1_Foundations()
  ) {
    self.history = history
    var settings = Participant.Settings(name: "lab 1", software: "test", trains: true)
    settings.fromGenesis = fromGenesis
    node = Participant(
      charter: history.charter, keys: Keyring([history.keys[1]]), settings: settings,
      position: Participant.Position(
        logbook: book ?? (knows ? history.book : Logbook(charter: history.charter)), head: nil,
        held: [],
        foundations: foundations),
      generator: SeededGenerator(seed: 1),
      at: Participant.Moment(now: Instant(nanoseconds: 0), wallSeconds: 0))
  }

  mutating func tell(_ event: ParticipantEvent) {
    var events = [event]
    while !events.isEmpty {
      let moment = Participant.Moment(
        now: Instant(nanoseconds: UInt64(time * 1e9)), wallSeconds: UInt64(time))
      for directive in node.handle(events.removeFirst(), at: moment) {
        seen.append(directive)
        if let answer = answer(directive) { events.append(answer) }
      }
    }
  }

  /// What the first lab sends back, and what this node's own disk finds.
  private mutating func answer(_ directive: ParticipantDirective) -> ParticipantEvent? {
    switch directive {
    case .findObject(let object): return .objectFound(object, plan: nil)
    case .beginObject(let object, let list):
      return .objectBegun(object, plan: BlockPlan(size: UInt64(list.byteCount)))
    case .storeBlock(let object, let index, _, _): return .blockStored(object, index: index)
    case .send(_, let frame):
      switch frame.kind {
      case .wantEntries(let want):
        var answer = Hanse_V1_Frame()
        answer.entries = Hanse_V1_Entries()
        if let lab = LabID(bytes: want.lab) {
          answer.entries.entries = history.book.log(of: lab).dropFirst(Int(want.after))
            .map(\.signed)
        }
        return .frame(wire, answer)
      case .wantSnapshot(let want):
        wantedSnapshot = want.stateRoots.compactMap { ContentID(bytes: $0) }
        return nil
      case .wantObject(let want):
        guard let list = try? BlockList(of: Self.bytes), Array(want.object) == list.id.bytes else {
          return nil
        }
        var answer = Hanse_V1_Frame()
        answer.block.object = want.object
        answer.block.index = want.index
        answer.block.bytes = Data(want.index == 0 ? Self.bytes : list.encoded())
        return .frame(wire, answer)
      default: return nil
      }
    default: return nil
    }
  }

  /// As many bytes as a snapshot has.
  static let bytes = [UInt8](repeating: 5, count: 320)

  mutating func meet() {
    tell(.began(addresses: []))
    tell(.connected(wire, lab: history.labs[0], address: "a:1", dialledByUs: true))
    var hello = Hanse_V1_Frame()
    hello.hello.protocol = 1
    hello.hello.federation = Data(history.charter.id.bytes)
    hello.hello.heads = history.book.heads
    tell(.frame(wire, hello))
    pass(5)
  }

  /// The first lab shows an entry that nobody asked for.
  mutating func show(_ entry: Entry) {
    var frame = Hanse_V1_Frame()
    frame.entries.entries = [entry.signed]
    tell(.frame(wire, frame))
    pass(3)
  }

  mutating func pass(_ seconds: Int) {
    for _ in 0..<seconds {
      time += 1
      tell(.tick)
    }
  }

  /// Gives the node the snapshot of a round, and the disk's word on it.
  mutating func give(round: UInt32, isGood: Bool) throws -> ContentID {
    let object = try BlockList(of: Self.bytes).id
    var here = Hanse_V1_Frame()
    here.snapshotHere.stateRoot = Data(History.root(ofRound: round).bytes)
    here.snapshotHere.object = Data(object.bytes)
    here.snapshotHere.size = 320
    tell(.frame(wire, here))
    pass(1)
    seen = []
    tell(.snapshotChecked(object, isGood: isGood))
    return object
  }

  var sought: [ContentID] {
    seen.compactMap { if case .findObject(let object) = $0 { object } else { nil } }
  }

  var checked: Foundation? {
    seen.lazy.compactMap { if case .checkSnapshot(_, let state) = $0 { state } else { nil } }.first
  }

  mutating func nextStep() -> Step? {
    seen = []
    tell(.workerIsFree(last: nil))
    return seen.lazy.compactMap { if case .work(let step) = $0 { step } else { nil } }.first
  }
}

@Suite struct FoundationTests {
  @Test func theCharterSaysHowLargeASnapshotIs() throws {
    #expect(try History(rounds: 1).charter.snapshotByteCount == 320)
  }

  @Test func whoIsFarBehindAsksForAnAttestedStateAndNoPayloadBeneath() throws {
    let history = try History(rounds: 6)
    var scene = Scene(history)
    scene.meet()
    // Its own presence is one more.
    #expect(scene.node.logbook.entryCount == history.book.entryCount + 1)
    // The last round's merge is attested, and sealed by attestations that no other entry follows.
    let roots = try #require(scene.wantedSnapshot)
    #expect(roots.first == History.root(ofRound: 6) || roots.first == History.root(ofRound: 5))
    #expect(roots.contains(History.root(ofRound: 3)))
    #expect(Set(scene.sought).isDisjoint(with: history.payloads(upTo: 5)))
  }

  @Test func theFoundationIsDurableBeforeAnythingRestsOnIt() throws {
    let history = try History(rounds: 6)
    var scene = Scene(history)
    scene.meet()
    let round: UInt32 = 5
    _ = try scene.give(round: round, isGood: true)
    let persisted = scene.seen.firstIndex { directive in
      guard case .persist(let changes) = directive else { return false }
      return changes.contains { change in
        if case .foundations(let message) = change {
          message.foundations.first?.merge.frontier.round == round
        } else {
          false
        }
      }
    }
    let told = scene.seen.firstIndex { directive in
      if case .news(.restsOn) = directive { true } else { false }
    }
    #expect(try #require(persisted) < #require(told))
    #expect(scene.node.foundation?.round == round)
    // It goes on from there: nothing beneath, everything above.
    #expect(Set(scene.sought).isDisjoint(with: history.payloads(upTo: round)))
    guard case .adopt(let empty)? = scene.nextStep() else {
      Issue.record("the first step folds what is known")
      return
    }
    scene.tell(.folded(empty, root: History.root(ofRound: 0)))
    guard case .adopt(let merge)? = scene.nextStep() else {
      Issue.record("the node does not go on from its foundation")
      return
    }
    #expect(merge.id == history.heads[Int(round) - 1].id)
  }

  @Test func whatIsNoStateOfThatRootIsThrownAway() throws {
    var scene = Scene(try History(rounds: 6))
    scene.meet()
    let object = try scene.give(round: 5, isGood: false)
    let isForgotten = scene.seen.contains { directive in
      if case .forgetObject(object) = directive { true } else { false }
    }
    #expect(isForgotten)
    #expect(scene.node.foundation == nil)
    let faults = scene.node.mesh.peerStatus.first?.faults.map(\.fault)
    #expect(faults == [.badSnapshot])
  }

  @Test func aStateThatWasNotAskedForIsNotFetched() throws {
    var scene = Scene(try History(rounds: 6))
    scene.meet()
    _ = try scene.give(round: 77, isGood: true)
    #expect(scene.checked == nil)
    #expect(scene.node.foundation == nil)
  }

  @Test func fewBytesOfPayloadsAreFetchedAsSuch() throws {
    let history = try History(rounds: 6, payloadBytes: 20)
    var scene = Scene(history)
    scene.meet()
    #expect(scene.wantedSnapshot == nil)
    #expect(Set(scene.sought) == Set(history.payloads()))
  }

  @Test func fromGenesisEverythingIsFetched() throws {
    let history = try History(rounds: 6)
    var scene = Scene(history, fromGenesis: true)
    scene.meet()
    #expect(scene.wantedSnapshot == nil)
    #expect(Set(scene.sought) == Set(history.payloads()))
  }

  @Test func aRestartKnowsWhatTheNodeRestsOn() throws {
    let history = try History(rounds: 6)
    var first = Scene(history)
    first.meet()
    _ = try first.give(round: 5, isGood: true)
    var written = Hanse_V1_Foundations()
    written.foundations = first.node.foundations.map(\.message)
    var second = Scene(history, knows: true, foundations: written)
    second.meet()
    #expect(second.node.foundation?.round == 5)
    #expect(Set(second.sought).isDisjoint(with: history.payloads(upTo: 5)))
    #expect(second.wantedSnapshot == nil)
  }

  @Test func aForkTakesNothingFromAFoundationThatIsSealed() throws {
    let history = try History(rounds: 6)
    var scene = Scene(history)
    scene.meet()
    _ = try scene.give(round: 5, isGood: true)
    scene.seen = []
    scene.show(try history.twin(ofRound: 3))
    #expect(scene.node.logbook.forks[history.labs[0]] != nil)
    #expect(scene.node.foundation?.round == 5)
    let beneath = history.book.contributionsInOrder.filter { $0.round <= 5 }
    #expect(beneath.allSatisfy { scene.node.isCovered($0.id) })
    #expect(Set(scene.sought).isDisjoint(with: history.payloads(upTo: 5)))
  }

  @Test func whatCountsNoLongerIsNothingToRestOn() throws {
    let history = try History(rounds: 6)
    // The last attestation is still to come: nothing of the last round is sealed.
    var book = Logbook(charter: history.charter)
    for lab in history.labs {
      let log = history.book.log(of: lab)
      for entry in lab == history.labs[1] ? log.dropLast() : log[...] { _ = try book.append(entry) }
    }
    book.settle()
    let merge = history.heads[5]
    let chain = try #require(book.chain(of: book.landingGroups(of: merge)).last)
    var written = Hanse_V1_Foundations()
    written.foundations = [
      Foundation(merge: merge, root: History.root(ofRound: 6), chain: chain).message
    ]
    var scene = Scene(history, book: book, foundations: written)
    scene.tell(.began(addresses: []))
    scene.tell(.connected(scene.wire, lab: history.labs[0], address: "a:1", dialledByUs: true))
    var hello = Hanse_V1_Frame()
    hello.hello.protocol = 1
    hello.hello.federation = Data(history.charter.id.bytes)
    scene.tell(.frame(scene.wire, hello))
    let first = try #require(history.book.contributions(ofRound: 1).first)
    #expect(scene.node.isCovered(first.id))
    scene.show(try history.twin(ofRound: 6))
    #expect(scene.node.logbook.forks[history.labs[0]] != nil)
    #expect(!scene.node.isCovered(first.id))
    // Everything that still counts is needed again: as a state of what stands, or as payloads.
    let roots = scene.wantedSnapshot ?? []
    #expect(!roots.contains(History.root(ofRound: 6)))
    #expect(roots.contains(History.root(ofRound: 4)) || !scene.sought.isEmpty)
  }

  @Test func aNodeThatWasStoppedGoesOnFetchingWhatItHadBegun() throws {
    let history = try History(rounds: 6)
    var first = Scene(history)
    first.meet()
    let object = ContentID(of: [9], kind: .object)
    var here = Hanse_V1_Frame()
    here.snapshotHere.stateRoot = Data(History.root(ofRound: 4).bytes)
    here.snapshotHere.object = Data(object.bytes)
    here.snapshotHere.size = 320
    first.tell(.frame(first.wire, here))
    let written = first.seen.lazy.compactMap { directive -> Hanse_V1_Foundations? in
      guard case .persist(let changes) = directive else { return nil }
      return changes.lazy.compactMap {
        if case .foundations(let message) = $0 { message } else { nil }
      }.first
    }.first
    var second = Scene(history, knows: true, foundations: try #require(written))
    second.meet()
    #expect(second.sought.contains(object))
    #expect(second.wantedSnapshot == [History.root(ofRound: 4)])
  }

  @Test func aRecallReachesAsFarAsPayloadsAreKept() throws {
    let history = try History(rounds: 8, retention: 3)
    var scene = Scene(history, knows: true)
    scene.meet()
    #expect(scene.node.maySign)
    func recall(_ round: UInt32) throws {
      let state = try #require(history.book.contributions(ofRound: round).first)
      var recall = Hanse_V1_Recall()
      recall.contributions = [Data(state.id.bytes)]
      let moment = Participant.Moment(
        now: Instant(nanoseconds: UInt64(scene.time * 1e9)), wallSeconds: 0)
      _ = try scene.node.propose(.recall(recall), at: moment)
    }
    let refusal = #expect(throws: Refusal.self) { try recall(2) }
    #expect(refusal?.reason.contains("no further back") == true)
    try recall(7)
  }
}
