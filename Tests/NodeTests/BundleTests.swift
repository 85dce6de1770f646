import Adapters
import Control
import Deltas
import FoundationEssentials
import Glibc
import Identities
import Ledger
import Node
import Records
import Storage
import SwiftProtobuf
import Testing

/// Bundles between homes whose daemons are down: what is taken in, and what is not.
@Suite struct BundleTests {
  /// Homes of the founders of one federation, which have never met.
  struct Homes {
    let folder: String
    let keys: [SigningKey]
    let charter: Charter

    init(_ count: Int = 2, name: String = "apart") throws {
      var template = Array("/tmp/hanse-bundles-XXXXXX".utf8CString)
      folder = String(cString: mkdtemp(&template))
      keys = (0..<count).map { SigningKey(seed: [UInt8](repeating: UInt8($0 + 1), count: 32))! }
      var message = Hanse_V1_Charter()
      message.format = 1
      message.name = name
      var file = Hanse_V1_BaseFile()
      file.name = "base"
      file.size = 1
      file.hash = Data(ContentID(of: [1], kind: .file).bytes)
      message.base.files = [file]
      message.adapter.rank = 1
      message.adapter.alpha = 1
      message.adapter.seed = Data(repeating: 7, count: 32)
      var module = Hanse_V1_ModuleShape()
      module.path = "q_proj"
      module.inputs = 3
      module.outputs = 5
      message.adapter.modules = [module]
      message.round.localSteps = 1
      message.round.batch = 1
      message.round.length = 8
      message.round.learningRate = 1e-3
      message.merge.rule = "clipped-mean"
      message.merge.outerRateQ16 = 45_875
      message.merge.momentumQ16 = 58_982
      message.judging.committee = 16
      for (index, key) in keys.enumerated() {
        var founder = Hanse_V1_Founder()
        founder.name = "lab \(index)"
        founder.key = Data(key.publicKey.bytes)
        message.founders.append(founder)
      }
      charter = try Charter(message)
      for index in 0..<count {
        try DurableFile.makeFolder(home(index).path, mode: 0o750)
        try KeyFile.create(keys[index], in: home(index))
        try DurableFile.write(charter.bytes, to: home(index).charter)
        try DurableFile.write(
          Array("lab = \"lab \(index)\"\nmodel = \"m\"\ndata = []\ntrains = false\n".utf8),
          to: home(index).configuration)
        try Store(home: home(index)).close()
      }
    }

    func home(_ index: Int) -> HomeLayout { HomeLayout("\(folder)/\(index)") }
    func lab(_ index: Int) -> LabID { LabID(firstKey: keys[index].publicKey) }
    func file(_ name: String) -> String { "\(folder)/\(name)" }
    func remove() { try? FileManager.default.removeItem(atPath: folder) }

    /// An entry of a lab's log, signed, as the so-manieth.
    func entry(
      _ index: Int, _ sequence: UInt64, after last: ContentID?, signedBy signer: Int? = nil,
      _ payload: Hanse_V1_Entry.OneOf_Payload
    ) throws -> Entry {
      var message = Hanse_V1_Entry()
      message.federation = Data(charter.id.bytes)
      message.lab = Data(lab(index).bytes)
      message.rosterVersion = 1
      message.sequence = sequence
      message.previous = Data(last?.bytes ?? [])
      message.payload = payload
      return try Entry(signing: message, with: keys[signer ?? index])
    }

    /// Gives a lab's home two entries of its own: a presence, and a contribution with its payload.
    @discardableResult
    func write(_ index: Int) throws -> (entries: [Entry], object: ContentID) {
      let shape = charter.message.adapter
      let layout = try AdapterLayout(
        rank: Int(shape.rank), alpha: Int(shape.alpha),
        modules: shape.modules.map {
          AdapterModule(path: $0.path, inputs: Int($0.inputs), outputs: Int($0.outputs))
        })
      let delta = try Delta(
        layout: layout,
        exponents: [Int8](repeating: 20, count: DeltaTier.int4.blockCount(of: layout)),
        symbols: (0..<layout.count).map { Int8(1 + ($0 + index) % 3) })
      let bytes = delta.pack()
      let list = try BlockList(of: bytes)
      var message = Hanse_V1_Contribution()
      message.base = Logbook(charter: charter).emptyMerge()
      message.round = 1
      message.attempt = 1
      message.tokens = 100
      message.payload = try delta.payload(packed: bytes)
      message.factorNorms = delta.factorNorms()
      let first = try entry(index, 1, after: nil, .presence(Hanse_V1_Presence()))
      let second = try entry(index, 2, after: first.id, .contribution(message))
      let store = try Store(home: home(index))
      for entry in [first, second] { try store.append(StoredEntry(entry)) }
      try store.addObject(
        ObjectList(
          id: list.id, size: UInt64(list.byteCount), blockSize: BlockList.blockByteCount,
          blocks: list.hashes), bytes)
      try store.close()
      return ([first, second], list.id)
    }

    func export(_ index: Int, _ name: String) async throws -> BundlePage {
      try await BundleExchange.run(
        BundleRequest(action: .export, file: file(name)), home: home(index).path)
    }

    func take(_ index: Int, _ name: String) async throws -> BundlePage {
      try await BundleExchange.run(
        BundleRequest(action: .import, file: file(name)), home: home(index).path)
    }

    /// Every entry and object of a home.
    func contents(_ index: Int) throws -> (entries: Set<ContentID>, objects: Set<ContentID>) {
      let store = try Store(home: home(index), readOnly: true)
      defer { try? store.close() }
      let objects = try store.objects().filter { try store.object($0)?.missing.isEmpty ?? false }
      return (Set(try store.allEntries().map(\.id)), Set(objects))
    }
  }

  @Test func twoHomesThatNeverMetComeToHoldTheSame() async throws {
    let homes = try Homes()
    defer { homes.remove() }
    let first = try homes.write(0)
    let second = try homes.write(1)
    let written = try await homes.export(0, "from-0")
    #expect(written.entries == 2 && written.payloads == 1 && written.signed)
    let taken = try await homes.take(1, "from-0")
    #expect(taken.entries == 2 && taken.payloads == 1 && taken.signed && taken.refusedCount == 0)
    _ = try await homes.export(1, "from-1")
    #expect(try await homes.take(0, "from-1").entries == 2)
    let all = Set((first.entries + second.entries).map(\.id))
    for index in 0..<2 {
      let contents = try homes.contents(index)
      #expect(contents.entries == all)
      #expect(contents.objects == [first.object, second.object])
    }
    // Once more brings nothing.
    let again = try await homes.take(0, "from-1")
    #expect(again.entries == 0 && again.payloads == 0 && again.refusedCount == 0)
    // A file that is there is left alone.
    await #expect(throws: NodeError.self) { try await homes.export(0, "from-0") }
  }

  @Test func whatIsCutDamagedOrForeignChangesNothing() async throws {
    let homes = try Homes()
    let others = try Homes(name: "others")
    defer {
      homes.remove()
      others.remove()
    }
    try homes.write(0)
    _ = try await homes.export(0, "good")
    let good = try DurableFile.read(homes.file("good"), limit: 1 << 20)
    func isRefused(_ bytes: [UInt8], _ word: String) async throws {
      try DurableFile.write(bytes, to: homes.file("bad"))
      let error = await #expect(throws: NodeError.self) { try await homes.take(1, "bad") }
      #expect("\(error!)".contains(word), "\(error!)")
      #expect(try homes.contents(1).entries.isEmpty)
      #expect(try homes.contents(1).objects.isEmpty)
    }
    try await isRefused(Array(good.dropLast()), "ends in the middle")
    try await isRefused(Array(good.prefix(100)), "ends in the middle")
    try await isRefused([], "not a bundle")
    try await isRefused(
      Array("something else entirely, and long enough for a header".utf8), "not a")
    try await isRefused(good + [0], "follows its end")
    for place in [60, good.count / 2, good.count - 90] {
      var flipped = good
      flipped[place] ^= 1
      try DurableFile.write(flipped, to: homes.file("bad"))
      await #expect(throws: NodeError.self) { try await homes.take(1, "bad") }
      #expect(try homes.contents(1).entries.isEmpty)
    }
    try others.write(0)
    _ = try await others.export(0, "foreign")
    try await isRefused(
      try DurableFile.read(others.file("foreign"), limit: 1 << 20), "another federation")
    await #expect(throws: NodeError.self) { try await homes.take(1, "no-such-file") }
  }

  /// A bundle with these entries and, of an object, this list and block.
  private func forge(
    _ homes: Homes, _ name: String, _ entries: [Entry], list: [UInt8]? = nil, block: [UInt8] = []
  ) throws {
    final class Box { var bytes: [UInt8] = [] }
    let box = Box()
    var writer = try BundleWriter(federation: homes.charter.id, note: nil) { box.bytes += $0 }
    for entry in entries { try writer.add(entry.signed) }
    if let list {
      try writer.begin(blockList: list)
      try writer.add(block: block, at: 0)
    }
    try writer.finish(signedWith: nil)
    try DurableFile.write(box.bytes, to: homes.file(name))
  }

  @Test func whatAHostileBundleBringsIsCheckedPieceByPiece() async throws {
    let homes = try Homes()
    defer { homes.remove() }
    let (entries, object) = try homes.write(0)
    // Signed by another lab; without the one before; by nobody that is known.
    let forged = try homes.entry(0, 1, after: nil, signedBy: 1, .presence(Hanse_V1_Presence()))
    try forge(homes, "forged", [forged])
    let refused = try await homes.take(1, "forged")
    #expect(refused.entries == 0 && refused.refusedCount == 1)
    #expect(refused.refused[0].contains("signature"))
    try forge(homes, "gap", [entries[1]])
    #expect(try await homes.take(1, "gap").entries == 0)
    #expect(try homes.contents(1).entries.isEmpty)
    // An object that nobody announced, and one whose block is not the one of the list.
    let store = try Store(home: homes.home(0), readOnly: true)
    let bytes = try #require(try store.readObject(object))
    try store.close()
    let list = try BlockList(of: bytes)
    try forge(homes, "unannounced", [], list: list.encoded(), block: bytes)
    #expect(try await homes.take(1, "unannounced").payloads == 0)
    #expect(try homes.contents(1).objects.isEmpty)
    var other = bytes
    other[bytes.count - 1] ^= 1
    try forge(homes, "wrong-block", entries, list: list.encoded(), block: other)
    let partly = try await homes.take(1, "wrong-block")
    #expect(partly.entries == 2 && partly.payloads == 0 && partly.refusedCount == 1)
    #expect(try homes.contents(1).objects.isEmpty)
    try forge(homes, "right", entries, list: list.encoded(), block: bytes)
    let whole = try await homes.take(1, "right")
    #expect(whole.entries == 0 && whole.payloads == 1 && !whole.signed)
    #expect(try homes.contents(1).objects == [object])
  }

  @Test func evidenceTravelsWithTheLogs() async throws {
    let homes = try Homes(3)
    defer { homes.remove() }
    let (entries, _) = try homes.write(0)
    var presence = Hanse_V1_Presence()
    presence.name = "another self"
    let twin = try homes.entry(0, 2, after: entries[0].id, .presence(presence))
    try forge(homes, "twin", [entries[0], twin])
    _ = try await homes.export(0, "from-0")
    _ = try await homes.take(1, "from-0")
    _ = try await homes.take(1, "twin")
    _ = try await homes.export(1, "from-1")
    _ = try await homes.take(2, "from-1")
    let ids = [entries[1].id, twin.id].sorted().map(\.description)
    for index in [1, 2] {
      let reader = try HomeReader(home: homes.home(index).path)
      let evidence = try #require(await reader.roster().evidence)
      #expect(evidence.map(\.entries) == [ids])
      #expect(evidence.first?.sequence == 2)
      let shown = try await reader.show(homes.lab(0).description)
      #expect(shown.kind == "lab" && shown.evidence == evidence.first)
      for id in ids { #expect(try await reader.show(id).evidence == evidence.first) }
      let why = try await reader.show(entries[1].id.description)
      #expect(why.contribution?.status == .excluded)
      #expect(why.contribution?.reason.contains("two entries at sequence 2") == true)
      #expect(try await reader.status().attention.contains { $0.contains("hanse show") })
    }
  }
}
