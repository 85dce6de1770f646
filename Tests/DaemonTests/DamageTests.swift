import Control
import Foundation
import GRDB
import Identities
import Storage
import Testing

/// One flipped byte, wherever it is: named, refused, and put right with what the others have.
@Suite(
  .serialized,
  .enabled(if: ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full", "HANSE_TESTS=full"))
struct DamageTests {
  /// A federation of two, where one lab's home is damaged while its daemon is down.
  struct Scene {
    let federation: LocalFederation
    let victim = "fr"

    var home: HomeLayout { federation.home(victim) }

    init() throws {
      federation = try LocalFederation(labs: ["de", "fr"])
      try federation.waitForOneHead(from: 3)
      try federation.stop(victim)
    }

    /// Flips the lowest bit of a byte of a file.
    func flip(_ path: String, at offset: Int) throws {
      var bytes = try Data(contentsOf: URL(filePath: path))
      bytes[bytes.startIndex + offset] ^= 1
      let handle = try FileHandle(forWritingTo: URL(filePath: path))
      try handle.write(contentsOf: bytes)
      try handle.close()
    }

    /// Changes the database by hand.
    func edit(_ sql: String) throws {
      let queue = try DatabaseQueue(path: home.database)
      try queue.write { try $0.execute(sql: sql) }
      try queue.close()
    }

    /// What `hanse verify` says of the home with its daemon down; it must not be content.
    func findings() throws -> String {
      let result = try federation.hanse(["verify", "--home", home.path])
      #expect(result.code == 4, "verify ended with \(result.code): \(result.errors)")
      let check = try federation.hanse(["fsck", "--home", home.path])
      #expect(check.code == 4, "fsck ended with \(check.code): \(check.output)\(check.errors)")
      return result.output + result.errors
    }

    /// Starts the lab again; it must come back to the others' head and be whole.
    func recovers() throws {
      try federation.start(victim)
      try federation.waitForOneHead(from: federation.head("de").round + 1)
      try federation.stop(victim)
      let verified = try federation.page(VerifyPage.self, victim, "verify")
      #expect(verified.ok, "\(verified.findings)")
      #expect(try federation.hanse(["fsck", "--home", home.path]).code == 0)
    }

    /// What the lab's daemon has said so far.
    var log: String {
      (try? String(contentsOfFile: federation.folder + "/\(victim).log", encoding: .utf8)) ?? ""
    }
  }

  @Test func entriesAreNamedAndFetchedAgain() async throws {
    try await offPool {
      let scene = try Scene()
      let own = try scene.federation.lab(scene.victim)
      for (column, lab) in [("body", "!="), ("signature", "="), ("body", "=")] {
        let place = try scene.place(owner: own, lab)
        try scene.edit(
          """
          UPDATE entries SET \(column) = CAST(substr(\(column), 1, 9)
            || CASE WHEN substr(\(column), 10, 1) = x'00' THEN x'01' ELSE x'00' END
            || substr(\(column), 11) AS BLOB) WHERE rowid = \(place.row)
          """)
        let said = try scene.findings()
        #expect(said.contains("entry \(place.sequence) of lab \(place.lab.short)"), "\(said)")
        try scene.recovers()
        #expect(scene.log.contains("entry \(place.sequence) of lab \(place.lab.short)"))
      }
      try scene.edit("UPDATE entries SET sequence = sequence + 5000 WHERE rowid = 6")
      _ = try scene.findings()
      try scene.recovers()
    }
  }

  @Test func payloadsAreNamedAndFetchedAgain() async throws {
    try await offPool {
      let scene = try Scene()
      let store = try Store(home: scene.home, readOnly: true)
      let objects = try store.objects()
      try store.close()
      for object in objects.prefix(3) {
        try scene.flip(scene.home.object(object.description), at: 77)
        let said = try scene.findings()
        #expect(said.contains("contribution "), "\(said)")
        #expect(said.contains("\(object)"), "\(said)")
      }
      // The states of the fold would spare it from reading payloads again.
      for state in try FileManager.default.contentsOfDirectory(atPath: scene.home.snapshots) {
        try FileManager.default.removeItem(atPath: scene.home.snapshots + "/" + state)
      }
      try scene.federation.start(scene.victim)
      try scene.federation.waitForOneHead(from: scene.federation.head("de").round + 1)
      for object in objects.prefix(3) { #expect(scene.log.contains(object.short)) }
      try scene.federation.stop(scene.victim)
      try scene.recovers()
    }
  }

  @Test func theCharterTheHeadAndTheDatabaseAreMended() async throws {
    try await offPool {
      let scene = try Scene()
      let length = try Data(contentsOf: URL(filePath: scene.home.charter)).count
      for offset in [0, 40, length / 2, length - 1] {
        try scene.flip(scene.home.charter, at: offset)
        #expect(try scene.findings().contains("charter.bin"))
        try scene.recovers()
      }
      try scene.edit("UPDATE own_values SET value = x'00' WHERE name = 'head'")
      try scene.recovers()

      try scene.flip(scene.home.database, at: 5)
      let refused = try Command.run("hansed", ["--home", scene.home.path])
      #expect(refused.code == 1)
      #expect(refused.errors.contains(scene.home.database))
      #expect(refused.errors.contains("fsck --repair"))
      let repaired = try scene.federation.succeed(["fsck", "--repair", "--home", scene.home.path])
      #expect(repaired.output.contains("hanse.sqlite.damaged"))
      try scene.recovers()
    }
  }

  @Test func theBaseMustBeTheCharters() async throws {
    try await offPool {
      let scene = try Scene()
      let base = scene.federation.folder + "/model/model.safetensors"
      try scene.flip(base, at: 20_000)
      try scene.federation.start(scene.victim)
      try scene.federation.wait("the daemon names the file that differs") {
        try scene.federation.page(StatusPage.self, scene.victim, "status").detail
          .contains("model.safetensors")
      }
      try scene.flip(base, at: 20_000)
      try scene.federation.stop(scene.victim)
      try scene.recovers()
    }
  }

  @Test func aPortThatIsTakenEndsTheDaemonWithItsName() async throws {
    try await offPool {
      let scene = try Scene()
      let settings = try String(contentsOfFile: scene.home.configuration, encoding: .utf8)
      let other = try String(
        contentsOfFile: scene.federation.home("de").configuration, encoding: .utf8)
      let listen = try #require(other.firstMatch(of: /listen = ".*"/)?.output)
      try settings.replacing(/listen = ".*"/, with: listen)
        .write(toFile: scene.home.configuration, atomically: true, encoding: .utf8)
      let refused = try Command.run("hansed", ["--home", scene.home.path])
      #expect(refused.code == 1)
      #expect(refused.errors.contains("cannot listen on 127.0.0.1"), "\(refused.errors)")
      #expect(refused.errors.contains("hint: "))
    }
  }

  @Test func aCopyThatNobodyMayWriteToCanBeAudited() async throws {
    try await offPool {
      let scene = try Scene()
      let copy = scene.federation.folder + "/copy"
      try FileManager.default.copyItem(atPath: scene.home.path, toPath: copy)
      try FileManager.default.removeItem(atPath: copy + "/identity")
      try FileManager.default.removeItem(atPath: copy + "/hanse.toml")
      let verified = try scene.federation.hanse(["verify", "--home", copy, "--json"])
      #expect(verified.code == 0, "\(verified.output)\(verified.errors)")
      #expect(try scene.federation.hanse(["log", "--home", copy]).output.contains("merge"))
    }
  }

  @Test func theKeyAndTicketsAreRefused() async throws {
    try await offPool {
      let scene = try Scene()
      for offset in [3, 40] {
        try scene.flip(scene.home.key, at: offset)
        let refused = try Command.run("hansed", ["--home", scene.home.path])
        #expect(refused.code == 1)
        #expect(refused.errors.contains("identity/key"))
        #expect(refused.errors.contains("backup"))
        try scene.flip(scene.home.key, at: offset)
      }
      try scene.recovers()

      let home = scene.federation.home("de").path
      let ticket = try scene.federation.succeed(["invite", "--home", home]).output
        .trimmingCharacters(in: .whitespacesAndNewlines)
      for place in stride(from: 0, to: ticket.count, by: 37) {
        var letters = Array(ticket)
        letters[place] = letters[place] == "a" ? "b" : "a"
        let result = try scene.federation.hanse([
          "join", String(letters), "--home", scene.federation.folder + "/xx", "--name", "xx",
          "--model", scene.federation.folder + "/model", "--data",
          scene.federation.folder + "/de.jsonl",
        ])
        #expect(result.code == 2, "letter \(place): \(result.code) \(result.errors)")
        #expect(result.errors.contains("ticket"))
        #expect(!FileManager.default.fileExists(atPath: scene.federation.folder + "/xx"))
      }
    }
  }
}

extension DamageTests.Scene {
  struct Place {
    let row: Int64
    let lab: LabID
    let sequence: Int64
  }

  /// The middle entry of a log that is, or is not, the victim's.
  func place(owner: LabID, _ comparison: String) throws -> Place {
    let queue = try DatabaseQueue(path: home.database)
    defer { try? queue.close() }
    return try queue.read { database in
      let rows = try Row.fetchAll(
        database, sql: "SELECT rowid, lab, sequence FROM entries WHERE lab \(comparison) ?",
        arguments: [Data(owner.bytes)])
      let row = rows[rows.count / 2]
      return Place(row: row[0], lab: LabID(bytes: row[1] as Data)!, sequence: row[2])
    }
  }
}
