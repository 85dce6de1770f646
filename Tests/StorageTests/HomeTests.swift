import FoundationEssentials
import Glibc
import Identities
import Storage
import Testing

@Suite struct HomeTests {
  @Test func aSecondWriterIsRefusedAndToldWhoHasTheHome() throws {
    let home = TemporaryHome()
    let store = try home.open()
    #expect(throws: StorageError.locked(path: home.layout.path, holder: getpid())) {
      try home.open()
    }
    #expect(Store.holder(of: home.layout) == getpid())
    withExtendedLifetime(store) {}
  }

  @Test func theHomeIsFreeAgainWhenItsHolderIsGone() throws {
    let home = TemporaryHome()
    do { _ = try home.open() }
    #expect(Store.holder(of: home.layout) == nil)
    #expect(throws: Never.self) { _ = try home.open() }
  }

  @Test func aCommitWaitsForTheDisk() throws {
    let home = TemporaryHome()
    for _ in 0..<2 { #expect(try home.open().syncsCommits()) }
  }

  @Test func theKeyIsForItsOwnerOnly() throws {
    let home = TemporaryHome()
    let key = SigningKey.generate()
    try KeyFile.create(key, in: home.layout)
    #expect(try KeyFile.read(in: home.layout).seed == key.seed)
    #expect(throws: StorageError.exists(path: home.layout.key)) {
      try KeyFile.create(key, in: home.layout)
    }
    var status = stat()
    stat(home.layout.key, &status)
    #expect(status.st_mode & 0o777 == 0o600)
    stat(home.layout.identity, &status)
    #expect(status.st_mode & 0o777 == 0o700)
    chmod(home.layout.key, 0o640)
    let error = #expect(throws: StorageError.self) { try KeyFile.read(in: home.layout) }
    #expect(error == .openKey(path: home.layout.key, mode: 0o640))
    #expect("\(error!)".contains("chmod 600 \(home.layout.key)"))
  }

  @Test func aRotatedKeyKeepsTheOldOneBesideIt() throws {
    let home = TemporaryHome()
    let (old, new) = (SigningKey.generate(), SigningKey.generate())
    try KeyFile.create(old, in: home.layout)
    try KeyFile.bringIntoUse(new, in: home.layout)
    #expect(try KeyFile.read(in: home.layout).seed == new.seed)
    #expect(try KeyFile.readAll(in: home.layout).map(\.seed) == [new.seed, old.seed])
    try KeyFile.forgetOld(but: [new.publicKey], in: home.layout)
    #expect(try KeyFile.readAll(in: home.layout).map(\.seed) == [new.seed])
  }

  @Test func theKeyOfARotationIsMadeOnceAndKeptWithTheLabsName() throws {
    let home = TemporaryHome()
    let old = SigningKey.generate()
    let lab = LabID(firstKey: old.publicKey)
    try KeyFile.create(old, in: home.layout)
    #expect(try KeyFile.lab(in: home.layout) == nil)
    let next = try KeyFile.prepareNext(of: lab, in: home.layout) { $0 == old.publicKey }
    #expect(next.publicKey != old.publicKey)
    #expect(try KeyFile.lab(in: home.layout) == lab)
    #expect(try KeyFile.read(in: home.layout).seed == old.seed)
    var status = stat()
    stat(home.layout.nextKey, &status)
    #expect(status.st_mode & 0o777 == 0o600)
    // Asked again, after a kill or a refusal: the same key.
    let again = try KeyFile.prepareNext(of: lab, in: home.layout) { $0 == old.publicKey }
    #expect(again.seed == next.seed)
    #expect(try KeyFile.readAll(in: home.layout).map(\.seed) == [old.seed, next.seed])
    // Killed between the two files that a change writes: whichever is there, both keys are.
    try KeyFile.bringIntoUse(next, in: home.layout)
    #expect(!DurableFile.exists(home.layout.nextKey))
    let third = try KeyFile.prepareNext(of: lab, in: home.layout) { $0 == next.publicKey }
    #expect(third.seed != next.seed)
  }

  @Test func aLostKeyIsReplacedAndADamagedOneIsKept() throws {
    let home = TemporaryHome()
    let old = SigningKey.generate()
    let lab = LabID(firstKey: old.publicKey)
    try KeyFile.create(old, in: home.layout)
    try DurableFile.write([1, 2, 3], to: home.layout.key, mode: 0o600)
    let new = SigningKey.generate()
    try KeyFile.replaceLost(with: new, of: lab, in: home.layout)
    #expect(try KeyFile.readAll(in: home.layout).map(\.seed) == [new.seed])
    #expect(try KeyFile.lab(in: home.layout) == lab)
    #expect(try DurableFile.read(home.layout.key + ".damaged", limit: 8) == [1, 2, 3])
  }

  @Test func aKeyOfAnotherLengthIsDamaged() throws {
    let home = TemporaryHome()
    try KeyFile.create(SigningKey.generate(), in: home.layout)
    try DurableFile.write([1, 2, 3], to: home.layout.key, mode: 0o600)
    #expect(throws: StorageError.self) { try KeyFile.read(in: home.layout) }
    try DurableFile.write([UInt8](repeating: 1, count: 33), to: home.layout.key, mode: 0o600)
    #expect(throws: StorageError.self) { try KeyFile.read(in: home.layout) }
  }

  @Test func errorsNameThePathTheNumberAndTheWayOut() throws {
    let missing = #expect(throws: StorageError.self) {
      try DurableFile.read("/tmp/hanse-no-such-folder/x", limit: 10)
    }
    #expect("\(missing!)".contains("/tmp/hanse-no-such-folder/x"))
    #expect("\(missing!)".contains("errno 2"))
    let home = TemporaryHome()
    try DurableFile.write([1], to: home.layout.path + "/file")
    #expect(throws: StorageError.self) { try Store(home: HomeLayout(home.layout.path + "/file/x")) }
    #expect(throws: StorageError.notAHome(path: home.layout.path)) { try home.open(readOnly: true) }
  }

  @Test func aHomeWhoseDaemonHasNotRunYetIsReadAsEmptyAndLeftAlone() throws {
    let home = TemporaryHome()
    try KeyFile.create(SigningKey.generate(), in: home.layout)
    try DurableFile.write([1], to: home.layout.charter)
    #expect(try home.open(readOnly: true).allEntries().isEmpty)
    #expect(!DurableFile.exists(home.layout.database))
  }

  @Test func aFileThatIsNoDatabaseIsNamed() throws {
    let home = TemporaryHome()
    try DurableFile.write(Array(repeating: 65, count: 8192), to: home.layout.database)
    let error = #expect(throws: StorageError.self) { try home.open() }
    guard case .damaged(let path, _)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(path == home.layout.database)
  }

  @Test func snapshotsAreKeptByRootAndPruned() throws {
    let home = TemporaryHome()
    let store = try home.open()
    let roots = (0..<3).map { ContentID(of: [UInt8($0)], kind: .state) }
    for (index, root) in roots.enumerated() { try store.writeSnapshot(root, [UInt8(index), 9]) }
    #expect(try store.readSnapshot(roots[1]) == [1, 9])
    try store.pruneSnapshots(keeping: [roots[1]])
    #expect(try store.snapshots() == [roots[1]])
    #expect(try store.readSnapshot(roots[0]) == nil)
  }

  @Test func aDamagedSnapshotIsReplacedByOneThatWasFetched() throws {
    let home = TemporaryHome()
    let store = try home.open()
    let name = ContentID(of: [1], kind: .merge)
    try store.writeSnapshot(name, [1, 2, 3])
    try flip(home.layout.snapshot(name.description), at: 1)
    #expect(throws: StorageError.self) { try store.readSnapshot(name) }
    // What is there is taken for right by those who fold; who has fetched it knows better.
    try store.writeSnapshot(name, [1, 2, 3])
    #expect(throws: StorageError.self) { try store.readSnapshot(name) }
    try store.replaceSnapshot(name, [1, 2, 3])
    #expect(try store.readSnapshot(name) == [1, 2, 3])
  }

  @Test func workFilesKnowTheirOwnBytes() throws {
    let home = TemporaryHome()
    let store = try home.open()
    let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    try store.writeWork("feedback-3", bytes)
    #expect(try store.readWork("feedback-3") == bytes)
    try flip(home.layout.work + "/feedback-3.checked", at: 777)
    #expect(throws: StorageError.self) { try store.readWork("feedback-3") }
    try store.removeWork("feedback-3")
    #expect(try store.readWork("feedback-3") == nil)
    for name in ["", "../key", "a/b", "A", String(repeating: "a", count: 101)] {
      #expect(throws: StorageError.self) { try store.writeWork(name, [1]) }
    }
  }

  @Test func sizesAreThoseOfTheDisk() throws {
    let home = TemporaryHome()
    let store = try home.open()
    let before = try store.diskBytes()
    try store.writeWork("big", [UInt8](repeating: 1, count: 1 << 20))
    #expect(try store.diskBytes() >= before + 1 << 20)
    #expect(try store.freeBytes() > 0)
  }
}
